#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || \
    defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__)
#error \
    "normkit needs IEEE arithmetic: -ffast-math, -fassociative-math, -freciprocal-math and -ffinite-math-only \
reorder its sums and drop its NaN rules, so that its results would be neither exact nor the same everywhere."
#endif

namespace normkit {

/// Counts and strides, as wide as a pointer; the same type as `Eigen::Index`.
using Index = std::ptrdiff_t;

namespace detail {

template <class T>
concept Scalar = std::is_same_v<T, float> || std::is_same_v<T, double>;

#if defined(__GNUC__)
#define NORMKIT_MAY_ALIAS __attribute__((may_alias))  // a tensor's numbers are of another type with the same bits
#else
#define NORMKIT_MAY_ALIAS
#endif

/// Numbers of 16 bits as they stand in memory: IEEE 754 binary16, and the upper half of a float.
struct NORMKIT_MAY_ALIAS Half {
  std::uint16_t bits;
};
struct NORMKIT_MAY_ALIAS BFloat16 {
  std::uint16_t bits;
};

/// What a tensor's numbers are computed as.
template <class S>
struct ArithmeticOf {
  using Type = S;
};
template <>
struct ArithmeticOf<Half> {
  using Type = float;
};
template <>
struct ArithmeticOf<BFloat16> {
  using Type = float;
};
template <class S>
using Arithmetic = typename ArithmeticOf<S>::Type;

template <class S>
concept Stored16 = std::is_same_v<S, Half> || std::is_same_v<S, BFloat16>;

/// What tensors hold.
template <class S>
concept Stored = Scalar<S> || Stored16<S>;

/// The unevaluated sum hi + lo with |lo| <= ulp(hi)/2: 106 bits, of doubles or of registers of them. The arithmetic on it
/// stands with the kernels.
template <class R>
struct Twofold {
  R hi, lo;
};
using DoubleDouble = Twofold<double>;

/// One precision up: what sums of sums, statistics and coefficients are computed in.
template <Scalar T>
using Wide = std::conditional_t<std::is_same_v<T, float>, double, DoubleDouble>;

}  // namespace detail
}  // namespace normkit
