// The last, partly filled register of a run: included once for each instruction set, after pack.inl.hpp.
// Never reads or writes past the `n` elements, 0 < n < width.

template <class T>
NORMKIT_INLINE Pack<T> load_part(const T* from, Index n, Pack<T> fill) {
#pragma GCC unroll 16
  for (int i = 0; i < Pack<T>::width - 1; ++i)
    if (i < n) fill.raw[i] = from[i];
  return fill;
}

template <class T>
NORMKIT_INLINE void store_part(Pack<T> pack, T* to, Index n) {
#pragma GCC unroll 16
  for (int i = 0; i < Pack<T>::width - 1; ++i)
    if (i < n) to[i] = pack.raw[i];
}

#if NORMKIT_TARGET_AVX512

NORMKIT_INLINE unsigned first_lanes(Index n) { return (1u << n) - 1u; }

NORMKIT_INLINE Pack<float> load_part(const float* from, Index n, Pack<float> fill) {
  return {_mm512_mask_loadu_ps(fill.raw, static_cast<__mmask16>(first_lanes(n)), from)};
}
NORMKIT_INLINE Pack<double> load_part(const double* from, Index n, Pack<double> fill) {
  return {_mm512_mask_loadu_pd(fill.raw, static_cast<__mmask8>(first_lanes(n)), from)};
}
NORMKIT_INLINE void store_part(Pack<float> pack, float* to, Index n) {
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>(first_lanes(n)), pack.raw);
}
NORMKIT_INLINE void store_part(Pack<double> pack, double* to, Index n) {
  _mm512_mask_storeu_pd(to, static_cast<__mmask8>(first_lanes(n)), pack.raw);
}

#elif NORMKIT_TARGET_AVX2

// A window of this array that begins at 8 - n has its first n of 8 elements set.
inline constexpr int lane_window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

NORMKIT_INLINE Pack<float> load_part(const float* from, Index n, Pack<float> fill) {
  const __m256i mask = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lane_window + 8 - n));
  return {_mm256_blendv_ps(fill.raw, _mm256_maskload_ps(from, mask), _mm256_castsi256_ps(mask))};
}
NORMKIT_INLINE Pack<double> load_part(const double* from, Index n, Pack<double> fill) {
  const __m256i mask = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lane_window + 8 - 2 * n));
  return {_mm256_blendv_pd(fill.raw, _mm256_maskload_pd(from, mask), _mm256_castsi256_pd(mask))};
}
// A masked store takes 12 cycles on Zen 3 (Fog, instruction tables); halves and quarters take one each.
NORMKIT_INLINE void store_part(Pack<float> pack, float* to, Index n) {
  __m128 rest = _mm256_castps256_ps128(pack.raw);
  if (n & 4) {
    _mm_storeu_ps(to, rest);
    rest = _mm256_extractf128_ps(pack.raw, 1);
    to += 4;
  }
  if (n & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(to), rest);
    rest = _mm_movehl_ps(rest, rest);
    to += 2;
  }
  if (n & 1) _mm_store_ss(to, rest);
}
NORMKIT_INLINE void store_part(Pack<double> pack, double* to, Index n) {
  __m128d rest = _mm256_castpd256_pd128(pack.raw);
  if (n & 2) {
    _mm_storeu_pd(to, rest);
    rest = _mm256_extractf128_pd(pack.raw, 1);
    to += 2;
  }
  if (n & 1) _mm_store_sd(to, rest);
}

#endif
