// Registers of numbers of 16 bits, which are loaded and stored as registers of float: included once for each instruction set,
// after partial.inl.hpp and convert.inl.hpp.

/// As many as a register of float has lanes.
template <Stored16 S>
struct Packed {
  static constexpr int width = Pack<float>::width;
#if NORMKIT_VECTOR_EXTENSIONS
  typedef std::uint16_t Raw __attribute__((vector_size(NORMKIT_PACK_BYTES / 2)));
  typedef std::uint16_t Memory __attribute__((vector_size(NORMKIT_PACK_BYTES / 2), aligned(2), may_alias));
#else
  struct NORMKIT_MAY_ALIAS Raw {
    S lane[width];
  };
  using Memory = Raw;
#endif
  Raw raw;

  static NORMKIT_INLINE Packed load(const S* from) { return {*reinterpret_cast<const Memory*>(from)}; }
  NORMKIT_INLINE void store(S* to) const { *reinterpret_cast<Memory*>(to) = raw; }
};

#if NORMKIT_VECTOR_EXTENSIONS
/// As many words, which hold the same numbers.
struct Words {
  typedef std::uint32_t Raw __attribute__((vector_size(NORMKIT_PACK_BYTES)));
  Raw raw;
};

// One instruction each; of the general form g++ 12 makes five.
#if NORMKIT_TARGET_AVX512
template <Stored16 S>
NORMKIT_INLINE Words widened(Packed<S> packed) {
  return {reinterpret_cast<Words::Raw>(_mm512_maskz_cvtepu16_epi32(0xffff, reinterpret_cast<__m256i>(packed.raw)))};
}
template <Stored16 S>
NORMKIT_INLINE Packed<S> narrowed(Words words) {
  const __m256i halves = _mm512_maskz_cvtepi32_epi16(0xffff, reinterpret_cast<__m512i>(words.raw));
  return {reinterpret_cast<typename Packed<S>::Raw>(halves)};
}
#elif NORMKIT_TARGET_AVX2
template <Stored16 S>
NORMKIT_INLINE Words widened(Packed<S> packed) {
  return {reinterpret_cast<Words::Raw>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(packed.raw)))};
}
template <Stored16 S>
NORMKIT_INLINE Packed<S> narrowed(Words words) {
  const __m256i all = reinterpret_cast<__m256i>(words.raw);
  const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  return {reinterpret_cast<typename Packed<S>::Raw>(halves)};
}
#else
template <Stored16 S>
NORMKIT_INLINE Words widened(Packed<S> packed) {
  return {__builtin_convertvector(packed.raw, Words::Raw)};
}
template <Stored16 S>
NORMKIT_INLINE Packed<S> narrowed(Words words) {
  return {__builtin_convertvector(words.raw, typename Packed<S>::Raw)};
}
#endif

template <Stored16 S>
NORMKIT_INLINE Pack<float> floats(Packed<S> packed) {
  Words words = widened(packed);
  to_float_bits<Pack<float>::Raw>(S{}, words.raw, words.raw);
  return {reinterpret_cast<Pack<float>::Raw>(words.raw)};
}
template <Stored16 S>
NORMKIT_INLINE Packed<S> packed(Pack<float> pack) {
  Words words{reinterpret_cast<Words::Raw>(pack.raw)};
  to_nearest<Pack<float>::Raw>(S{}, words.raw, words.raw);
  return narrowed<S>(words);
}
#else
template <Stored16 S>
NORMKIT_INLINE Pack<float> floats(const Packed<S>& packed) {
  Pack<float> pack;
  for (int i = 0; i < Pack<float>::width; ++i) pack.raw[i] = value(packed.raw.lane[i]);
  return pack;
}
template <Stored16 S>
NORMKIT_INLINE Packed<S> packed(const Pack<float>& pack) {
  Packed<S> packed;
  for (int i = 0; i < Pack<float>::width; ++i) packed.raw.lane[i] = stored<S>(pack.raw[i]);
  return packed;
}
#endif

