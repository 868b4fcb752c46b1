// The ends of the range. Kernels sum in T, and read x in T: where squares or products overflow or underflow there, where
// the mean needs digits below the smallest T, or 1 / sqrt(var) is not a T, what they leave is worthless. Then the block
// is done again here, one element at a time and one precision up, with a power of two taken out of everything. Slow (1 to
// 20 ns an element), and paid for only by blocks and groups that need it. Compiled once, with contraction off.

template <class T>
NORMKIT_RARE void add_carefully(Wide<T>& sum, Exponent<T>& exponent, Wide<T> more, int more_exponent) noexcept {
  NORMKIT_EXACT
  if (exponent == more_exponent) {
    sum = sum + more;
    return;
  }
  const Shifted<T> both = Shifted<T>{sum, exponent} + Shifted<T>{more, more_exponent};
  sum = both.value;
  exponent = both.exponent;
}

/// Calls f(offset, element) for each element of a group of a block.
template <class F>
NORMKIT_INLINE void each_element(const Block& block, Index group, F&& f) {
  for (Index p = 0; p < block.planes; ++p)
    for (Index i = 0; i < block.length; ++i)
      f(group * block.group_stride + p * block.plane_stride + i, p * block.plane_elements + i);
}

template <class S>
NORMKIT_RARE bool is_constant(const Block& block, Index group, const S* x) noexcept {
  const auto first = value(x[group * block.group_stride]);
  bool same = true;
  each_element(block, group, [&](Index at, Index) { same &= value(x[at]) == first; });
  return same;
}

/// The greatest magnitude of one group of a block among its finite numbers, and the sum of the others.
template <class T>
struct Range {
  T most = T(0), strange = T(0);
  bool all_finite = true;

  template <class S>
  NORMKIT_RARE Range(const Block& block, Index group, const S* x) noexcept {
    NORMKIT_EXACT
    each_element(block, group, [&](Index at, Index) {
      const T v = value(x[at]), size = v < T(0) ? -v : v;
      if (!finite(static_cast<double>(size)))
        strange = strange + v, all_finite = false;
      else if (size > most)
        most = size;
    });
  }
};

/// The moments of one group of a block, whatever its numbers. With NaN or infinity among them the mean is their sum and
/// the variance NaN.
template <class S, class T>
NORMKIT_RARE void careful_moments(const Block& block, Index group, const S* x, Moments<T> out) noexcept {
  NORMKIT_EXACT
  const Range<T> range(block, group, x);
  if (!range.all_finite) {
    *out.pivot = range.strange;
    *out.delta = widen<T>(0.0);
    *out.m2 = widen<T>(std::numeric_limits<double>::quiet_NaN());
    *out.exponent = 0;
    return;
  }
  const int exponent = exponent_for<T>(exponent_of(static_cast<double>(range.most)));
  const Wide<T> n = widen<T>(static_cast<double>(block.elements()));
  const auto element = [&](Index at) { return shifted(widen<T>(static_cast<double>(value(x[at]))), -exponent); };
  Wide<T> sum = widen<T>(0.0), m2 = sum;
  each_element(block, group, [&](Index at, Index) { sum = sum + element(at); });
  const Wide<T> mean = sum / n;
  each_element(block, group, [&](Index at, Index) {
    const Wide<T> d = element(at) - mean;
    m2 = m2 + d * d;
  });
  // Around the pivot once more: a mean one precision up would lack the last digits of one that is far greater than the
  // deviation.
  const Wide<T> pivot = widen<T>(static_cast<double>(narrow<T>(mean)));
  Wide<T> rest = widen<T>(0.0);
  each_element(block, group, [&](Index at, Index) { rest = rest + (element(at) - pivot); });
  *out.pivot = narrow<T>(mean);
  *out.delta = rest / n;
  *out.m2 = m2;
  *out.exponent = exponent;
}

/// The same about zero: the mean counts as 0, and infinite numbers make the squares infinite.
template <class S, class T>
NORMKIT_RARE void careful_squares(const Block& block, Index group, const S* x, Moments<T> out) noexcept {
  NORMKIT_EXACT
  const Range<T> range(block, group, x);
  const int exponent = range.all_finite ? exponent_for<T>(exponent_of(static_cast<double>(range.most))) : 0;
  Wide<T> squares = widen<T>(0.0);
  each_element(block, group, [&](Index at, Index) {
    const Wide<T> v = shifted(widen<T>(static_cast<double>(value(x[at]))), -exponent);
    squares = squares + v * v;
  });
  *out.pivot = T(0);
  *out.delta = widen<T>(0.0);
  *out.m2 = squares;
  *out.exponent = exponent;
}

/// The exponent of the greatest of mean and deviation.
template <class T>
int magnitude(Moments<T> m) noexcept {
  const int pivot = exponent_of(static_cast<double>(*m.pivot)), delta = exponent_of(nearest(*m.delta));
  const int m2 = exponent_of(nearest(*m.m2)) / 2, mean = pivot > delta ? pivot : delta, most = mean > m2 ? mean : m2;
  return most == exponent_of_zero / 2 ? exponent_of_zero : *m.exponent + most;
}

template <class T>
void set_exponent(Moments<T> m, int exponent) noexcept {
  const int by = *m.exponent - exponent;
  *m.pivot = static_cast<T>(std::ldexp(*m.pivot, by));
  *m.delta = shifted(*m.delta, by);
  *m.m2 = shifted(*m.m2, 2 * by);
  *m.exponent = exponent;
}

