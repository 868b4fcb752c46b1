#pragma once

#include <normkit/layer.hpp>

namespace normkit {

/// Options of GroupNorm. `affine` false leaves out weight and bias; each can also be left out alone.
struct GroupNormOptions {
  double eps = 1e-5;       // >= 0, finite; added to the variance
  bool affine = true;      // with weight and bias
  bool weight = true;      // false: without weight
  bool bias = true;        // false: without bias
  Index channel_axis = 1;  // or the last: -1 is channels last
};

/// Group normalization: one mean and variance for each group of neighbouring channels of each sample, over these channels
/// and all other axes.
///   y = (x - mean) * rstd * weight + bias,  rstd = 1 / sqrt(var + eps),  var biased (divisor count)
/// Shapes   x, y (N, C, ...) or (N, ..., C); weight, bias (C); mean, rstd (N, C) in memory order, those of a group
///          alike
/// Units    mean [x], rstd 1/[x], eps [x]^2
/// Memory   contiguous; y may be x; no allocation after the first call with a shape
/// Threads  the same bits for any number of threads; infer may run on many at once, the other calls on one
/// Throws   shape_error, argument_error, state_error; outputs and state untouched
/// Source   Wu, He 2018, arXiv:1803.08494
template <detail::Scalar T>
class GroupNorm : public detail::Layer<GroupNorm<T>, T, 1, Eigen::ColMajor> {
  using Base = detail::Layer<GroupNorm, T, 1, Eigen::ColMajor>;
  friend Base;

 public:
  using typename Base::Saved;

  /// Throws   argument_error for num_groups < 1, num_channels that it does not divide, or an option out of its range
  GroupNorm(Index num_groups, Index num_channels, const GroupNormOptions& options = {})
      : Base({checked(num_groups, num_channels, options)}, options.affine && options.weight,
             options.affine && options.bias),
        options_(options),
        num_groups_(num_groups),
        num_channels_(num_channels) {}

  /// Copies have all of the state. An assignment that fails for want of memory changes nothing.
  GroupNorm(const GroupNorm&) = default;
  GroupNorm(GroupNorm&&) noexcept = default;
  GroupNorm& operator=(const GroupNorm& other) { return *this = GroupNorm(other); }
  GroupNorm& operator=(GroupNorm&&) noexcept = default;

  Index num_groups() const noexcept { return num_groups_; }              // as given
  Index num_channels() const noexcept { return num_channels_; }          // as given
  double eps() const noexcept { return options_.eps; }                   // what is added to the variance
  const GroupNormOptions& options() const noexcept { return options_; }  // as given

  /// As in PyTorch; what PyTorch does not have is shown where it is not the default.
  friend std::ostream& operator<<(std::ostream& out, const GroupNorm& norm) {
    const GroupNormOptions& o = norm.options_;
    out << "GroupNorm(" << norm.num_groups_ << ", " << norm.num_channels_ << ", eps=" << detail::python_number(o.eps)
        << ", affine=" << (o.affine ? "True" : "False");
    if (o.affine && !o.weight) out << ", weight=False";
    if (o.affine && !o.bias) out << ", bias=False";
    if (o.channel_axis != 1) out << ", channel_axis=" << o.channel_axis;
    return out << ")";
  }

 private:
  static constexpr bool fits(int rank, int) { return rank >= 2; }
  static constexpr std::string_view name() { return "GroupNorm"; }

  static Index checked(Index num_groups, Index num_channels, const GroupNormOptions& options) {
    if (num_groups < 1 || num_channels < 1)
      detail::raise(argument_error("GroupNorm: expected num_groups and num_channels of at least 1, got " +
                                   std::to_string(num_groups) + " and " + std::to_string(num_channels)));
    if (num_channels % num_groups != 0)
      detail::raise(argument_error("GroupNorm: expected num_channels that num_groups divides, got " +
                                   std::to_string(num_channels) + " channels and " + std::to_string(num_groups) +
                                   " groups"));
    detail::require_eps(name(), options.eps);
    detail::require_behind_samples(name(), options.channel_axis);
    return num_channels;
  }

  detail::StatView view_of(const detail::Shape& shape) const {
    const Index axis = detail::channel_axis_of(name(), shape, options_.channel_axis);
    detail::require_first_or_last(name(), shape, axis);
    detail::require_channels(name(), shape, axis, num_channels_);
    this->require_parameters({num_channels_});
    return detail::make_channel_view(shape, axis, num_channels_ / num_groups_);
  }
  detail::Affine<T> affine() const noexcept {
    return {this->data_or_null(this->weight()), this->data_or_null(this->bias())};
  }

  GroupNormOptions options_;
  Index num_groups_, num_channels_;
};

}  // namespace normkit
