// Arithmetic one precision up: `double` has its own, `Twofold` gets it here, so that formulas are written once for both,
// and once for a number and for a register of them. Included once for each instruction set, since contraction must be off
// here too. No FMA is assumed.

/// One number, or as many as a register R has.
template <class R>
NORMKIT_INLINE R all(double value) {
  if constexpr (std::is_same_v<R, double>)
    return value;
  else
    return R::all(value);
}

template <class R>
NORMKIT_INLINE Twofold<R> two_sum(R a, R b) {  // Knuth, TAOCP 2, 4.2.2: a + b = hi + lo exactly
  NORMKIT_EXACT
  const R sum = a + b, from_b = sum - a;
  return {sum, (a - (sum - from_b)) + (b - from_b)};
}

template <class R>
NORMKIT_INLINE Twofold<R> quick_two_sum(R a, R b) {  // Dekker 1971; |a| >= |b|
  NORMKIT_EXACT
  const R sum = a + b;
  return {sum, b - (sum - a)};
}

template <class R>
NORMKIT_INLINE Twofold<R> two_product(R a, R b) {  // Dekker 1971, by halves of 26 bits
  NORMKIT_EXACT
  const R splitter = all<R>(134217729.0);  // 2^27 + 1
  const R product = a * b;
  const R a_big = splitter * a, a_hi = a_big - (a_big - a), a_lo = a - a_hi;
  const R b_big = splitter * b, b_hi = b_big - (b_big - b), b_lo = b - b_hi;
  return {product, ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo};
}

/// Infinite or NaN: then there is no rest. In a register this is not asked: `settled` tells in the end.
template <class R>
NORMKIT_INLINE bool is_endless([[maybe_unused]] R value) {
  if constexpr (std::is_same_v<R, double>)
    return !std::isfinite(value);
  else
    return false;
}

template <class R>
NORMKIT_INLINE Twofold<R> operator+(Twofold<R> a, Twofold<R> b) {
  NORMKIT_EXACT
  const Twofold<R> sum = two_sum(a.hi, b.hi), rest = two_sum(a.lo, b.lo);
  if (is_endless(sum.hi)) return {sum.hi, all<R>(0.0)};
  const Twofold<R> first = quick_two_sum(sum.hi, sum.lo + rest.hi);
  return quick_two_sum(first.hi, first.lo + rest.lo);
}
template <class R>
NORMKIT_INLINE Twofold<R> operator-(Twofold<R> a) {
  return {-a.hi, -a.lo};
}
template <class R>
NORMKIT_INLINE Twofold<R> operator-(Twofold<R> a, Twofold<R> b) {
  return a + (-b);
}
template <class R>
NORMKIT_INLINE Twofold<R> operator*(Twofold<R> a, Twofold<R> b) {
  NORMKIT_EXACT
  const Twofold<R> product = two_product(a.hi, b.hi);
  if (is_endless(product.hi)) return {product.hi, all<R>(0.0)};
  return quick_two_sum(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi));
}
template <class R>
NORMKIT_INLINE Twofold<R> operator/(Twofold<R> a, Twofold<R> b) {
  NORMKIT_EXACT
  const R first = a.hi / b.hi;
  if (is_endless(first)) return {first, all<R>(0.0)};
  const Twofold<R> rest = a - b * Twofold<R>{first, all<R>(0.0)};
  return quick_two_sum(first, rest.hi / b.hi);  // rest.hi is rest.hi + rest.lo, rounded
}

/// What numbers of R that are of T are one precision up.
template <class T, class R>
using WideOf = std::conditional_t<std::is_same_v<Wide<T>, double>, R, Twofold<R>>;

/// A number of T, or an exact small integer, one precision up.
template <class T, class R>
NORMKIT_INLINE WideOf<T, R> widen(R value) {
  if constexpr (std::is_same_v<WideOf<T, R>, R>)
    return value;
  else
    return {value, all<R>(0.0)};
}

/// a + b of two numbers of T, without error.
template <class T, class R>
NORMKIT_INLINE WideOf<T, R> exact_sum(R a, R b) {
  NORMKIT_EXACT
  if constexpr (std::is_same_v<WideOf<T, R>, R>)
    return a + b;
  else
    return two_sum(a, b);
}

template <class R>
NORMKIT_INLINE R nearest(R value) {
  return value;
}
template <class R>
NORMKIT_INLINE R nearest(Twofold<R> value) {
  return value.hi;
}

/// Rounded to T, once.
template <class T>
NORMKIT_INLINE T narrow(Wide<T> value) {
  return static_cast<T>(nearest(value));
}

/// 1 / sqrt(value), and 0 where value is 0: a group without variance and without eps then gives its bias.
NORMKIT_INLINE double reciprocal_sqrt(double value) {
  NORMKIT_EXACT
  return value == 0.0 ? 0.0 : 1.0 / std::sqrt(value);
}
template <class R>
NORMKIT_INLINE Twofold<R> reciprocal_sqrt(Twofold<R> value) {
  NORMKIT_EXACT
  const R root = reciprocal_sqrt(value.hi);
  if constexpr (std::is_same_v<R, double>)
    if (!(root > 0.0) || root > 1e150 || root < 1e-150) return {root, 0.0};
  // One step of Newton: root + root * (1 - value * root^2) / 2.
  const Twofold<R> r{root, all<R>(0.0)}, rest = Twofold<R>{all<R>(1.0), all<R>(0.0)} - value * (r * r);
  return quick_two_sum(root, all<R>(0.5) * root * rest.hi);
}
