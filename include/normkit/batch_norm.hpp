#pragma once

#include <normkit/channel_norm.hpp>

namespace normkit {

/// Options of BatchNorm. `affine` false leaves out weight and bias; each can also be left out alone.
struct BatchNormOptions {
  double eps = 1e-5;                     // >= 0, finite; added to the variance
  std::optional<double> momentum = 0.1;  // running = (1 - momentum) * running + momentum * batch; none: plain average
  bool affine = true;
  bool track_running_stats = true;  // false: the statistics of the batch in evaluation too
  bool weight = true;
  bool bias = true;
  Index channel_axis = 1;            // negative: from the end; -1 is channels last
  bool unbiased_running_var = true;  // batch variance that enters running_var: divisor count - 1; false: count
  bool reject_nonfinite = false;     // a batch with NaN or infinity does not move the running statistics
};

/// Batch normalization: one mean and variance for each channel, over all other axes.
///   y = (x - mean) * rstd * weight + bias,  rstd = 1 / sqrt(var + eps),  var biased (divisor count)
/// In training mean and var are the batch's, and the running ones move (RunningStats); in evaluation the running ones.
/// Shapes   x, y (N, C, ...) or C at `channel_axis`; weight, bias, mean, rstd (C)
/// Units    mean [x], rstd 1/[x], eps [x]^2
/// Memory   contiguous; y may be x; no allocation after the first call with a shape
/// Threads  the same bits for any number of threads; infer may run on many at once, the other calls on one
/// Throws   shape_error, argument_error, state_error; outputs and state untouched
/// Source   Ioffe, Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2
template <detail::Scalar T, class Ranks = AnyRank>
class BatchNorm : public detail::ChannelNorm<BatchNorm<T, Ranks>, T, BatchNormOptions, Ranks> {
  using Base = detail::ChannelNorm<BatchNorm, T, BatchNormOptions, Ranks>;
  friend Base;

 public:
  /// Throws   argument_error for num_features < 1 or an option out of its range
  explicit BatchNorm(Index num_features, const BatchNormOptions& options = {}) : Base(num_features, options) {}

 private:
  static constexpr std::string_view names[] = {"BatchNorm", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"};
  static constexpr std::string_view values = "value per channel";
  static constexpr int least_rank = 2;

  static detail::StatView view(const detail::Shape& shape, Index axis) {
    return *detail::make_view(shape, axis, 1, true);
  }
};

/// (N, C) and (N, C, L).
template <detail::Scalar T>
using BatchNorm1d = BatchNorm<T, SpatialRank<1>>;
/// (N, C, H, W).
template <detail::Scalar T>
using BatchNorm2d = BatchNorm<T, SpatialRank<2>>;
/// (N, C, D, H, W).
template <detail::Scalar T>
using BatchNorm3d = BatchNorm<T, SpatialRank<3>>;

}  // namespace normkit
