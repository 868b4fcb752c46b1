// Between Eigen's tensors, in either layout, and the oracle's vectors in row-major order.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <unsupported/Eigen/CXX11/Tensor>
#include <vector>

#include "reference/normalization.hpp"
#include "support/numbers.hpp"

namespace support {

using reference::Extents;

template <class Tensor>
using ScalarOf = std::remove_const_t<typename Tensor::Scalar>;

template <class Tensor>
Extents extents_of(const Tensor& tensor) {
  Extents extents;
  constexpr auto rank = static_cast<std::size_t>(Tensor::NumDimensions);
  for (std::size_t axis = 0; axis < rank; ++axis) extents.push_back(tensor.dimension(axis));
  return extents;
}

/// Where in memory each element lies, the elements in row-major order.
inline std::vector<std::size_t> memory_offsets(const Extents& extents, int layout) {
  Extents stride(extents.size(), 1);
  if (layout == Eigen::RowMajor)
    for (std::size_t axis = extents.size(); axis-- > 1;) stride[axis - 1] = stride[axis] * extents[axis];
  else
    for (std::size_t axis = 1; axis < extents.size(); ++axis) stride[axis] = stride[axis - 1] * extents[axis - 1];
  std::vector<std::size_t> offsets(reference::product(extents));
  Extents at(extents.size(), 0);
  for (std::size_t& offset : offsets) {
    offset = 0;
    for (std::size_t axis = 0; axis < extents.size(); ++axis)
      offset += static_cast<std::size_t>(at[axis] * stride[axis]);
    for (std::size_t axis = extents.size(); axis-- > 0;) {
      if (++at[axis] < extents[axis]) break;
      at[axis] = 0;
    }
  }
  return offsets;
}

/// A tensor's values in row-major order.
template <class Tensor>
std::vector<ScalarOf<Tensor>> values(const Tensor& tensor) {
  std::vector<ScalarOf<Tensor>> result;
  for (const std::size_t offset : memory_offsets(extents_of(tensor), Tensor::Layout))
    result.push_back(tensor.data()[offset]);
  return result;
}

template <class Scalar>
reference::Reals reals(const std::vector<Scalar>& numbers) {
  return {numbers.begin(), numbers.end()};
}

template <class Tensor>
reference::Reals reals(const Tensor& tensor) {
  return reals(values(tensor));
}

/// Writes `numbers`, which are in row-major order, into a tensor of that size.
template <class Tensor, class Number>
void assign(Tensor&& tensor, const std::vector<Number>& numbers) {
  using Plain = std::remove_reference_t<Tensor>;
  const std::vector<std::size_t> offsets = memory_offsets(extents_of(tensor), Plain::Layout);
  for (std::size_t i = 0; i < offsets.size(); ++i)
    tensor.data()[offsets[i]] = static_cast<ScalarOf<Plain>>(numbers.at(i));
}

/// A tensor of the given extents whose values are not set.
template <class Tensor>
Tensor sized(const Extents& extents) {
  typename Tensor::Dimensions dimensions;
  for (std::size_t axis = 0; axis < extents.size(); ++axis)
    dimensions[axis] = static_cast<typename Tensor::Index>(extents[axis]);
  return Tensor(dimensions);
}

/// A tensor of bell-shaped values, the same at each logical place for either layout.
template <class Tensor>
Tensor random(const Extents& extents, std::uint64_t seed, double mean = 0, double deviation = 1) {
  Tensor tensor = sized<Tensor>(extents);
  assign(tensor, bell<ScalarOf<Tensor>>(reference::product(extents), seed, mean, deviation));
  return tensor;
}

/// A tensor of one value throughout.
template <class Tensor>
Tensor constant(const Extents& extents, ScalarOf<Tensor> value) {
  Tensor tensor = sized<Tensor>(extents);
  tensor.setConstant(value);
  return tensor;
}

/// The same bits: -0 and 0 differ. Of a NaN only that it is one: its sign and payload are up to the compiler.
template <class A, class B>
bool same_bits(const A& a, const B& b) {
  static_assert(std::is_same_v<ScalarOf<A>, ScalarOf<B>>);
  const auto same = [&](Eigen::Index i) {
    const auto &left = a.data()[i], &right = b.data()[i];
    return std::memcmp(&left, &right, sizeof left) == 0 || (Eigen::numext::isnan(left) && Eigen::numext::isnan(right));
  };
  Eigen::Index i = 0;
  while (i < a.size() && i < b.size() && same(i)) ++i;
  return i == a.size() && i == b.size();
}

}  // namespace support
