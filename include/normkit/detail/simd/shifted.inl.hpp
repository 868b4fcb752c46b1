// Numbers one precision up whose range has no ends. Included after wide.inl.hpp and range.inl.hpp.

/// value * 2^by
NORMKIT_INLINE double shifted(double value, int by) { return by == 0 ? value : std::ldexp(value, by); }
NORMKIT_INLINE DoubleDouble shifted(DoubleDouble value, int by) {
  return by == 0 ? value : DoubleDouble{std::ldexp(value.hi, by), std::ldexp(value.lo, by)};
}

/// floor(log2 |value|); for 0 less than for any number, for NaN and infinity 0.
inline constexpr int exponent_of_zero = -100000;
NORMKIT_INLINE int exponent_of(double value) {
  return value == 0.0 ? exponent_of_zero : finite(value) ? std::ilogb(value) : 0;
}

/// The power of two to take out of numbers of which the greatest has that exponent.
template <class T>
NORMKIT_INLINE int exponent_for(int greatest) {
  return std::is_same_v<Exponent<T>, NoExponent> || greatest == exponent_of_zero ? 0 : greatest;
}

/// A number times 2^exponent, which no product or sum takes out of range. NaN and infinity go through.
template <class T>
struct Shifted {
  Wide<T> value;
  int exponent;

  static Shifted of(T x) noexcept { return {widen<T>(static_cast<double>(x)), 0}; }

  int magnitude() const noexcept {
    const int own = exponent_of(nearest(value));
    return own == exponent_of_zero ? own : own + exponent;
  }
  Wide<T> over(int power) const noexcept { return shifted(value, exponent - power); }
  Wide<T> plain() const noexcept { return over(0); }

  // Inlined by force: out of line, a friend of a class template is not under g++'s pragma against contraction.
  friend NORMKIT_INLINE Shifted operator*(Shifted a, Shifted b) noexcept {
    NORMKIT_EXACT
    const double x = nearest(a.value), y = nearest(b.value);
    if (x == 0.0 || y == 0.0 || !finite(x) || !finite(y)) return {widen<T>(x * y), 0};
    const int of_x = std::ilogb(x), of_y = std::ilogb(y);
    return {shifted(a.value, -of_x) * shifted(b.value, -of_y), a.exponent + b.exponent + of_x + of_y};
  }
  friend NORMKIT_INLINE Shifted operator+(Shifted a, Shifted b) noexcept {
    NORMKIT_EXACT
    if (a.exponent == b.exponent && bounded<double>(nearest(a.value)) && bounded<double>(nearest(b.value)))
      return {a.value + b.value, a.exponent};
    const int x = a.magnitude(), y = b.magnitude(), most = x > y ? x : y, to = most == exponent_of_zero ? 0 : most;
    return {a.over(to) + b.over(to), to};
  }
  friend NORMKIT_INLINE Shifted operator-(Shifted a) noexcept { return {-a.value, a.exponent}; }
};
