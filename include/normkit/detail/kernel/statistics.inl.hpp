// From sums to statistics and coefficients, one group at a time and one precision up, each result rounded once.
// Compiled once, in a region of its own: all arithmetic that reaches a result stands in this folder, where contraction
// is off.

/// Moments of a block of n elements from the sums around its first mean, which the kernels leave in their places: delta
/// the sum of x - pivot, m2 the sum of its squares. The corrected two-pass formula (Chan, Golub, LeVeque 1983): without
/// the correction 9 % of ordinary float outputs would be off by more than 4 u.
template <class T>
void centre_moments(Index groups, Moments<T> moments, Index n) noexcept {
  NORMKIT_EXACT
  const Wide<T> count = widen<T>(static_cast<double>(n));
  for (Index g = 0; g < groups; ++g) {
    const Wide<T> sum = moments.delta[g], delta = sum / count, m2 = moments.m2[g] - delta * sum;
    moments.delta[g] = delta;
    moments.m2[g] = nearest(m2) < 0.0 ? widen<T>(0) : m2;  // rounding alone can take it below 0; NaN stays
  }
}

/// Chan's merge of the moments of `more` further elements into those of `count`.
template <class T>
void merge_moments(Index groups, Moments<T> into, Index count, Moments<T> other, Index more) noexcept {
  NORMKIT_EXACT
  const Wide<T> a = widen<T>(static_cast<double>(count)), b = widen<T>(static_cast<double>(more));
  const Wide<T> share = b / (a + b), weight = a * share;
  for (Index g = 0; g < groups; ++g) {
    const Wide<T> gap = exact_sum<T>(other.pivot[g], -into.pivot[g]) + (other.delta[g] - into.delta[g]);
    into.delta[g] = into.delta[g] + gap * share;
    into.m2[g] = into.m2[g] + other.m2[g] + gap * gap * weight;
  }
}

template <class T>
void merge_sums(Index groups, GradientSums<T> into, GradientSums<T> other) noexcept {
  NORMKIT_EXACT
  for (Index g = 0; g < groups; ++g) {
    into.dy[g] = into.dy[g] + other.dy[g];
    into.dy_x[g] = into.dy_x[g] + other.dy_x[g];
  }
}

/// mean as hi + lo and rstd = 1 / sqrt(m2 / n + eps) from the moments of n elements.
template <class T>
void statistics_of(Index groups, Moments<T> moments, Index n, double eps, Statistics<T> out) noexcept {
  NORMKIT_EXACT
  const Wide<T> count = widen<T>(static_cast<double>(n)), epsilon = widen<T>(eps);
  for (Index g = 0; g < groups; ++g) {
    const Wide<T> mean = widen<T>(moments.pivot[g]) + moments.delta[g];
    out.mean[g] = narrow<T>(mean);
    out.mean_lo[g] = rest_of<T>(mean, out.mean[g]);
    out.rstd[g] = nearest(reciprocal_sqrt(moments.m2[g] / count + epsilon));
  }
}

/// The same from a given mean and variance: running statistics (of T), or those of the core header (double).
template <class T, class Given>
void statistics_from(Index groups, const Given* mean, const Given* var, double eps, Statistics<T> out) noexcept {
  NORMKIT_EXACT
  for (Index g = 0; g < groups; ++g) {
    out.mean[g] = static_cast<T>(mean[g]);
    out.mean_lo[g] = rest_of<T>(widen<T>(static_cast<double>(mean[g])), out.mean[g]);
    out.rstd[g] = nearest(reciprocal_sqrt(widen<T>(static_cast<double>(var[g])) + widen<T>(eps)));
  }
}

/// Mean and biased variance as plain numbers.
template <class T, class Result>
void mean_and_variance(Index groups, Moments<T> moments, Index n, Result* mean, Result* var) noexcept {
  NORMKIT_EXACT
  const Wide<T> count = widen<T>(static_cast<double>(n));
  for (Index g = 0; g < groups; ++g) {
    mean[g] = static_cast<Result>(nearest(widen<T>(moments.pivot[g]) + moments.delta[g]));
    var[g] = static_cast<Result>(nearest(moments.m2[g] / count));
  }
}

/// running = (1 - momentum) * running + momentum * batch, with the unbiased variance m2 / (n - 1).
template <class T>
void update_running(Index groups, Moments<T> moments, Index n, double momentum, T* running_mean,
                    T* running_var) noexcept {
  NORMKIT_EXACT
  const Wide<T> m = widen<T>(momentum), keep = widen<T>(1.0) - m, freedom = widen<T>(static_cast<double>(n - 1));
  for (Index g = 0; g < groups; ++g) {
    const Wide<T> mean = widen<T>(moments.pivot[g]) + moments.delta[g], var = moments.m2[g] / freedom;
    running_mean[g] = narrow<T>(keep * widen<T>(running_mean[g]) + m * mean);
    running_var[g] = narrow<T>(keep * widen<T>(running_var[g]) + m * var);
  }
}

/// scale = rstd * weight by group, or rstd alone where weight is null; rounded to T once.
template <class T>
void scale_of(Index groups, const double* rstd, const T* weight, T* scale) noexcept {
  NORMKIT_EXACT
  for (Index g = 0; g < groups; ++g)
    scale[g] = static_cast<T>(weight ? rstd[g] * static_cast<double>(weight[g]) : rstd[g]);
}

/// The means that the gradient of the input subtracts: mean(dy), and slope = rstd^2 * mean(dy * (x - mean)).
template <class T>
void gradient_means(Index groups, GradientSums<T> sums, Index n, const double* rstd, T* mean_dy, T* slope) noexcept {
  NORMKIT_EXACT
  const Wide<T> count = widen<T>(static_cast<double>(n));
  for (Index g = 0; g < groups; ++g) {
    const Wide<T> r = widen<T>(rstd[g]);
    mean_dy[g] = narrow<T>(sums.dy[g] / count);
    slope[g] = narrow<T>(sums.dy_x[g] / count * r * r);
  }
}

/// Adds the sums to the gradients of the parameters, null where not asked for; rstd null where the sums have it in
/// them.
template <class T>
void add_gradients(Index groups, GradientSums<T> sums, const double* rstd, T* weight_grad, T* bias_grad) noexcept {
  NORMKIT_EXACT
  for (Index g = 0; g < groups; ++g) {
    if (weight_grad) {
      const Wide<T> sum = rstd ? sums.dy_x[g] * widen<T>(rstd[g]) : sums.dy_x[g];
      weight_grad[g] = narrow<T>(widen<T>(weight_grad[g]) + sum);
    }
    if (bias_grad) bias_grad[g] = narrow<T>(widen<T>(bias_grad[g]) + sums.dy[g]);
  }
}
