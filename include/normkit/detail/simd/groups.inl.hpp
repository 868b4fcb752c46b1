// Statistics of neighbouring groups, several at a time: what a formula needs beside arithmetic, for one number and for a
// register of doubles. Included once for each instruction set, after range.inl.hpp.
//
// A formula is written over `Lanes`, which is One<T> or Many<T>: `width` groups, a Real for a number of T of each, and a
// Number one precision up.

NORMKIT_INLINE bool every(bool truth) { return truth; }
NORMKIT_INLINE bool both(bool a, bool b) { return a && b; }
NORMKIT_INLINE bool either(bool a, bool b) { return a || b; }
NORMKIT_INLINE double pick(bool truth, double a, double b) { return truth ? a : b; }
NORMKIT_INLINE bool settled(double) { return true; }
NORMKIT_INLINE bool settled(DoubleDouble) { return true; }

template <class T>
struct One {
  static constexpr int width = 1;
  using Real = double;
  using Number = Wide<T>;

  template <class S>
  static NORMKIT_INLINE Real load(const S* from) {
    return static_cast<double>(*from);
  }
  static NORMKIT_INLINE Number load_wide(const Wide<T>* from) { return *from; }
  template <class S>
  static NORMKIT_INLINE void store(Real value, S* to) {
    *to = static_cast<S>(value);
  }
  static NORMKIT_INLINE void store_wide(Number value, Wide<T>* to) { *to = value; }
  static NORMKIT_INLINE Number all(Wide<T> value) { return value; }
  /// Rounded to T.
  static NORMKIT_INLINE Real round(Real value) { return static_cast<double>(static_cast<T>(value)); }
};

#if NORMKIT_VECTOR_EXTENSIONS && NORMKIT_PACK_BYTES > 16

/// The truth about each lane of a register of doubles.
struct Mask {
  typedef long long Raw __attribute__((vector_size(NORMKIT_PACK_BYTES)));
  Raw raw;
};
using Doubles = Pack<double>;

NORMKIT_INLINE Mask operator<(Doubles a, Doubles b) { return {reinterpret_cast<Mask::Raw>(a.raw < b.raw)}; }
NORMKIT_INLINE Mask operator>=(Doubles a, Doubles b) { return {reinterpret_cast<Mask::Raw>(a.raw >= b.raw)}; }
NORMKIT_INLINE Mask operator==(Doubles a, Doubles b) { return {reinterpret_cast<Mask::Raw>(a.raw == b.raw)}; }
NORMKIT_INLINE Mask both(Mask a, Mask b) { return {a.raw & b.raw}; }
NORMKIT_INLINE Mask either(Mask a, Mask b) { return {a.raw | b.raw}; }
NORMKIT_INLINE Mask bits(Doubles d) { return {reinterpret_cast<Mask::Raw>(d.raw)}; }
NORMKIT_INLINE Doubles pick(Mask truth, Doubles a, Doubles b) {
  return {reinterpret_cast<Doubles::Raw>((truth.raw & bits(a).raw) | (~truth.raw & bits(b).raw))};
}
NORMKIT_INLINE bool every(Mask mask) {
#if NORMKIT_TARGET_AVX512
  return _mm512_movepi64_mask(reinterpret_cast<__m512i>(mask.raw)) == 0xff;
#elif NORMKIT_TARGET_AVX2
  return _mm256_movemask_pd(reinterpret_cast<__m256d>(mask.raw)) == 0xf;
#else
  bool truth = true;
  for (int i = 0; i < Doubles::width; ++i) truth = truth && mask.raw[i] != 0;
  return truth;
#endif
}

NORMKIT_INLINE Doubles magnitude(Doubles value) {
  return {reinterpret_cast<Doubles::Raw>(bits(value).raw & ~bits(Doubles::all(-0.0)).raw)};
}
template <class T>
NORMKIT_INLINE Mask bounded(Doubles value) {
  return magnitude(value) < Doubles::all(std::is_same_v<T, float> ? 0x1p101 : 0x1p901);  // see most_exponent
}
template <class T>
NORMKIT_INLINE Mask ordinary(Doubles value) {
  return both(magnitude(value) >= Doubles::all(std::is_same_v<T, float> ? 0x1p-100 : 0x1p-900), bounded<T>(value));
}
NORMKIT_INLINE Mask finite(Doubles value) {
  NORMKIT_EXACT
  return value - value == Doubles::zero();
}
/// Whether a number one precision up is what the arithmetic of one number gives: it is where it is finite.
NORMKIT_INLINE Mask settled(Doubles) { return {~Mask::Raw{}}; }
NORMKIT_INLINE Mask settled(Twofold<Doubles> value) { return both(finite(value.hi), finite(value.lo)); }

