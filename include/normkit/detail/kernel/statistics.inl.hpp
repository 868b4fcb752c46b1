// From sums to statistics and coefficients, one group at a time and one precision up, each result rounded once.
// Compiled once, in a region of its own: all arithmetic that reaches a result stands in this folder, where contraction
// is off.

/// Moments of a block of n elements from the sums around its first mean, which the kernels leave in their places: delta
/// the sum of x - pivot, m2 the sum of its squares. The corrected two-pass formula (Chan, Golub, LeVeque 1983): without
/// the correction 9 % of ordinary float outputs would be off by more than 4 u.
/// A group whose squares overflow or underflow in T is done again, carefully.
template <class T>
void centre_moments(const Block& block, const T* x, Moments<T> moments) noexcept {
  NORMKIT_EXACT
  const Wide<T> count = widen<T>(static_cast<double>(block.elements()));
  for (Index g = 0; g < block.groups; ++g) {
    const double squares = nearest(moments.m2[g]);
    if (!ordinary<T>(squares) && !(squares == 0.0 && is_constant(block, g, x))) {
      careful_moments(block, g, x, moments.from(g));
      continue;
    }
    const Wide<T> sum = moments.delta[g], delta = sum / count, m2 = moments.m2[g] - delta * sum;
    moments.delta[g] = delta;
    moments.m2[g] = nearest(m2) < 0.0 ? widen<T>(0) : m2;  // rounding alone can take it below 0
    moments.exponent[g] = 0;
  }
}

/// Chan's merge of the moments of `more` further elements into those of `count`.
template <class T>
void merge_moments(Index groups, Moments<T> into, Index count, Moments<T> other, Index more) noexcept {
  NORMKIT_EXACT
  const Wide<T> a = widen<T>(static_cast<double>(count)), b = widen<T>(static_cast<double>(more));
  const Wide<T> share = b / (a + b), weight = a * share;
  for (Index g = 0; g < groups; ++g) {
    const Wide<T> gap = gap_between<T>(into.from(g), other.from(g));
    const double size = nearest(gap);
    if (into.exponent[g] == other.exponent[g] && (size == 0.0 || ordinary<double>(size * size)))
      merge_one<T>(into.from(g), other.from(g), gap, share, weight);
    else
      merge_carefully<T>(into.from(g), other.from(g), share, weight);
  }
}

template <class T>
void merge_sums(Index groups, GradientSums<T> into, GradientSums<T> other) noexcept {
  NORMKIT_EXACT
  const auto add = [](Wide<T>& sum, Exponent<T>& exponent, Wide<T> more, int more_exponent) {
    if (exponent == more_exponent)
      sum = sum + more;
    else
      add_carefully<T>(sum, exponent, more, more_exponent);
  };
  for (Index g = 0; g < groups; ++g) {
    add(into.dy[g], into.dy_exponent[g], other.dy[g], other.dy_exponent[g]);
    add(into.dy_x[g], into.dy_x_exponent[g], other.dy_x[g], other.dy_x_exponent[g]);
  }
}

/// The exponents of sums that the kernels have made. A group whose products overflow or underflow in T is done again,
/// carefully, and so is one whose statistics have an exponent. On the dual view these are by element: `dual` then says
/// whether any has.
template <class T>
void check_sums(const Block& block, const T* x, const T* dy, SavedStatistics<T> statistics, SumOf<T> kind,
                GradientSums<T> sums) noexcept {
  NORMKIT_EXACT
  const auto has_exponent = [&](Index g) { return kind.careful || (!kind.dual && statistics.exponent[g] != 0); };
  bool fine = !kind.careful;
  for (Index g = 0; !kind.dual && g < block.groups; ++g) fine &= statistics.exponent[g] == 0;
  for (Index g = 0; g < block.groups; ++g) {
    sums.dy_exponent[g] = 0;
    sums.dy_x_exponent[g] = 0;
    fine &= bounded<T>(nearest(sums.dy[g]));
    fine &= ordinary<T>(nearest(sums.dy_x[g]));
  }
  for (Index g = 0; !fine && g < block.groups; ++g) {
    const double sum_x = nearest(sums.dy_x[g]);
    const SavedStatistics<T> own = kind.dual ? statistics : statistics.from(g);
    if (!has_exponent(g) && bounded<T>(nearest(sums.dy[g])) &&
        (ordinary<T>(sum_x) || (sum_x == 0.0 && products_vanish(block, g, x, dy, own, kind))))
      continue;
    sum_carefully(block, g, x, dy, own, kind, sums.from(g));
  }
}

