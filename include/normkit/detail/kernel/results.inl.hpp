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