// Binary16 has instructions; F16C counts as a part of AVX2 here. With a mask: GCC bug 105593.
#if NORMKIT_TARGET_AVX512
template <>
NORMKIT_INLINE Pack<float> floats(Packed<Half> packed) {
  return {_mm512_maskz_cvtph_ps(0xffff, reinterpret_cast<__m256i>(packed.raw))};
}
template <>
NORMKIT_INLINE Packed<Half> packed(Pack<float> pack) {
  return {reinterpret_cast<Packed<Half>::Raw>(
      _mm512_maskz_cvtps_ph(0xffff, pack.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))};
}
#elif NORMKIT_TARGET_AVX2
template <>
NORMKIT_INLINE Pack<float> floats(Packed<Half> packed) {
  return {_mm256_cvtph_ps(reinterpret_cast<__m128i>(packed.raw))};
}
template <>
NORMKIT_INLINE Packed<Half> packed(Pack<float> pack) {
  return {
      reinterpret_cast<Packed<Half>::Raw>(_mm256_cvtps_ph(pack.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))};
}
#endif

/// A register of what numbers in memory are computed with.
template <Scalar T>
NORMKIT_INLINE Pack<T> load_whole(const T* from) {
  return Pack<T>::load(from);
}
template <Stored16 S>
NORMKIT_INLINE Pack<float> load_whole(const S* from) {
  return floats(Packed<S>::load(from));
}
template <Scalar T>
NORMKIT_INLINE void store_whole(Pack<T> pack, T* to) {
  pack.store(to);
}
template <Stored16 S>
NORMKIT_INLINE void store_whole(Pack<float> pack, S* to) {
  packed<S>(pack).store(to);
}

// The last, partly filled register, as in partial.inl.hpp.
#if NORMKIT_TARGET_AVX512

template <Stored16 S>
NORMKIT_INLINE Pack<float> load_part(const S* from, Index n, Pack<float> fill) {
  const auto lanes = static_cast<__mmask16>(first_lanes(n));
  const Packed<S> part{reinterpret_cast<typename Packed<S>::Raw>(_mm256_maskz_loadu_epi16(lanes, from))};
  return {_mm512_mask_mov_ps(fill.raw, lanes, floats(part).raw)};
}
template <Stored16 S>
NORMKIT_INLINE void store_part(Pack<float> pack, S* to, Index n) {
  const auto lanes = static_cast<__mmask16>(first_lanes(n));
  _mm256_mask_storeu_epi16(to, lanes, reinterpret_cast<__m256i>(packed<S>(pack).raw));
}

#elif NORMKIT_TARGET_AVX2

/// Where numbers of 16 bits may lie in memory: of so many bytes, anywhere.
template <class Word>
struct NORMKIT_MAY_ALIAS __attribute__((packed)) Unaligned {
  Word word;
};

template <Stored16 S>
NORMKIT_INLINE Pack<float> load_part(const S* from, Index n, Pack<float> fill) {
  const S* const rest = from + (n & 4);
  long long last = 0;
  if (n & 1) last = rest[n & 2].bits;
  if (n & 2) last = last << 32 | reinterpret_cast<const Unaligned<std::uint32_t>*>(rest)->word;
  __m128i part = _mm_cvtsi64_si128(last);
  if (n & 4) part = _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)), part);
  const __m256i lanes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lane_window + 8 - n));
  const Pack<float> values = floats(Packed<S>{reinterpret_cast<typename Packed<S>::Raw>(part)});
  return {_mm256_blendv_ps(fill.raw, values.raw, _mm256_castsi256_ps(lanes))};
}
template <Stored16 S>
NORMKIT_INLINE void store_part(Pack<float> pack, S* to, Index n) {
  __m128i part = reinterpret_cast<__m128i>(packed<S>(pack).raw);
  if (n & 4) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), part);
    part = _mm_unpackhi_epi64(part, part);
    to += 4;
  }
  long long last = _mm_cvtsi128_si64(part);
  if (n & 2) {
    reinterpret_cast<Unaligned<std::uint32_t>*>(to)->word = static_cast<std::uint32_t>(last);
    last >>= 32;
    to += 2;
  }
  if (n & 1) to->bits = static_cast<std::uint16_t>(last);
}

#else

template <Stored16 S>
NORMKIT_INLINE Pack<float> load_part(const S* from, Index n, Pack<float> fill) {
  for (int i = 0; i < Pack<float>::width - 1; ++i)
    if (i < n) fill.raw[i] = value(from[i]);
  return fill;
}
template <Stored16 S>
NORMKIT_INLINE void store_part(Pack<float> pack, S* to, Index n) {
  for (int i = 0; i < Pack<float>::width - 1; ++i)
    if (i < n) to[i] = stored<S>(pack.raw[i]);
}

#endif