/// mean as hi + lo and rstd = 1 / sqrt(var + eps) of one group, from its mean pivot + delta and its variance.
template <class T>
NORMKIT_INLINE void set_statistics(T pivot, Wide<T> delta, Wide<T> var, int exponent, double eps, Statistics<T> out) {
  NORMKIT_EXACT
  // The least variance, beside that of eps, whose mean_lo has all its digits: a float's ends at 2^-149.
  const Wide<T> sum = var + widen<T>(eps);
  const double v = nearest(var), rest = nearest(delta), least = std::is_same_v<T, float> ? 0x1p-200 : 0x1p-900;
  const bool small = v != 0.0 ? v < least * (1.0 + nearest(sum)) : rest != 0.0 && !ordinary<T>(rest);
  if (exponent != 0 || small || !ordinary<T>(nearest(sum))) {
    careful_statistics<T>(pivot, delta, var, exponent, eps, out);
    return;
  }
  *out.mean = narrow<T>(widen<T>(static_cast<double>(pivot)) + delta);
  *out.mean_lo = finite(static_cast<double>(*out.mean)) ? narrow<T>(exact_sum<T>(pivot, -*out.mean) + delta) : T(0);
  *out.rstd = nearest(reciprocal_sqrt(sum));
  *out.exponent = 0;
}

/// The statistics of n elements from their moments.
template <class T>
void statistics_of(Index groups, Moments<T> moments, Index n, double eps, Statistics<T> out) noexcept {
  NORMKIT_EXACT
  const Wide<T> count = widen<T>(static_cast<double>(n));
  for (Index g = 0; g < groups; ++g)
    set_statistics<T>(moments.pivot[g], moments.delta[g], moments.m2[g] / count, moments.exponent[g], eps, out.from(g));
}

/// The same from a given mean and variance: running statistics (of T), or those of the core header (double).
template <class T, class Given>
void statistics_from(Index groups, const Given* mean, const Given* var, double eps, Statistics<T> out) noexcept {
  NORMKIT_EXACT
  for (Index g = 0; g < groups; ++g) {
    const T pivot = static_cast<T>(mean[g]);
    const double rest = static_cast<double>(mean[g]) - static_cast<double>(pivot);
    set_statistics<T>(pivot, widen<T>(finite(rest) ? rest : 0.0), widen<T>(static_cast<double>(var[g])), 0, eps,
                      out.from(g));
  }
}

/// Mean and biased variance as plain numbers.
template <class T, class Result>
void mean_and_variance(Index groups, Moments<T> moments, Index n, Result* mean, Result* var) noexcept {
  NORMKIT_EXACT
  const Wide<T> count = widen<T>(static_cast<double>(n));
  for (Index g = 0; g < groups; ++g) {
    const int exponent = moments.exponent[g];
    const Wide<T> sum = widen<T>(static_cast<double>(moments.pivot[g])) + moments.delta[g];
    mean[g] = static_cast<Result>(nearest(shifted(sum, exponent)));
    var[g] = static_cast<Result>(nearest(shifted(moments.m2[g] / count, 2 * exponent)));
  }
}

/// running = (1 - momentum) * running + momentum * batch, with the unbiased variance m2 / (n - 1).
template <class T>
void update_running(Index groups, Moments<T> moments, Index n, double momentum, T* running_mean,
                    T* running_var) noexcept {
  NORMKIT_EXACT
  const Wide<T> m = widen<T>(momentum), keep = widen<T>(1.0) - m, freedom = widen<T>(static_cast<double>(n - 1));
  const auto moved = [&](T old, Wide<T> batch, int exponent) {
    if (exponent == 0 && bounded<T>(static_cast<double>(old)) && bounded<T>(nearest(batch)))
      return keep * widen<T>(static_cast<double>(old)) + m * batch;
    return (Shifted<T>{keep, 0} * Shifted<T>::of(old) + Shifted<T>{m, 0} * Shifted<T>{batch, exponent}).plain();
  };
  for (Index g = 0; g < groups; ++g) {
    const int exponent = moments.exponent[g];
    const Wide<T> mean = widen<T>(static_cast<double>(moments.pivot[g])) + moments.delta[g];
    running_mean[g] = narrow<T>(moved(running_mean[g], mean, exponent));
    running_var[g] = narrow<T>(moved(running_var[g], moments.m2[g] / freedom, 2 * exponent));
  }
}

