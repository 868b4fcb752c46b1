#pragma once

#include <vector>

#include <normkit/batch_norm.hpp>

/// A BatchNorm in evaluation is a multiplication and an addition for each channel. A linear layer or a convolution next to it
/// can take both over, so that inference has one layer less.
namespace normkit {

namespace detail {

/// What evaluation does to each channel: x * scale + shift.
struct ChannelMap {
  std::vector<double> scale, shift;

  template <Scalar T, class Ranks>
  explicit ChannelMap(const BatchNorm<T, Ranks>& norm)
      : scale(static_cast<std::size_t>(norm.num_features())), shift(scale.size()) {
    const Index channels = norm.num_features();
    const auto& options = norm.options();
    if (!options.track_running_stats) raise(state_error("fold: expected a BatchNorm with running statistics"));
    const auto data = [&](const char* name, bool present, const auto& tensor) {
      const std::array<Index, 1> extents{present ? channels : 0};
      require_extents("fold", name, extents, tensor.dimensions());
      return present ? tensor.data() : nullptr;
    };
    const T* const mean = data("running_mean", true, norm.running_mean());
    const T* const var = data("running_var", true, norm.running_var());
    require_running_var("fold", var, channels);
    scalar::scale_and_shift(channels, mean, var, options.eps,
                            data("weight", options.affine && options.weight, norm.weight()),
                            data("bias", options.affine && options.bias, norm.bias()), scale.data(), shift.data());
  }
};

/// The shape of a layer's weight, which does not overlap its bias; both lie as tensors.
template <class W, class B>
Shape checked_layer(const W& weight, const B& bias) {
  const Shape shape = shape_of(weight);
  require_product("fold", shape, "weight");
  require_no_gaps("fold", "bias", shape_of(bias));
  const auto w = reinterpret_cast<std::uintptr_t>(weight.data()), b = reinterpret_cast<std::uintptr_t>(bias.data());
  const auto bytes = [](Index size) { return static_cast<std::uintptr_t>(size) * sizeof(ScalarOf<W>); };
  if (w < b + bytes(static_cast<Index>(bias.size())) && b < w + bytes(shape.size()))
    raise(
        argument_error("fold: expected weight and bias of the layer apart from each other, got some memory for both"));
  return shape;
}

/// The weight of a layer along one axis: how its elements lie in memory.
struct WeightAxis {
  Index axis, extent, stride;

  WeightAxis(const Shape& shape, Index given, const char* name) : axis(given + (given < 0 ? shape.rank : 0)) {
    if (axis < 0 || axis >= shape.rank)
      raise(argument_error(words("fold: expected ") + name + " of a weight of shape " + shape.text() + ", got " +
                           std::to_string(given)));
    extent = shape[axis];
    stride = 1;
    for (Index other = 0; other < shape.rank; ++other)
      if (shape.place(other) > shape.place(axis)) stride *= shape[other];
  }
  Index at(Index element) const noexcept { return element / stride % extent; }
  void require(Index channels, const char* name, const Shape& shape) const {
    if (extent != channels)
      raise(shape_error("fold: expected " + std::to_string(channels) + " channels on " + name +
                        " of a weight, got shape " + shape.text()));
  }
};

}  // namespace detail

/// Folds a BatchNorm into the linear layer or convolution before it: what was norm(W x + b) is W x + b afterwards.
///   W[o] = W[o] * s[o],  b[o] = b[o] * s[o] + (bias[o] - running_mean[o] * s[o]),
///   s = weight / sqrt(running_var + eps)
/// Shapes   W (any), with the norm's channels at `out_axis`: 0 of PyTorch's (O, I, kH, kW), -1 of Keras's (kH, kW, I, O);
///          b (O), zero where the layer has none
/// Memory   W and b are changed in place; allocates two numbers for each channel
/// Throws   shape_error, argument_error, state_error (no running statistics); W and b untouched
/// Each number is computed in double: of float it is rounded once.
template <detail::Scalar T, class Ranks, TensorOutput W, TensorOutput B>
requires(std::is_same_v<detail::ScalarOf<W>, T>&& std::is_same_v<detail::ScalarOf<B>, T>&& detail::rank_of<B> ==
         1) void fold_before(const BatchNorm<T, Ranks>& norm, W& weight, Index out_axis, B& bias) {
  const detail::ChannelMap map(norm);
  const detail::Shape shape = detail::checked_layer(weight, bias);
  const detail::WeightAxis out(shape, out_axis, "out_axis");
  out.require(norm.num_features(), "out_axis", shape);
  detail::require_extents("fold", "bias of the layer", std::array<Index, 1>{norm.num_features()},
                          std::array<Index, 1>{static_cast<Index>(bias.size())});
  for (Index i = 0; i < shape.size(); ++i) {
    const double scale = map.scale[static_cast<std::size_t>(out.at(i))];
    weight.data()[i] = detail::scalar::scaled_and_shifted(weight.data()[i], scale, 0.0);
  }
  for (Index o = 0; o < bias.size(); ++o) {
    const auto c = static_cast<std::size_t>(o);
    bias.data()[o] = detail::scalar::scaled_and_shifted(bias.data()[o], map.scale[c], map.shift[c]);
  }
}

/// Folds a BatchNorm into the linear layer or convolution after it: what was W norm(x) + b is W x + b afterwards. Exact for a
/// linear layer, and for a convolution in which every output takes all of its inputs: not with padding, since what is padded
/// would have to be what the norm makes 0 of, and not transposed.
///   b[o] = b[o] + sum W[o, i] * (bias[i] - running_mean[i] * s[i]),  W[o, i] = W[o, i] * s[i]
/// Shapes   W (any), with the norm's channels at `in_axis` and the layer's at `out_axis`; b (O)
/// Memory   W and b are changed in place; allocates two numbers for each channel and one for each output
/// Throws   shape_error, argument_error, state_error; W and b untouched
template <detail::Scalar T, class Ranks, TensorOutput W, TensorOutput B>
requires(std::is_same_v<detail::ScalarOf<W>, T>&& std::is_same_v<detail::ScalarOf<B>, T>&& detail::rank_of<B> ==
         1) void fold_after(const BatchNorm<T, Ranks>& norm, W& weight, Index in_axis, Index out_axis, B& bias) {
  const detail::ChannelMap map(norm);
  const detail::Shape shape = detail::checked_layer(weight, bias);
  const detail::WeightAxis in(shape, in_axis, "in_axis"), out(shape, out_axis, "out_axis");
  in.require(norm.num_features(), "in_axis", shape);
  if (in.axis == out.axis) detail::raise(argument_error("fold: expected in_axis and out_axis to differ"));
  detail::require_extents("fold", "bias of the layer", std::array<Index, 1>{out.extent},
                          std::array<Index, 1>{static_cast<Index>(bias.size())});
  std::vector<double> sum(static_cast<std::size_t>(out.extent));
  for (Index i = 0; i < shape.size(); ++i) {
    const auto c = static_cast<std::size_t>(in.at(i)), o = static_cast<std::size_t>(out.at(i));
    T& w = weight.data()[i];
    sum[o] = detail::scalar::added_product(sum[o], static_cast<double>(w), map.shift[c]);
    w = detail::scalar::scaled_and_shifted(w, map.scale[c], 0.0);
  }
  for (Index o = 0; o < bias.size(); ++o)
    bias.data()[o] = detail::scalar::scaled_and_shifted(bias.data()[o], 1.0, sum[static_cast<std::size_t>(o)]);
}

}  // namespace normkit
