#pragma once

#include <algorithm>
#include <initializer_list>
#include <vector>

#include <normkit/detail/check.hpp>
#include <normkit/detail/plan/run.hpp>
#include <normkit/detail/view/tensor.hpp>

namespace normkit {

/// Mean and biased variance (divisor: the count) of a tensor over some axes, which stay with extent 1.
template <class Tensor>
struct MeanVariance {
  Tensor mean, var;  // of the tensor's own type, rank and layout
};

namespace detail {

template <class X>
concept Measurable = TensorInput<X> && Scalar<ScalarOf<X>>;

/// x copied so that the reduced axes are the fast ones: for sets of axes that alternate more often than a view does.
template <Scalar T>
std::vector<T> reduced_last(const Shape& shape, std::span<const bool> reduced, const T* x, Index stats, Index count) {
  std::vector<T> sorted(static_cast<std::size_t>(stats * count));
  for (Index at = 0; at < stats * count; ++at) {
    Index rest = at, stat = 0, element = 0, stat_stride = 1, element_stride = 1;
    for (Index place = shape.rank - 1; place >= 0; --place) {
      const Index axis = shape.place(place), digit = rest % shape[axis];
      rest /= shape[axis];
      const bool inside = reduced[static_cast<std::size_t>(axis)];
      (inside ? element : stat) += digit * (inside ? element_stride : stat_stride);
      (inside ? element_stride : stat_stride) *= shape[axis];
    }
    sorted[static_cast<std::size_t>(stat * count + element)] = x[at];
  }
  return sorted;
}

/// measure_moments with memory of its own.
template <class Device, Stored S, class Result>
void measure_on(const Device& device, const StatView& view, const S* x, Result* mean, Result* var) {
  const Executor execute = executor_for(device, view.size());
  Workspace workspace;
  measure_moments(execute, view, x, mean, var,
                  workspace.reserve(execute.threads() > 1 ? forward_bytes<S>(view, false) : 0));
}

inline std::array<bool, max_rank> axis_set(const Shape& shape, std::span<const Index> axes) {
  std::array<bool, max_rank> reduced{};
  for (const Index given : axes) {
    const Index axis = given + (given < 0 ? shape.rank : 0);
    if (axis < 0 || axis >= shape.rank)
      raise(argument_error("moments: expected axes of x of shape " + shape.text() + ", got " + list_of(axes)));
    if (reduced[static_cast<std::size_t>(axis)])
      raise(argument_error("moments: expected different axes, got " + list_of(axes)));
    reduced[static_cast<std::size_t>(axis)] = true;
  }
  return reduced;
}

}  // namespace detail

/// The reductions of the layers, alone:  mean = sum(x) / n,  var = sum((x - mean)^2) / n,  n the product of the axes.
/// Shapes   x (any); axes from 0, or from -1 backwards; mean, var as x with those axes of extent 1
/// Units    mean [x], var [x]^2
/// Memory   allocates its results, and a copy of x where kept and reduced axes alternate more than four times
/// Threads  those of the device; the same bits for any number of them
/// Throws   argument_error for an axis out of range or named twice, shape_error for extents that overflow
/// Where there is nothing to average (n = 0) both are NaN.
template <class Device, detail::Measurable X>
requires(!TensorInput<Device>) auto moments(const Device& device, const X& x, std::span<const Index> axes) {
  using T = detail::ScalarOf<X>;
  decltype(auto) input = detail::dense<X>(device, x);
  const detail::Shape shape = detail::shape_of(input);
  detail::require_product("moments", shape);
  const std::array<bool, detail::max_rank> reduced = detail::axis_set(shape, axes);

  detail::Shape kept = shape;
  Index stats = 1, count = 1;
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(shape.rank); ++axis) {
    (reduced[axis] ? count : stats) *= shape.extents[axis];
    if (reduced[axis]) kept.extents[axis] = 1;
  }
  MeanVariance<detail::Evaluated<X>> out{detail::unfilled<X>(kept), detail::unfilled<X>(kept)};
  if (count == 0) {
    out.mean.setConstant(std::numeric_limits<T>::quiet_NaN());
    out.var.setConstant(std::numeric_limits<T>::quiet_NaN());
  } else if (stats > 0) {
    if (const auto view = detail::make_view(shape, reduced))
      detail::measure_on(device, *view, input.data(), out.mean.data(), out.var.data());
    else
      detail::measure_on(device, detail::StatView{1, 1, stats, count}.canonical(),
                         detail::reduced_last(shape, reduced, input.data(), stats, count).data(), out.mean.data(),
                         out.var.data());
  }
  return out;
}
template <class Device, detail::Measurable X>
requires(!TensorInput<Device>) auto moments(const Device& device, const X& x, std::initializer_list<Index> axes) {
  return moments(device, x, std::span<const Index>(axes.begin(), axes.size()));
}
template <detail::Measurable X>
auto moments(const X& x, std::initializer_list<Index> axes) {
  return moments(Eigen::DefaultDevice(), x, axes);
}
template <detail::Measurable X>
auto moments(const X& x, std::span<const Index> axes) {
  return moments(Eigen::DefaultDevice(), x, axes);
}

}  // namespace normkit
