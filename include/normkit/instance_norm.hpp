#pragma once

#include <normkit/channel_norm.hpp>

namespace normkit {

/// Options of InstanceNorm: BatchNorm's, but without parameters and running statistics if not asked for.
struct InstanceNormOptions {
  double eps = 1e-5;                     // >= 0, finite; added to the variance
  std::optional<double> momentum = 0.1;  // running = (1 - momentum) * running + momentum * batch; none: plain average
  bool affine = false;                   // with weight and bias
  bool track_running_stats = false;      // true: the running statistics in evaluation
  bool weight = true;                    // false: without weight
  bool bias = true;                      // false: without bias
  Index channel_axis = 1;                // or the last: -1 is channels last
  bool unbiased_running_var = true;      // batch variance that enters running_var: divisor count - 1; false: count
  bool reject_nonfinite = false;         // a batch with NaN or infinity does not move the running statistics
};

/// Instance normalization: one mean and variance for each channel of each sample, over all other axes.
///   y = (x - mean) * rstd * weight + bias,  rstd = 1 / sqrt(var + eps),  var biased (divisor count)
/// Running statistics move by the mean over the samples of their mean and variance, unbiased if not said otherwise.
/// Shapes   x, y (N, C, ...) or (N, ..., C); weight, bias, running statistics (C); mean, rstd (N, C) in memory order
/// Units    mean [x], rstd 1/[x], eps [x]^2
/// Memory   contiguous; y may be x; no allocation after the first call with a shape
/// Threads  the same bits for any number of threads; infer may run on many at once, the other calls on one
/// Throws   shape_error, argument_error, state_error; outputs and state untouched
/// Source   Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022; running statistics as in PyTorch
template <detail::Scalar T, class Ranks = AnyRank>
class InstanceNorm : public detail::ChannelNorm<InstanceNorm<T, Ranks>, T, InstanceNormOptions, Ranks> {
  using Base = detail::ChannelNorm<InstanceNorm, T, InstanceNormOptions, Ranks>;
  friend Base;

 public:
  /// Throws   argument_error for num_features < 1 or an option out of its range
  explicit InstanceNorm(Index num_features, const InstanceNormOptions& options = {}) : Base(num_features, options) {
    detail::require_behind_samples(Base::name(), options.channel_axis);
  }

  /// Copies have all of the state. An assignment that fails for want of memory changes nothing.
  InstanceNorm(const InstanceNorm&) = default;
  InstanceNorm(InstanceNorm&&) noexcept = default;
  InstanceNorm& operator=(const InstanceNorm& other) { return *this = InstanceNorm(other); }
  InstanceNorm& operator=(InstanceNorm&&) noexcept = default;

 private:
  static constexpr std::string_view names[] = {"InstanceNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"};
  static constexpr std::string_view values = "spatial element";
  static constexpr int least_rank = 3;

  static detail::StatView view(const detail::Shape& shape, Index axis) {
    detail::require_first_or_last(Base::name(), shape, axis);
    return detail::make_channel_view(shape, axis, 1);
  }
};

/// (N, C, L).
template <detail::Scalar T>
using InstanceNorm1d = InstanceNorm<T, SpatialRank<1>>;
/// (N, C, H, W).
template <detail::Scalar T>
using InstanceNorm2d = InstanceNorm<T, SpatialRank<2>>;
/// (N, C, D, H, W).
template <detail::Scalar T>
using InstanceNorm3d = InstanceNorm<T, SpatialRank<3>>;

}  // namespace normkit