/// Chan's merge of one group, whatever the numbers.
template <class T>
NORMKIT_RARE void merge_carefully(Moments<T> into, Moments<T> other, Wide<T> share, Wide<T> weight) noexcept {
  NORMKIT_EXACT
  if (!finite(static_cast<double>(*into.pivot)) || !finite(static_cast<double>(*other.pivot))) {
    *into.pivot = *into.pivot + *other.pivot;
    *into.delta = widen<T>(0.0);
    *into.m2 = widen<T>(std::numeric_limits<double>::quiet_NaN());
    *into.exponent = 0;
    return;
  }
  const int a = magnitude(into), b = magnitude(other), greater = a > b ? a : b;
  set_exponent(into, exponent_for<T>(greater));
  set_exponent(other, *into.exponent);
  const Wide<T> gap =
      gap_between<T>(static_cast<double>(*into.pivot), *into.delta, static_cast<double>(*other.pivot), *other.delta);
  merge_one(*into.delta, *into.m2, *other.m2, gap, share, weight);
}

/// Statistics of one group from its mean pivot + delta and variance, / 2^exponent and / 4^exponent, whatever their size.
template <class T>
NORMKIT_RARE void careful_statistics(T pivot, Wide<T> delta, Wide<T> var, int exponent, double eps,
                                     Statistics<T> out) noexcept {
  NORMKIT_EXACT
  // The deviation, or what the mean has beside the pivot, becomes a number near 1; from -900 on a double of 2^-1074 would
  // still be 2^-174, and rstd of a common eps keeps its digits.
  const int deviation = exponent_of(nearest(var)) / 2, rest = exponent_of(nearest(delta));
  const int greatest = deviation > rest ? deviation : rest;
  const int to = greatest <= exponent_of_zero / 2 ? 0 : greatest + exponent < -900 ? -900 : greatest + exponent;
  const Shifted<T> centre{widen<T>(static_cast<double>(pivot)), exponent};
  *out.exponent = to;
  *out.mean = narrow<T>((centre + Shifted<T>{delta, exponent}).plain());
  *out.mean_lo = finite(static_cast<double>(*out.mean))
                     ? narrow<T>(((centre + -Shifted<T>::of(*out.mean)) + Shifted<T>{delta, exponent}).over(to))
                     : T(0);
  const double e = std::ldexp(eps, -2 * to);
  *out.rstd = finite(e) ? nearest(reciprocal_sqrt(shifted(var, 2 * (exponent - to)) + widen<T>(e)))
                        : std::ldexp(1.0 / std::sqrt(eps), to);  // beside such an eps the variance is nothing
}

/// Whether the ordinary kernels cannot normalize by these statistics: x - mean may overflow, the coefficient
/// rstd * weight does not have all its digits, or the bias brings back what has overflowed.
template <class T>
NORMKIT_INLINE bool needs_care(const SavedStatistics<T>& s, double weight, double bias, T scale) {
  const double mean = static_cast<double>(*s.mean);
  if (*s.exponent != 0 || (!bounded<T>(mean) && finite(mean)) || (!bounded<T>(bias) && finite(bias))) return true;
  return !ordinary<T>(static_cast<double>(scale)) && *s.rstd != 0.0 && weight != 0.0 && finite(*s.rstd) &&
         finite(weight);
}

/// (x - mean) / 2^exponent of one group.
template <class T>
NORMKIT_INLINE Shifted<T> centred(T x, SavedStatistics<T> s) {
  Shifted<T> far = Shifted<T>::of(x) + -Shifted<T>::of(*s.mean);
  far.exponent -= *s.exponent;
  return far + -Shifted<T>::of(*s.mean_lo);
}

template <class T>
NORMKIT_INLINE Shifted<T> normalized(T x, SavedStatistics<T> s) {
  return centred(x, s) * Shifted<T>{widen<T>(*s.rstd), 0};
}

/// One element of what relu.hpp has in the place of pointers: where a masked one goes too, and how an output is written.
template <class S>
void pass(const S*, Index, S) noexcept {}
template <class S>
void pass(const Masked<S>& from, Index at, S number) noexcept {
  if (from.passed) from.passed[at] = number;
}
template <class S, class T>
void write(S* y, Index at, T number) noexcept {
  y[at] = stored<S>(number);
}
template <class S, class T>
void write(const Rectified<S>& y, Index at, T number) noexcept {
  NORMKIT_EXACT
  if (y.added) number = number + value(y.added[at]);
  const bool passes = !(number <= T(0));
  y.values[at] = passes ? stored<S>(number) : S{};
  if (!y.mask.bytes) return;
  const auto place = y.mask.at(y.offset + at);
  const unsigned bit = 1u << place.bit;
  *place.byte = static_cast<std::uint8_t>(passes ? *place.byte | bit : *place.byte & ~bit);
}

/// y of one group of a block. Weight and bias, null where absent, go by element, or stand for the group.
template <class X, class T, class Y>
NORMKIT_RARE void normalize_carefully(const Block& block, Index group, const X& x, SavedStatistics<T> statistics,
                                      const T* weight, const T* bias, bool by_element, const Y& y) noexcept {
  NORMKIT_EXACT
  each_element(block, group, [&](Index at, Index element) {
    const Index parameter = by_element ? element : 0;
    const auto number = x[at];
    pass(x, at, number);
    Shifted<T> v = normalized(value(number), statistics);
    if (weight) v = v * Shifted<T>::of(weight[parameter]);
    if (bias) v = v + Shifted<T>::of(bias[parameter]);
    write(y, at, narrow<T>(v.plain()));
  });
}
