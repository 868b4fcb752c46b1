// What every file here speaks in: images as Eigen tensors in the order (N, C, H, W), and the two threads they run on.
#pragma once

#ifndef EIGEN_USE_THREADS
#define EIGEN_USE_THREADS  // as Eigen asks of whoever wants ThreadPoolDevice
#endif

#include <unsupported/Eigen/CXX11/Tensor>

namespace digits {

using Eigen::Index;

template <int Rank>
using Tensor = Eigen::Tensor<float, Rank, Eigen::RowMajor>;

/// A batch of images, or of what a layer makes of them: (N, C, H, W), the last axis densest in memory.
using Images = Tensor<4>;

using Device = Eigen::ThreadPoolDevice;

template <class... Extents>
auto shape(Extents... extents) {
  return Eigen::array<Index, sizeof...(Extents)>{static_cast<Index>(extents)...};
}

/// A tensor seen as a matrix, nothing copied.
using MatrixView = Eigen::TensorMap<const Tensor<2>>;

/// Each index of the first axis is a row: (A, B, C, ...) becomes (A, B C ...).
template <int Rank>
MatrixView rows(const Tensor<Rank>& x) {
  return {x.data(), x.dimension(0), x.size() / x.dimension(0)};
}

/// Sums the products of a and b over one axis of each: over (1, 0) it is the product of two matrices, over (1, 1) that
/// of a and the transpose of b. The only contraction in the program: each further type of it costs seconds of
/// compilation.
inline Tensor<2> product(const Device& device, const MatrixView& a, Index axis_of_a, const MatrixView& b,
                         Index axis_of_b) {
  Tensor<2> result(a.dimension(1 - axis_of_a), b.dimension(1 - axis_of_b));
  const Eigen::array<Eigen::IndexPair<Index>, 1> axes{Eigen::IndexPair<Index>(axis_of_a, axis_of_b)};
  result.device(device) = a.contract(b, axes);
  return result;
}

}  // namespace digits