NORMKIT_INLINE Doubles reciprocal_sqrt(Doubles value) {
  NORMKIT_EXACT
#if NORMKIT_TARGET_AVX512
  const Doubles root{_mm512_maskz_sqrt_pd(0xff, value.raw)};  // not _mm512_sqrt_pd: GCC bug 105593
#elif NORMKIT_TARGET_AVX2
  const Doubles root{_mm256_sqrt_pd(value.raw)};
#else
  Doubles root = value;
  for (int i = 0; i < Doubles::width; ++i) root.raw[i] = std::sqrt(value.raw[i]);
#endif
  return Doubles::all(1.0) / root;
}

template <int First, int... Lane>
NORMKIT_INLINE Doubles every_second(Doubles a, Doubles b, std::integer_sequence<int, Lane...>) {
  return shuffled(a, b, std::integer_sequence<int, (2 * Lane + First)...>{});
}
template <int Half, int... Lane>
NORMKIT_INLINE Doubles interleaved(Doubles a, Doubles b, std::integer_sequence<int, Lane...>) {
  constexpr int width = Doubles::width;
  return shuffled(a, b, std::integer_sequence<int, (Half * width / 2 + Lane / 2 + Lane % 2 * width)...>{});
}

template <class T>
struct Many {
  static constexpr int width = Doubles::width;
  using Real = Doubles;
  using Number = WideOf<T, Doubles>;

  static NORMKIT_INLINE Real load(const double* from) { return Doubles::load(from); }
  static NORMKIT_INLINE Real load(const float* from) {
    return {__builtin_convertvector(*reinterpret_cast<const Floats*>(from), Doubles::Raw)};
  }
  static NORMKIT_INLINE void store(Real value, double* to) { value.store(to); }
  static NORMKIT_INLINE void store(Real value, float* to) {
    *reinterpret_cast<Floats*>(to) = __builtin_convertvector(value.raw, Floats);
  }
  static NORMKIT_INLINE Number load_wide(const double* from) { return Doubles::load(from); }
  static NORMKIT_INLINE Number load_wide(const DoubleDouble* from) {
    const Doubles a = Doubles::load(&from->hi), b = Doubles::load(&from[width / 2].hi);
    return {every_second<0>(a, b, Lanes()), every_second<1>(a, b, Lanes())};
  }
  static NORMKIT_INLINE void store_wide(Doubles value, double* to) { value.store(to); }
  static NORMKIT_INLINE void store_wide(Twofold<Doubles> value, DoubleDouble* to) {
    interleaved<0>(value.hi, value.lo, Lanes()).store(&to->hi);
    interleaved<1>(value.hi, value.lo, Lanes()).store(&to[width / 2].hi);
  }
  static NORMKIT_INLINE Doubles all(double value) { return Doubles::all(value); }
  static NORMKIT_INLINE Twofold<Doubles> all(DoubleDouble value) {
    return {Doubles::all(value.hi), Doubles::all(value.lo)};
  }
  static NORMKIT_INLINE Real round(Real value) {
    if constexpr (std::is_same_v<T, float>)
      return {__builtin_convertvector(__builtin_convertvector(value.raw, Floats), Doubles::Raw)};
    else
      return value;
  }

 private:
  typedef float Floats __attribute__((vector_size(NORMKIT_PACK_BYTES / 2), aligned(alignof(float)), may_alias));
  using Lanes = std::make_integer_sequence<int, width>;
};

#endif

/// The value, or 0 where it is below that.
template <class R>
NORMKIT_INLINE R positive_part(R value) {
  const R zero = all<R>(0.0);
  return pick(value < zero, zero, value);
}
template <class R>
NORMKIT_INLINE Twofold<R> positive_part(Twofold<R> value) {
  const R zero = all<R>(0.0);
  return {pick(value.hi < zero, zero, value.hi), pick(value.hi < zero, zero, value.lo)};
}

/// Whether a power of two, or a mark, is 0 for each group. With float there are no such powers.
template <class Lanes>
NORMKIT_INLINE bool none(const NoExponent*) {
  return true;
}
template <class Lanes, class Value>
NORMKIT_INLINE bool none(const Value* values) {
  int any = 0;
  for (int i = 0; i < Lanes::width; ++i) any |= values[i];
  return any == 0;
}
template <class Lanes>
NORMKIT_INLINE bool same(const NoExponent*, const NoExponent*) {
  return true;
}
template <class Lanes>
NORMKIT_INLINE bool same(const int* a, const int* b) {
  int differ = 0;
  for (int i = 0; i < Lanes::width; ++i) differ |= a[i] ^ b[i];
  return differ == 0;
}
template <class Lanes, class Value>
NORMKIT_INLINE void clear(Value* values) {
  for (int i = 0; i < Lanes::width; ++i) values[i] = 0;
}
