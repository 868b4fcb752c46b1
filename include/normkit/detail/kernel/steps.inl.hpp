// The steps of steps.hpp for any number of groups.

/// As many groups at a time as a register has room for; one by one those that are left, or that cannot be done like that.
/// Registers of two doubles are not worth the code.
template <class T, class Step>
NORMKIT_INLINE void each_group(Index groups, const Step& step) {
#if NORMKIT_VECTOR_EXTENSIONS && NORMKIT_PACK_BYTES > 16
  constexpr Index width = Many<T>::width;
  Index g = 0;
  for (; g + width <= groups; g += width)
    if (!ordinarily<Many<T>>(step, g)) scalar::one_by_one<T>(step, g, g + width);
  if (g < groups) scalar::one_by_one<T>(step, g, groups);
#else
  scalar::one_by_one<T>(step, 0, groups);
#endif
}

template <class T>
void merge_moments(Index groups, Moments<T> into, Index count, Moments<T> other, Index more) noexcept {
  NORMKIT_EXACT
  const Wide<T> a = widen<T>(static_cast<double>(count)), b = widen<T>(static_cast<double>(more));
  const Wide<T> share = b / (a + b), weight = a * share;
  each_group<T>(groups, MergeMoments<T>{into, other, share, weight});
}

/// The mean of the moments of `count` sets and one more, all of the same number of elements: what they differ by from each
/// other is not in it.
template <class T>
void average_moments(Index groups, Moments<T> into, Index count, Moments<T> other) noexcept {
  NORMKIT_EXACT
  const Wide<T> one = widen<T>(1.0), share = one / widen<T>(static_cast<double>(count + 1));
  each_group<T>(groups, MergeMoments<T>{into, other, share, widen<T>(0.0)});
}

template <class T>
void merge_sums(Index groups, GradientSums<T> into, GradientSums<T> other) noexcept {
  each_group<T>(groups, MergeSums<T>{into, other});
}

/// Of `from`, `each` neighbouring groups become one, from left to right.
template <class T>
void merge_neighbours(Index groups, Index each, GradientSums<T> from, GradientSums<T> into) noexcept {
  for (Index g = 0; g < groups; ++g) {
    copy(1, from.from(g * each), into.from(g));
    for (Index m = 1; m < each; ++m) {
      const MergeSums<T> step{into.from(g), from.from(g * each + m)};
      if (!ordinarily<One<T>>(step, 0)) scalar::carefully(step, 0);
    }
  }
}

/// Sums of dy and of dy * (x - mean), times a weight for each group.
template <class T>
void weigh_sums(Index groups, GradientSums<T> sums, const T* weight) noexcept {
  each_group<T>(groups, Multiply<T, T>{sums.dy, sums.dy_exponent, weight});
  each_group<T>(groups, Multiply<T, T>{sums.dy_x, sums.dy_x_exponent, weight});
}

/// Sums of dy * (x - mean) become those of dy * xhat.
template <class T>
void scale_sums(Index groups, GradientSums<T> sums, const double* rstd) noexcept {
  each_group<T>(groups, Multiply<T, double>{sums.dy_x, sums.dy_x_exponent, rstd});
}

template <class T>
void statistics_of(Index groups, Moments<T> moments, Index n, double eps, Statistics<T> out) noexcept {
  each_group<T>(groups, StatisticsOf<T>{moments, widen<T>(static_cast<double>(n)), eps, out});
}

template <class T, class Given>
void statistics_from(Index groups, const Given* mean, const Given* var, double eps, Statistics<T> out) noexcept {
  each_group<T>(groups, StatisticsFrom<T, Given>{mean, var, eps, out});
}

template <class T>
void update_running(Index groups, Moments<T> moments, Index freedom, double momentum, T* running_mean,
                    T* running_var) noexcept {
  NORMKIT_EXACT
  const Wide<T> m = widen<T>(momentum), keep = widen<T>(1.0) - m, divisor = widen<T>(static_cast<double>(freedom));
  each_group<T>(groups, UpdateRunning<T>{moments, keep, m, divisor, running_mean, running_var});
}

template <class T>
bool scale_of(Index groups, SavedStatistics<T> statistics, const T* weight, const T* bias, T* scale,
              bool* careful) noexcept {
  bool any = false;
  each_group<T>(groups, ScaleOf<T>{statistics, weight, bias, scale, careful, &any});
  return any;
}

template <class T>
bool gradient_means(Index groups, GradientSums<T> sums, Index n, SavedStatistics<T> statistics, T* mean_dy, T* slope,
                    scalar::CarefulMeans<T>* kept, bool* careful) noexcept {
  bool any = false;
  const Wide<T> count = widen<T>(static_cast<double>(n));
  each_group<T>(groups, GradientMeans<T>{sums, count, statistics, mean_dy, slope, kept, careful, &any});
  return any;
}

/// Adds the sums to the gradients of the parameters, null where not asked for.
template <class T>
void add_gradients(Index groups, GradientSums<T> sums, const double* rstd, T* weight_grad, T* bias_grad) noexcept {
  if (bias_grad) each_group<T>(groups, AddGradient<T>{sums.dy, sums.dy_exponent, nullptr, bias_grad});
  if (weight_grad) each_group<T>(groups, AddGradient<T>{sums.dy_x, sums.dy_x_exponent, rstd, weight_grad});
}
