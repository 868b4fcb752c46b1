#pragma once

#include <normkit/detail/kernel/block.hpp>

namespace normkit::detail {

/// The way a kernel walks its block: along the runs of one group, or across the lanes of neighbouring groups.
enum Walk : int { runs = 0, lanes = 1 };

/// The kernels that write an output of x's shape.
template <Scalar T>
struct Maps {
  using NormalizeOf = void (*)(const Block&, const T* x, const Normalization<T>&, T* y) noexcept;
  using GradientOf = void (*)(const Block&, const T* x, const T* dy, const InputGradient<T>&, T* dx) noexcept;

  NormalizeOf normalize[2][4];  // [walk][has weight + 2 * has bias, both by element]
  GradientOf gradient[2][2];    // [walk][has weight by element]
};

/// The kernels of one instruction set for one type. All are noexcept, allocate nothing and know no threads.
template <Scalar T>
struct Kernels {
  using MomentsOf = void (*)(const Block&, const T* x, Moments<T>) noexcept;
  using SumsOf = void (*)(const Block&, const T* x, const T* dy, const Centre<T>&, GradientSums<T>) noexcept;

  MomentsOf moments[2];  // [walk]
  SumsOf sums[2][3];     // [walk][SumKind]
  Maps<T> maps[3];       // [Output]
};

}  // namespace normkit::detail
