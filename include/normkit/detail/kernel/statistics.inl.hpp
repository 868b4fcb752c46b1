// From sums to statistics and coefficients, one precision up, each result rounded once: the steps of steps.hpp as formulas
// over Lanes (simd/groups.inl.hpp), for groups from g on. Each returns false, with nothing stored, where some of them is
// to be done carefully.

template <class Lanes, class S, class T>
NORMKIT_INLINE bool ordinarily(const CentreMoments<S, T>& step, Index g) {
  NORMKIT_EXACT
  using N = typename Lanes::Number;
  const auto squares = Lanes::load(step.squares + g);
  const N sum = widen<T>(Lanes::load(step.sum + g));
  const N delta = sum / Lanes::all(widen<T>(static_cast<double>(step.block.elements())));
  const N m2 = widen<T>(squares) - delta * sum;
  if (!every(both(ordinary<T>(squares), both(settled(delta), settled(m2))))) return false;
  Lanes::store(Lanes::load(step.mean + g), step.out.pivot + g);
  Lanes::store_wide(delta, step.out.delta + g);
  Lanes::store_wide(positive_part(m2), step.out.m2 + g);  // rounding alone can take it below 0
  clear<Lanes>(step.out.exponent + g);
  return true;
}

template <class Lanes, class S, class T>
NORMKIT_INLINE bool ordinarily(const TakeSquares<S, T>& step, Index g) {
  const auto squares = Lanes::load(step.squares + g), zero = all<typename Lanes::Real>(0.0);
  if (!every(ordinary<T>(squares))) return false;
  Lanes::store(zero, step.out.pivot + g);
  Lanes::store_wide(widen<T>(zero), step.out.delta + g);
  Lanes::store_wide(widen<T>(squares), step.out.m2 + g);
  clear<Lanes>(step.out.exponent + g);
  return true;
}

template <class Lanes, class T>
NORMKIT_INLINE bool ordinarily(const MergeMoments<T>& step, Index g) {
  NORMKIT_EXACT
  using N = typename Lanes::Number;
  const Moments<T> into = step.into.from(g), other = step.other.from(g);
  N delta = Lanes::load_wide(into.delta), m2 = Lanes::load_wide(into.m2);
  const N gap = gap_between<T>(Lanes::load(into.pivot), delta, Lanes::load(other.pivot), Lanes::load_wide(other.delta));
  merge_one(delta, m2, Lanes::load_wide(other.m2), gap, Lanes::all(step.share), Lanes::all(step.weight));
  const auto size = nearest(gap);
  const auto fine = either(size == all<typename Lanes::Real>(0.0), ordinary<double>(size * size));
  if (!same<Lanes>(into.exponent, other.exponent) || !every(both(fine, both(settled(delta), settled(m2)))))
    return false;
  Lanes::store_wide(delta, into.delta);
  Lanes::store_wide(m2, into.m2);
  return true;
}

template <class Lanes, class S, class Up, class T>
NORMKIT_INLINE bool ordinarily(const TakeSums<S, Up, T>& step, Index g) {
  const auto sum = Lanes::load(step.sum + g), sum_x = Lanes::load(step.sum_x + g);
  const Centre<T>& centre = step.centre;
  if (centre.careful || (!centre.is_dual() && !none<Lanes>(centre.statistics.exponent + g)) ||
      !every(both(bounded<T>(sum), ordinary<T>(sum_x))))
    return false;
  Lanes::store_wide(widen<T>(sum), step.out.dy + g);
  Lanes::store_wide(widen<T>(sum_x), step.out.dy_x + g);
  clear<Lanes>(step.out.dy_exponent + g);
  clear<Lanes>(step.out.dy_x_exponent + g);
  return true;
}

