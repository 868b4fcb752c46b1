#pragma once

#include <normkit/detail/kernel/steps.hpp>

namespace normkit::detail {

/// The way a kernel walks its block: along the runs of one group, or across the lanes of neighbouring groups.
enum Walk : int { runs = 0, lanes = 1 };

/// The kernels that write an output of x's shape.
template <Stored S>
struct Maps {
  using T = Arithmetic<S>;
  using NormalizeOf = void (*)(const Block&, const S* x, const Normalization<T>&, S* y) noexcept;
  using GradientOf = void (*)(const Block&, const S* x, const S* dy, const S* added, const InputGradient<T>&,
                              S* dx) noexcept;

  NormalizeOf normalize[2][4];   // [walk][has weight + 2 * has bias, both by element]
  GradientOf gradient[2][3][2];  // [walk][WeightBy][something is added]
};

/// The steps between passes over data (steps.hpp), for neighbouring groups.
template <Scalar T>
struct Steps {
  void (*merge_moments)(Index groups, Moments<T> into, Index count, Moments<T> other, Index more) noexcept;
  void (*average_moments)(Index groups, Moments<T> into, Index count, Moments<T> other) noexcept;
  void (*merge_sums)(Index groups, GradientSums<T> into, GradientSums<T> other) noexcept;
  void (*merge_neighbours)(Index groups, Index each, GradientSums<T> from, GradientSums<T> into) noexcept;
  void (*weigh_sums)(Index groups, GradientSums<T>, const T* weight) noexcept;
  void (*scale_sums)(Index groups, GradientSums<T>, const double* rstd) noexcept;
  void (*statistics_of)(Index groups, Moments<T>, Index n, double eps, Statistics<T> out) noexcept;
  void (*statistics_from)(Index groups, const T* mean, const T* var, double eps, Statistics<T> out) noexcept;
  void (*statistics_from_wide)(Index groups, const double* mean, const double* var, double eps,
                               Statistics<T> out) noexcept;
  bool (*scale_of)(Index groups, SavedStatistics<T>, const T* weight, const T* bias, T* scale, bool* careful) noexcept;
  bool (*gradient_means)(Index groups, GradientSums<T>, Index n, SavedStatistics<T>, T* mean_dy, T* slope,
                         scalar::CarefulMeans<T>* kept, bool* careful) noexcept;
  void (*update_running)(Index groups, Moments<T>, Index freedom, double momentum, T* running_mean,
                         T* running_var) noexcept;
  void (*add_gradients)(Index groups, GradientSums<T>, const double* rstd, T* weight_grad, T* bias_grad) noexcept;
};

/// The kernels of one instruction set for one type. All are noexcept, allocate nothing and know no threads.
template <Stored S>
struct Kernels {
  using T = Arithmetic<S>;
  using MomentsOf = void (*)(const Block&, const S* x, Moments<T>) noexcept;
  using AddOf = void (*)(const Block&, const S* a, const S* b, S* out) noexcept;
  using SumsOf = void (*)(const Block&, const S* x, const S* dy, const Centre<T>&, GradientSums<T>) noexcept;

  AddOf add[2];             // [walk]
  MomentsOf moments[2][2];  // [About][walk]
  SumsOf sums[2][3];        // [walk][SumKind]
  Maps<S> maps[2];          // [is in L2]
  void (*one_plus)(Index count, const T* weight, T* out) noexcept;
  Steps<T> steps;
};

}  // namespace normkit::detail
