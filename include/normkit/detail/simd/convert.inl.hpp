// Numbers of 16 bits from and to float, each a formula over the bits of a number or of a register of them: U is unsigned, F
// the floats of the same lanes. Included once for each instruction set, and once for single numbers. Registers are not
// returned by value: where a set is not enabled, g++ warns of how it would do that.

/// Every number of 16 bits is a float.
template <class F, class U>
NORMKIT_INLINE void to_float_bits(BFloat16, const U& stored, U& bits) {
  bits = stored << 16;
}
template <class F, class U>
NORMKIT_INLINE void to_float_bits(Half, const U& stored, U& bits) {
  const U fraction = stored & 0x3ffu, exponent = stored & 0x7c00u, rest = (stored & 0x7fffu) << 13;
  F small;  // a subnormal is a small integer times 2^-24
#if NORMKIT_VECTOR_EXTENSIONS
  if constexpr (!std::is_same_v<F, float>) {
    typedef int Signed __attribute__((vector_size(sizeof(U))));
    small = __builtin_convertvector(reinterpret_cast<Signed>(fraction), F) * 0x1p-24f;
  } else
#endif
    small = static_cast<float>(fraction) * 0x1p-24f;
  const U ordinary = rest + (112u << 23), endless = rest + (224u << 23);
  const U large = exponent == 0x7c00u ? endless : ordinary;
  bits = (exponent == 0u ? __builtin_bit_cast(U, small) : large) | (stored & 0x8000u) << 16;
}

/// The nearest number of 16 bits, ties to even; NaN stays NaN.
template <class F, class U>
NORMKIT_INLINE void to_nearest(BFloat16, const U& bits, U& stored) {
  const F number = __builtin_bit_cast(F, bits);
  const U rounded = bits + 0x7fffu + (bits >> 16 & 1u), nan = U{} + 0x7fc00000u;
  stored = (number != number ? nan : rounded) >> 16;  // NOLINT(misc-redundant-expression): of NaN alone
}
template <class F, class U>
NORMKIT_INLINE void to_nearest(Half, const U& bits, U& stored) {
  NORMKIT_EXACT
  const F number = __builtin_bit_cast(F, bits);
  const U size = bits & 0x7fffffffu, one_half = U{} + 0x3f000000u, infinity = U{} + 0x7c00u, nan = U{} + 0x7e00u;
  // Beside 1/2 a float has a step of 2^-24, that of the subnormals.
  const F beside_one_half = __builtin_bit_cast(F, size) + __builtin_bit_cast(F, one_half);
  const U small = __builtin_bit_cast(U, beside_one_half) - one_half;
  const U ordinary = (size + 0xfffu + (size >> 13 & 1u) - (112u << 23)) >> 13;
  const U large = size < 0x477ff000u ? ordinary : infinity;
  const U nearest = size < 0x38800000u ? small : large;
  stored = (number != number ? nan : nearest) | (bits >> 16 & 0x8000u);  // NOLINT(misc-redundant-expression)
}

/// A number as it is computed with.
template <Scalar S>
NORMKIT_INLINE S value(S stored) {
  return stored;
}
template <Stored16 S>
NORMKIT_INLINE float value(S stored) {
  std::uint32_t bits = 0;
  to_float_bits<float>(stored, std::uint32_t{stored.bits}, bits);
  return __builtin_bit_cast(float, bits);
}
/// And as it is stored.
template <Stored S>
NORMKIT_INLINE S stored(Arithmetic<S> value) {
  if constexpr (Scalar<S>) {
    return value;
  } else {
    std::uint32_t bits = 0;
    to_nearest<float>(S{}, __builtin_bit_cast(std::uint32_t, value), bits);
    return {static_cast<std::uint16_t>(bits)};
  }
}