template <class Lanes, class T>
NORMKIT_INLINE bool ordinarily(const MergeSums<T>& step, Index g) {
  NORMKIT_EXACT
  using N = typename Lanes::Number;
  const GradientSums<T> into = step.into.from(g), other = step.other.from(g);
  const N dy = Lanes::load_wide(into.dy) + Lanes::load_wide(other.dy);
  const N dy_x = Lanes::load_wide(into.dy_x) + Lanes::load_wide(other.dy_x);
  if (!same<Lanes>(into.dy_exponent, other.dy_exponent) || !same<Lanes>(into.dy_x_exponent, other.dy_x_exponent) ||
      !every(both(settled(dy), settled(dy_x))))
    return false;
  Lanes::store_wide(dy, into.dy);
  Lanes::store_wide(dy_x, into.dy_x);
  return true;
}

template <class Lanes, class T, class Factor>
NORMKIT_INLINE bool ordinarily(const Multiply<T, Factor>& step, Index g) {
  NORMKIT_EXACT
  const auto product = Lanes::load_wide(step.value + g) * widen<T>(Lanes::load(step.factor + g));
  if constexpr (!std::is_same_v<Exponent<T>, NoExponent>)  // a double holds any product of floats and their sums
    if (!none<Lanes>(step.exponent + g) || !every(both(ordinary<double>(nearest(product)), settled(product))))
      return false;
  Lanes::store_wide(product, step.value + g);
  return true;
}

/// mean as hi + lo and rstd = 1 / sqrt(var + eps), from means pivot + delta and variances.
template <class Lanes, class T>
NORMKIT_INLINE bool set_statistics(typename Lanes::Real pivot, typename Lanes::Number delta, typename Lanes::Number var,
                                   double eps, Statistics<T> out) {
  NORMKIT_EXACT
  using N = typename Lanes::Number;
  using R = typename Lanes::Real;
  // The least variance, beside that of eps, whose mean_lo has all its digits: a float's ends at 2^-149.
  const N sum = var + Lanes::all(widen<T>(eps)), centre = widen<T>(pivot) + delta;
  const R v = nearest(var), rest = nearest(delta), zero = all<R>(0.0);
  const R least = all<R>(std::is_same_v<T, float> ? 0x1p-200 : 0x1p-900) * (all<R>(1.0) + nearest(sum));
  const auto constant = both(v == zero, either(rest == zero, ordinary<T>(rest)));
  if (!every(both(both(either(v >= least, constant), ordinary<T>(nearest(sum))), settled(centre)))) return false;
  const R mean = Lanes::round(nearest(centre));
  Lanes::store(mean, out.mean);
  Lanes::store(pick(finite(mean), nearest(exact_sum<T>(pivot, -mean) + delta), zero), out.mean_lo);
  Lanes::store(nearest(reciprocal_sqrt(sum)), out.rstd);
  clear<Lanes>(out.exponent);
  return true;
}

template <class Lanes, class T>
NORMKIT_INLINE bool ordinarily(const StatisticsOf<T>& step, Index g) {
  NORMKIT_EXACT
  const Moments<T> moments = step.moments.from(g);
  return none<Lanes>(moments.exponent) &&
         set_statistics<Lanes, T>(Lanes::load(moments.pivot), Lanes::load_wide(moments.delta),
                                  Lanes::load_wide(moments.m2) / Lanes::all(step.count), step.eps, step.out.from(g));
}

template <class Lanes, class T, class Given>
NORMKIT_INLINE bool ordinarily(const StatisticsFrom<T, Given>& step, Index g) {
  NORMKIT_EXACT
  const typename Lanes::Real given = Lanes::load(step.mean + g), pivot = Lanes::round(given), rest = given - pivot;
  return set_statistics<Lanes, T>(pivot, widen<T>(pick(finite(rest), rest, all<typename Lanes::Real>(0.0))),
                                  widen<T>(Lanes::load(step.var + g)), step.eps, step.out.from(g));
}

