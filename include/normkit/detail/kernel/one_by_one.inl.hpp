// The steps of steps.hpp one group at a time, and what becomes of a group for which the formula gives up. Compiled once.

template <class S, class T>
NORMKIT_RARE void carefully(const CentreMoments<S, T>& step, Index g) {
  const Moments<T> out = step.out.from(g);
  if (step.squares[g] != T(0) || !is_constant(step.block, g, step.x))
    return careful_moments(step.block, g, step.x, out);
  *out.pivot = step.mean[g];
  *out.delta = *out.m2 = widen<T>(0.0);
  *out.exponent = 0;
}

template <class S, class T>
NORMKIT_RARE void carefully(const TakeSquares<S, T>& step, Index g) {
  careful_squares(step.block, g, step.x, step.out.from(g));
}

template <class T>
NORMKIT_RARE void carefully(const MergeMoments<T>& step, Index g) {
  merge_carefully<T>(step.into.from(g), step.other.from(g), step.share, step.weight);
}

template <class S, class Up, class T>
NORMKIT_RARE void carefully(const TakeSums<S, Up, T>& step, Index g) {
  const Centre<T>& centre = step.centre;
  const bool is_dual = centre.is_dual();
  const SavedStatistics<T> statistics = is_dual ? centre.statistics : centre.statistics.from(g);
  const SumOf<T> kind{centre.weight, is_dual};
  const bool has_exponent = centre.careful || (!is_dual && *statistics.exponent != 0);
  const GradientSums<T> out = step.out.from(g);
  if (has_exponent || !bounded<T>(static_cast<double>(step.sum[g])) || step.sum_x[g] != T(0) ||
      !products_vanish(step.block, g, step.x, step.dy, statistics, kind))
    return sum_carefully(step.block, g, step.x, step.dy, statistics, kind, out);
  *out.dy = widen<T>(static_cast<double>(step.sum[g]));
  *out.dy_x = widen<T>(static_cast<double>(step.sum_x[g]));
  *out.dy_exponent = 0;
  *out.dy_x_exponent = 0;
}

template <class T>
NORMKIT_RARE void carefully(const MergeSums<T>& step, Index g) {
  const GradientSums<T> into = step.into.from(g), other = step.other.from(g);
  add_carefully<T>(*into.dy, *into.dy_exponent, *other.dy, *other.dy_exponent);
  add_carefully<T>(*into.dy_x, *into.dy_x_exponent, *other.dy_x, *other.dy_x_exponent);
}

template <class T, class Factor>
NORMKIT_RARE void carefully(const Multiply<T, Factor>& step, Index g) {
  const Wide<T> factor = widen<T>(static_cast<double>(step.factor[g]));
  const Shifted<T> product = Shifted<T>{step.value[g], step.exponent[g]} * Shifted<T>{factor, 0};
  step.value[g] = product.value;
  step.exponent[g] = product.exponent;
}

template <class T>
NORMKIT_RARE void carefully(const StatisticsOf<T>& step, Index g) {
  NORMKIT_EXACT
  const Moments<T> moments = step.moments.from(g);
  careful_statistics<T>(*moments.pivot, *moments.delta, *moments.m2 / step.count, *moments.exponent, step.eps,
                        step.out.from(g));
}

template <class T, class Given>
NORMKIT_RARE void carefully(const StatisticsFrom<T, Given>& step, Index g) {
  NORMKIT_EXACT
  const T pivot = static_cast<T>(step.mean[g]);
  const double rest = static_cast<double>(step.mean[g]) - static_cast<double>(pivot);
  careful_statistics<T>(pivot, widen<T>(finite(rest) ? rest : 0.0), widen<T>(static_cast<double>(step.var[g])), 0,
                        step.eps, step.out.from(g));
}

template <class T>
NORMKIT_RARE void carefully(const UpdateRunning<T>& step, Index g) {
  NORMKIT_EXACT
  const Moments<T> moments = step.moments.from(g);
  const auto moved = [&](T old, Wide<T> batch, int exponent) {
    if (exponent == 0 && bounded<T>(static_cast<double>(old)) && bounded<T>(nearest(batch)))
      return step.keep * widen<T>(static_cast<double>(old)) + step.momentum * batch;
    return (Shifted<T>{step.keep, 0} * Shifted<T>::of(old) + Shifted<T>{step.momentum, 0} * Shifted<T>{batch, exponent})
        .plain();
  };
  const int exponent = *moments.exponent;
  const Wide<T> mean = widen<T>(static_cast<double>(*moments.pivot)) + *moments.delta;
  step.running_mean[g] = narrow<T>(moved(step.running_mean[g], mean, exponent));
  step.running_var[g] = narrow<T>(moved(step.running_var[g], *moments.m2 / step.freedom, 2 * exponent));
}

template <class T>
NORMKIT_RARE void carefully(const ScaleOf<T>& step, Index g) {
  NORMKIT_EXACT
  const SavedStatistics<T> statistics = step.statistics.from(g);
  const double weight = step.weight ? static_cast<double>(step.weight[g]) : 1.0;
  const double bias = step.bias ? static_cast<double>(step.bias[g]) : 0.0;
  step.scale[g] = static_cast<T>(*statistics.rstd * weight);
  step.careful[g] = needs_care<T>(statistics, weight, bias, step.scale[g]);
  *step.any |= step.careful[g];
}

template <class T>
NORMKIT_RARE void carefully(const GradientMeans<T>& step, Index g) {
  NORMKIT_EXACT
  const GradientSums<T> sums = step.sums.from(g);
  const Wide<T> r = widen<T>(step.statistics.rstd[g]), mean = *sums.dy / step.count;
  const Wide<T> mean_x = *sums.dy_x / step.count, mean_xhat = mean_x * r, slope = mean_xhat * r;
  step.mean_dy[g] = narrow<T>(mean);
  step.slope[g] = narrow<T>(slope);
  bool& careful = step.careful[g];
  careful |= *sums.dy_exponent != 0 || *sums.dy_x_exponent != 0 ||
             !(nearest(*sums.dy) == 0.0 || ordinary<T>(nearest(mean))) ||
             !(nearest(*sums.dy_x) == 0.0 || nearest(r) == 0.0 ||
               (ordinary<T>(nearest(mean_xhat)) && ordinary<T>(nearest(slope))));
  if (careful) step.kept[g] = {{mean, *sums.dy_exponent}, Shifted<T>{mean_x, *sums.dy_x_exponent} * Shifted<T>{r, 0}};
  *step.any |= careful;
}

template <class T>
NORMKIT_RARE void carefully(const AddGradient<T>& step, Index g) {
  NORMKIT_EXACT
  const Wide<T> more = step.rstd ? step.sum[g] * widen<T>(step.rstd[g]) : step.sum[g];
  step.gradient[g] = narrow<T>((Shifted<T>::of(step.gradient[g]) + Shifted<T>{more, step.exponent[g]}).plain());
}

/// One step for each of the groups [begin, end).
template <class T, class Step>
void one_by_one(const Step& step, Index begin, Index end) noexcept {
  for (Index g = begin; g < end; ++g)
    if (!ordinarily<One<T>>(step, g)) carefully(step, g);
}
