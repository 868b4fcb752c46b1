// One bit for each lane. `relu` is v and 0 where v <= 0, with the bits of the other lanes; `where` is v, and 0 where there is no
// bit. Included once for each instruction set, after lanes.inl.hpp.

#if NORMKIT_TARGET_AVX512

NORMKIT_INLINE Pack<float> relu(Pack<float> v, unsigned& bits) {
  const __mmask16 passed = _mm512_cmp_ps_mask(v.raw, Pack<float>::zero().raw, _CMP_NLE_UQ);
  bits = passed;
  return {_mm512_maskz_mov_ps(passed, v.raw)};
}
NORMKIT_INLINE Pack<double> relu(Pack<double> v, unsigned& bits) {
  const __mmask8 passed = _mm512_cmp_pd_mask(v.raw, Pack<double>::zero().raw, _CMP_NLE_UQ);
  bits = passed;
  return {_mm512_maskz_mov_pd(passed, v.raw)};
}
NORMKIT_INLINE Pack<float> where(unsigned bits, Pack<float> v) {
  return {_mm512_maskz_mov_ps(static_cast<__mmask16>(bits), v.raw)};
}
NORMKIT_INLINE Pack<double> where(unsigned bits, Pack<double> v) {
  return {_mm512_maskz_mov_pd(static_cast<__mmask8>(bits), v.raw)};
}

#elif NORMKIT_TARGET_AVX2

NORMKIT_INLINE Pack<float> relu(Pack<float> v, unsigned& bits) {
  const __m256 passed = _mm256_cmp_ps(v.raw, _mm256_setzero_ps(), _CMP_NLE_UQ);
  bits = static_cast<unsigned>(_mm256_movemask_ps(passed));
  return {_mm256_and_ps(v.raw, passed)};
}
NORMKIT_INLINE Pack<double> relu(Pack<double> v, unsigned& bits) {
  const __m256d passed = _mm256_cmp_pd(v.raw, _mm256_setzero_pd(), _CMP_NLE_UQ);
  bits = static_cast<unsigned>(_mm256_movemask_pd(passed));
  return {_mm256_and_pd(v.raw, passed)};
}
/// All bits of each lane whose bit is set. `lanes` has the bit of each.
NORMKIT_INLINE __m256i lanes_where(unsigned bits, __m256i lanes) {
  return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lanes), lanes);
}
NORMKIT_INLINE Pack<float> where(unsigned bits, Pack<float> v) {
  const __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return {_mm256_and_ps(v.raw, _mm256_castsi256_ps(lanes_where(bits, lanes)))};
}
NORMKIT_INLINE Pack<double> where(unsigned bits, Pack<double> v) {
  const __m256i lanes = _mm256_setr_epi32(1, 1, 2, 2, 4, 4, 8, 8);
  return {_mm256_and_pd(v.raw, _mm256_castsi256_pd(lanes_where(bits, lanes)))};
}

#else

template <class T>
NORMKIT_INLINE Pack<T> relu(Pack<T> v, unsigned& bits) {
  bits = 0;
  for (int i = 0; i < Pack<T>::width; ++i) {
    const bool passed = !(v.raw[i] <= T(0));
    bits |= (passed ? 1u : 0u) << i;
    if (!passed) v.raw[i] = T(0);
  }
  return v;
}
template <class T>
NORMKIT_INLINE Pack<T> where(unsigned bits, Pack<T> v) {
  for (int i = 0; i < Pack<T>::width; ++i)
    if (!(bits >> i & 1u)) v.raw[i] = T(0);
  return v;
}

#endif

/// Writes the bits of a run in order. What the first byte has below its first bit stays; above the last bit are zeros.
struct BitWriter {
  std::uint8_t* bytes;
  Index first;  // bit of bytes[0]
  unsigned pending;

  static NORMKIT_INLINE BitWriter at(std::uint8_t* byte, int bit) {
    return {byte, bit, bit == 0 ? 0u : *byte & ((1u << bit) - 1u)};
  }
  /// `count` bits, at most 16, of the elements from number `i` on, which follow those before.
  NORMKIT_INLINE void put(Index i, Index count, unsigned bits) {
    const auto at = static_cast<std::size_t>(first + i);  // its divisions are shifts
    std::size_t ready = at % 8 + static_cast<std::size_t>(count);
    std::uint8_t* to = bytes + at / 8;
    for (pending |= bits << at % 8; ready >= 8; ready -= 8, pending >>= 8) *to++ = static_cast<std::uint8_t>(pending);
  }
  NORMKIT_INLINE void end(Index length) {
    if ((first + length) % 8 != 0) bytes[(first + length) / 8] = static_cast<std::uint8_t>(pending);
  }
};

/// At least 16 bits from number `i` on, of the lowest value first; those above are of whatever follows.
NORMKIT_INLINE unsigned bits_from(const std::uint8_t* bytes, Index i) {
  const auto at = static_cast<std::size_t>(i);
  const std::uint8_t* const from = bytes + at / 8;
  const unsigned word = from[0] | unsigned{from[1]} << 8 | unsigned{from[2]} << 16 | unsigned{from[3]} << 24;
  return word >> at % 8;
}
