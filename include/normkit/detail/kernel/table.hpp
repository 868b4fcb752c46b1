#pragma once

#include <normkit/detail/kernel/block.hpp>

namespace normkit::detail {

/// The way a kernel walks its block: along the runs of one group, or across the lanes of neighbouring groups.
enum Walk : int { runs = 0, lanes = 1 };

/// The kernels of one instruction set for one type. All are noexcept, allocate nothing and know no threads.
template <Scalar T>
struct Kernels {
  using MomentsOf = void (*)(const Block&, const T* x, Moments<T>) noexcept;
  using NormalizeOf = void (*)(const Block&, const T* x, const Normalization<T>&, T* y) noexcept;
  using SumsOf = void (*)(const Block&, const T* x, const T* dy, const Centre<T>&, GradientSums<T>) noexcept;
  using GradientOf = void (*)(const Block&, const T* x, const T* dy, const InputGradient<T>&, T* dx) noexcept;

  MomentsOf moments[2];         // [walk]
  NormalizeOf normalize[2][4];  // [walk][has weight + 2 * has bias, both by element]
  SumsOf sums[2][3];            // [walk][SumKind]
  GradientOf gradient[2][2];    // [walk][has weight by element]

  void (*merge_moments)(Index groups, Moments<T> into, Index count, Moments<T> other, Index more) noexcept;
  void (*merge_sums)(Index groups, GradientSums<T> into, GradientSums<T> other) noexcept;
  void (*statistics_of)(Index groups, Moments<T>, Index n, double eps, Statistics<T>) noexcept;
  void (*statistics_from_running)(Index groups, const T* mean, const T* var, double eps, Statistics<T>) noexcept;
  void (*statistics_from_double)(Index groups, const double* mean, const double* var, double eps,
                                 Statistics<T>) noexcept;
  void (*mean_and_variance)(Index groups, Moments<T>, Index n, T* mean, T* var) noexcept;
  void (*mean_and_variance_double)(Index groups, Moments<T>, Index n, double* mean, double* var) noexcept;
  void (*update_running)(Index groups, Moments<T>, Index n, double momentum, T* mean, T* var) noexcept;
  void (*scale_of)(Index groups, const double* rstd, const T* weight, T* scale) noexcept;
  void (*gradient_means)(Index groups, GradientSums<T>, Index n, const double* rstd, T* mean_dy, T* slope) noexcept;
  void (*add_gradients)(Index groups, GradientSums<T>, const double* rstd, T* weight_grad, T* bias_grad) noexcept;
};

}  // namespace normkit::detail
