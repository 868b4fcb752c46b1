// Where in the range of T a number lies: what is far inside is done by the kernels, the rest carefully.

/// log2 |value|, rounded down, as it stands in the bits: -1023 for 0 and subnormals, 1024 for NaN and infinity.
NORMKIT_INLINE int binary_exponent(double value) {
  return static_cast<int>(std::bit_cast<std::uint64_t>(value) >> 52 & 0x7ff) - 1023;
}

/// Far enough inside of the range of T that squares, sums of a block, and products of two such numbers keep their
/// digits: 2^-100 to 2^100 for float, whose range is 2^-126 to 2^128, and 2^-900 to 2^900 for double.
template <class T>
inline constexpr int most_exponent = std::is_same_v<T, float> ? 100 : 900;
template <class T>
NORMKIT_INLINE bool ordinary(double value) {
  return static_cast<unsigned>(binary_exponent(value) + most_exponent<T>) <= 2u * most_exponent<T>;
}
/// The same without a lower end.
template <class T>
NORMKIT_INLINE bool bounded(double value) {
  return binary_exponent(value) <= most_exponent<T>;
}

NORMKIT_INLINE bool finite(double value) { return value - value == 0.0; }
