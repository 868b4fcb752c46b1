// Arithmetic one precision up: `double` has its own, `DoubleDouble` gets it here, so that formulas are written once for
// both. Included once for each instruction set, since contraction must be off here too. No FMA is assumed.

NORMKIT_INLINE DoubleDouble two_sum(double a, double b) {  // Knuth, TAOCP 2, 4.2.2: a + b = hi + lo exactly
  NORMKIT_EXACT
  const double sum = a + b, from_b = sum - a;
  return {sum, (a - (sum - from_b)) + (b - from_b)};
}

NORMKIT_INLINE DoubleDouble quick_two_sum(double a, double b) {  // Dekker 1971; |a| >= |b|
  NORMKIT_EXACT
  const double sum = a + b;
  return {sum, b - (sum - a)};
}

NORMKIT_INLINE DoubleDouble two_product(double a, double b) {  // Dekker 1971, by halves of 26 bits
  NORMKIT_EXACT
  constexpr double splitter = 134217729.0;  // 2^27 + 1
  const double product = a * b;
  const double a_big = splitter * a, a_hi = a_big - (a_big - a), a_lo = a - a_hi;
  const double b_big = splitter * b, b_hi = b_big - (b_big - b), b_lo = b - b_hi;
  return {product, ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo};
}

NORMKIT_INLINE DoubleDouble operator+(DoubleDouble a, DoubleDouble b) {
  NORMKIT_EXACT
  const DoubleDouble sum = two_sum(a.hi, b.hi), rest = two_sum(a.lo, b.lo);
  if (sum.hi - sum.hi != 0.0) return {sum.hi, 0.0};  // infinite or NaN: there is no rest
  const DoubleDouble first = quick_two_sum(sum.hi, sum.lo + rest.hi);
  return quick_two_sum(first.hi, first.lo + rest.lo);
}
NORMKIT_INLINE DoubleDouble operator-(DoubleDouble a) { return {-a.hi, -a.lo}; }
NORMKIT_INLINE DoubleDouble operator-(DoubleDouble a, DoubleDouble b) { return a + (-b); }
NORMKIT_INLINE DoubleDouble operator*(DoubleDouble a, DoubleDouble b) {
  NORMKIT_EXACT
  const DoubleDouble product = two_product(a.hi, b.hi);
  if (product.hi - product.hi != 0.0) return {product.hi, 0.0};
  return quick_two_sum(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi));
}
NORMKIT_INLINE DoubleDouble operator/(DoubleDouble a, DoubleDouble b) {
  NORMKIT_EXACT
  const double first = a.hi / b.hi;
  if (first - first != 0.0) return {first, 0.0};
  const DoubleDouble rest = a - b * DoubleDouble{first, 0.0};
  return quick_two_sum(first, (rest.hi + rest.lo) / b.hi);
}

/// A number of T, or an exact small integer, one precision up.
template <class T>
NORMKIT_INLINE Wide<T> widen(double value) {
  if constexpr (std::is_same_v<Wide<T>, double>)
    return value;
  else
    return {value, 0.0};
}

/// a + b of two numbers of T, without error.
template <class T>
NORMKIT_INLINE Wide<T> exact_sum(T a, T b) {
  NORMKIT_EXACT
  if constexpr (std::is_same_v<Wide<T>, double>)
    return static_cast<double>(a) + static_cast<double>(b);
  else
    return two_sum(a, b);
}

NORMKIT_INLINE double nearest(double value) { return value; }
NORMKIT_INLINE double nearest(DoubleDouble value) { return value.hi; }

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
NORMKIT_INLINE DoubleDouble reciprocal_sqrt(DoubleDouble value) {
  NORMKIT_EXACT
  const double root = reciprocal_sqrt(value.hi);
  if (!(root > 0.0) || root > 1e150 || root < 1e-150) return {root, 0.0};
  // One step of Newton: root + root * (1 - value * root^2) / 2.
  const DoubleDouble r{root, 0.0}, rest = DoubleDouble{1.0, 0.0} - value * (r * r);
  return quick_two_sum(root, 0.5 * root * (rest.hi + rest.lo));
}
