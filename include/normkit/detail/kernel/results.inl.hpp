// What is asked for once of each statistic of a call, one at a time. Compiled once.

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

/// The moments whose mean and sum of squares are plain numbers. A mean that T does not hold is all in the rest.
template <class T>
void take_moments(double mean, double m2, Moments<T> out) noexcept {
  NORMKIT_EXACT
  const T nearest_mean = static_cast<T>(mean);
  *out.pivot = std::isfinite(mean) && !std::isfinite(nearest_mean) ? T(0) : nearest_mean;
  *out.delta = widen<T>(std::isfinite(mean) ? mean - static_cast<double>(*out.pivot) : 0.0);
  *out.m2 = widen<T>(m2);
  *out.exponent = 0;
}

/// A sum as a plain number.
template <class T>
double plain_sum(Wide<T> sum, int exponent) noexcept {
  return nearest(shifted(sum, exponent));
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

/// What evaluation multiplies each channel by, and what it then adds: rstd * weight, and bias - mean * scale. Null: 1 and 0.
template <class T>
void scale_and_shift(Index channels, const T* mean, const T* var, double eps, const T* weight, const T* bias,
                     double* scale, double* shift) noexcept {
  NORMKIT_EXACT
  for (Index c = 0; c < channels; ++c) {
    scale[c] = reciprocal_sqrt(static_cast<double>(var[c]) + eps) * (weight ? static_cast<double>(weight[c]) : 1.0);
    shift[c] = (bias ? static_cast<double>(bias[c]) : 0.0) - static_cast<double>(mean[c]) * scale[c];
  }
}

/// out * scale + shift, rounded once.
template <class T>
T scaled_and_shifted(T value, double scale, double shift) noexcept {
  NORMKIT_EXACT
  return static_cast<T>(static_cast<double>(value) * scale + shift);
}

/// sum + a * b
inline double added_product(double sum, double a, double b) noexcept {
  NORMKIT_EXACT
  return sum + a * b;
}