template <class Lanes, class T>
NORMKIT_INLINE bool ordinarily(const UpdateRunning<T>& step, Index g) {
  NORMKIT_EXACT
  using N = typename Lanes::Number;
  const Moments<T> moments = step.moments.from(g);
  const N mean = widen<T>(Lanes::load(moments.pivot)) + Lanes::load_wide(moments.delta);
  const N var = Lanes::load_wide(moments.m2) / Lanes::all(step.freedom);
  const auto old_mean = Lanes::load(step.running_mean + g), old_var = Lanes::load(step.running_var + g);
  const auto fine_mean = both(both(bounded<T>(old_mean), bounded<T>(nearest(mean))), settled(mean));
  const auto fine_var = both(both(bounded<T>(old_var), bounded<T>(nearest(var))), settled(var));
  if (!none<Lanes>(moments.exponent) || !every(both(fine_mean, fine_var))) return false;
  const N keep = Lanes::all(step.keep), momentum = Lanes::all(step.momentum);
  Lanes::store(nearest(keep * widen<T>(old_mean) + momentum * mean), step.running_mean + g);
  Lanes::store(nearest(keep * widen<T>(old_var) + momentum * var), step.running_var + g);
  return true;
}

template <class Lanes, class T>
NORMKIT_INLINE bool ordinarily(const ScaleOf<T>& step, Index g) {
  NORMKIT_EXACT
  using R = typename Lanes::Real;
  const SavedStatistics<T> statistics = step.statistics.from(g);
  const R weight = step.weight ? Lanes::load(step.weight + g) : all<R>(1.0);
  const R bias = step.bias ? Lanes::load(step.bias + g) : all<R>(0.0);
  const R scale = Lanes::round(Lanes::load(statistics.rstd) * weight);
  if (!none<Lanes>(statistics.exponent) ||
      !every(both(both(bounded<T>(Lanes::load(statistics.mean)), bounded<T>(bias)), ordinary<T>(scale))))
    return false;
  Lanes::store(scale, step.scale + g);
  clear<Lanes>(step.careful + g);
  return true;
}

template <class Lanes, class T>
NORMKIT_INLINE bool ordinarily(const GradientMeans<T>& step, Index g) {
  NORMKIT_EXACT
  using N = typename Lanes::Number;
  const GradientSums<T> sums = step.sums.from(g);
  const N count = Lanes::all(step.count), rstd = widen<T>(Lanes::load(step.statistics.rstd + g));
  const N mean = Lanes::load_wide(sums.dy) / count, mean_xhat = Lanes::load_wide(sums.dy_x) / count * rstd;
  const N slope = mean_xhat * rstd;
  const auto fine =
      both(ordinary<T>(nearest(mean)), both(ordinary<T>(nearest(mean_xhat)), ordinary<T>(nearest(slope))));
  if (!none<Lanes>(step.careful + g) || !none<Lanes>(sums.dy_exponent) || !none<Lanes>(sums.dy_x_exponent) ||
      !every(both(fine, both(settled(mean), settled(slope)))))
    return false;
  Lanes::store(nearest(mean), step.mean_dy + g);
  Lanes::store(nearest(slope), step.slope + g);
  return true;
}

template <class Lanes, class T>
NORMKIT_INLINE bool ordinarily(const AddGradient<T>& step, Index g) {
  NORMKIT_EXACT
  using N = typename Lanes::Number;
  N more = Lanes::load_wide(step.sum + g);
  if (step.rstd) more = more * widen<T>(Lanes::load(step.rstd + g));
  const auto old = Lanes::load(step.gradient + g);
  const N sum = widen<T>(old) + more;
  if constexpr (!std::is_same_v<Exponent<T>, NoExponent>)  // a double holds whatever floats add up to
    if (!none<Lanes>(step.exponent + g) || !every(both(both(bounded<T>(old), bounded<T>(nearest(more))), settled(sum))))
      return false;
  Lanes::store(nearest(sum), step.gradient + g);
  return true;
}