/// scale = rstd * weight by group, or rstd alone where weight is null; rounded to T once. Marks the groups that the
/// ordinary kernels cannot do with it, and returns whether there is any.
template <class T>
bool scale_of(Index groups, SavedStatistics<T> statistics, const T* weight, const T* bias, T* scale,
              bool* careful) noexcept {
  NORMKIT_EXACT
  bool any = false;
  for (Index g = 0; g < groups; ++g) {
    const double w = weight ? static_cast<double>(weight[g]) : 1.0;
    scale[g] = static_cast<T>(statistics.rstd[g] * w);
    careful[g] = needs_care<T>(statistics.from(g), w, bias ? static_cast<double>(bias[g]) : 0.0, scale[g]);
    any |= careful[g];
  }
  return any;
}

/// rstd of every statistic rounded to T, for the dual view. Returns whether any is not to be used like that.
template <class T>
bool round_rstd(Index statistics, SavedStatistics<T> saved, T* rstd) noexcept {
  bool careful = false;
  for (Index s = 0; s < statistics; ++s) {
    rstd[s] = static_cast<T>(saved.rstd[s]);
    careful |= saved.exponent[s] != 0 || (saved.rstd[s] != 0.0 && !ordinary<T>(saved.rstd[s]));
  }
  return careful;
}

/// The means that the gradient of the input subtracts: mean(dy), and slope = rstd^2 * mean(dy * (x - mean)). Where T does
/// not hold them, the group is marked, and both are kept as they are. Returns whether any group is marked.
template <class T>
bool gradient_means(Index groups, GradientSums<T> sums, Index n, SavedStatistics<T> statistics, T* mean_dy, T* slope,
                    CarefulMeans<T>* kept, bool* careful) noexcept {
  NORMKIT_EXACT
  const Wide<T> count = widen<T>(static_cast<double>(n));
  bool any = false;
  for (Index g = 0; g < groups; ++g) {
    const Wide<T> r = widen<T>(statistics.rstd[g]), mean = sums.dy[g] / count, mean_xhat = sums.dy_x[g] / count * r;
    const Wide<T> s = mean_xhat * r;
    mean_dy[g] = narrow<T>(mean);
    slope[g] = narrow<T>(s);
    careful[g] |= sums.dy_exponent[g] != 0 || sums.dy_x_exponent[g] != 0 ||
                  !(nearest(sums.dy[g]) == 0.0 || ordinary<T>(nearest(mean))) ||
                  !(nearest(sums.dy_x[g]) == 0.0 || nearest(r) == 0.0 ||
                    (ordinary<T>(nearest(mean_xhat)) && ordinary<T>(nearest(s))));
    if (careful[g])
      kept[g] = {{sums.dy[g] / count, sums.dy_exponent[g]},
                 Shifted<T>{sums.dy_x[g] / count, sums.dy_x_exponent[g]} * Shifted<T>{r, 0}};
    any |= careful[g];
  }
  return any;
}

/// old + sum * 2^exponent. A double holds whatever floats add up to.
template <class T>
NORMKIT_INLINE T added(T old, Wide<T> sum, int exponent) {
  NORMKIT_EXACT
  constexpr bool holds_all = std::is_same_v<Exponent<T>, NoExponent>;
  if (holds_all || (exponent == 0 && bounded<T>(static_cast<double>(old)) && bounded<T>(nearest(sum))))
    return narrow<T>(widen<T>(static_cast<double>(old)) + sum);
  return narrow<T>((Shifted<T>::of(old) + Shifted<T>{sum, exponent}).plain());
}

/// Adds the sums to the gradients of the parameters, null where not asked for; rstd null where the sums have it in
/// them.
template <class T>
void add_gradients(Index groups, GradientSums<T> sums, const double* rstd, T* weight_grad, T* bias_grad) noexcept {
  NORMKIT_EXACT
  for (Index g = 0; bias_grad && g < groups; ++g) bias_grad[g] = added(bias_grad[g], sums.dy[g], sums.dy_exponent[g]);
  for (Index g = 0; weight_grad && g < groups; ++g)
    weight_grad[g] =
        added(weight_grad[g], rstd ? sums.dy_x[g] * widen<T>(rstd[g]) : sums.dy_x[g], sums.dy_x_exponent[g]);
}
