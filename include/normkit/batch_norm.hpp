#pragma once

#include <cmath>
#include <limits>

#include <normkit/channel_norm.hpp>
#include <normkit/higher_derivatives.hpp>
#include <normkit/variable_length.hpp>

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
class BatchNorm : public detail::VariableLength<
                      detail::HigherDerivatives<detail::ChannelNorm<BatchNorm<T, Ranks>, T, BatchNormOptions, Ranks>>> {
  using Channels = detail::ChannelNorm<BatchNorm, T, BatchNormOptions, Ranks>;
  using Base = detail::VariableLength<detail::HigherDerivatives<Channels>>;
  friend Channels;

 public:
  using typename Base::Saved;

  /// Throws   argument_error for num_features < 1 or an option out of its range
  explicit BatchNorm(Index num_features, const BatchNormOptions& options = {}) : Base(num_features, options) {}

  /// backward from y = forward(x) in the place of x, which need not be kept: the forward may have been in place.
  ///   xhat = (y - bias) / weight
  /// Of the weight and bias that the forward had. The rounding of y reaches xhat, so that in the bounds of backward |xhat|
  /// becomes |xhat| + |bias / weight|; where that is not to be had, `recovers` says so beforehand.
  /// Shapes   as backward
  /// Scalars  as backward; the rounding of y is that of its own type
  /// Memory   dx may be dy or y, or lie apart from both; allocates five numbers for each channel in the first call
  /// Threads  as backward
  /// Throws   as backward, but not for a forward in place; state_error where `recovers` is false
  template <class Device, class Y, class DY, class DX, std::same_as<Saved> Kept>
  requires(Base::template is_device<Device>&& Base::template takes<Y, DY, DX>()) void backward_from_output(
      const Device& device, const Y& y, const DY& dy, DX&& dx, const Kept& saved, Gradients which = {}) {
    this->differentiate(device, y, dy, nullptr, dx, saved, which, [&] { return recall(saved); });
  }
  template <class Device, class Y, class DY, class DX>
  requires(Base::template is_device<Device>&& Base::template takes<Y, DY, DX>()) void backward_from_output(
      const Device& device, const Y& y, const DY& dy, DX&& dx, Gradients which = {}) {
    backward_from_output(device, y, dy, dx, this->saved_, which);
  }
  template <class Y, class DY, class DX, std::same_as<Saved> Kept>
  requires(Base::template takes<Y, DY, DX>()) void backward_from_output(const Y& y, const DY& dy, DX&& dx,
                                                                        const Kept& saved, Gradients which = {}) {
    backward_from_output(Eigen::DefaultDevice(), y, dy, dx, saved, which);
  }
  template <class Y, class DY, class DX>
  requires(Base::template takes<Y, DY, DX>()) void backward_from_output(const Y& y, const DY& dy, DX&& dx,
                                                                        Gradients which = {}) {
    backward_from_output(Eigen::DefaultDevice(), y, dy, dx, this->saved_, which);
  }

  /// Whether backward_from_output has xhat from y: |bias| at most 16 |weight| in every channel, |weight| between 2^-24 and
  /// 2^24, and, once a forward has been, neither its data nor eps at an end of the range of T.
  bool recovers(const Saved& saved) const noexcept {
    const auto fits_channels = [&](Index size) { return size == 0 || size == this->num_features(); };
    if (!fits_channels(this->weight().size()) || !fits_channels(this->bias().size())) return false;
    for (Index c = 0; c < this->num_features(); ++c) {
      const double weight = std::abs(weight_of(c)), scale = c < saved.rstd.size() ? input_scale(saved, c) : 1.0;
      const bool fits = scale >= static_cast<double>(std::numeric_limits<T>::min()) &&
                        scale <= static_cast<double>(std::numeric_limits<T>::max());
      if (!(weight >= 0x1p-24 && weight <= 0x1p24 && std::abs(bias_of(c)) <= 16 * weight)) return false;
      if (!fits && !std::isnan(scale)) return false;  // of NaN all is NaN either way
    }
    return true;
  }
  bool recovers() const noexcept { return recovers(this->saved_); }

 private:
  static constexpr std::string_view names[] = {"BatchNorm", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"};
  static constexpr std::string_view values = "value per channel";
  static constexpr int least_rank = 2;

  static detail::StatView view(const detail::Shape& shape, Index axis) {
    return *detail::make_view(shape, axis, 1, true);
  }

  double weight_of(Index c) const noexcept {
    return this->weight().size() > 0 ? static_cast<double>(this->weight()(c)) : 1.0;
  }
  double bias_of(Index c) const noexcept {
    return this->bias().size() > 0 ? static_cast<double>(this->bias()(c)) : 0.0;
  }
  /// What dy is multiplied with, besides 1 / weight, where y is in the place of x.
  double input_scale(const Saved& saved, Index c) const noexcept {
    return std::ldexp(weight_of(c) * weight_of(c) * saved.rstd(c), -saved.exponent(c));
  }

  /// y as an x of mean `bias` and rstd 1 / weight, whose weight makes up for that in dx.
  typename Base::Recalled recall(const Saved& saved) {
    if (!recovers(saved))
      throw state_error(std::string(Base::name()) +
                        ": expected |bias| of at most 16 |weight|, |weight| in [2^-24, 2^24] and statistics within the "
                        "range, to have xhat from the output");
    const Index channels = this->num_features();
    scale_.resize(channels);
    const detail::Statistics<T> output = output_.resize(channels);
    for (Index c = 0; c < channels; ++c) {
      output.mean[c] = static_cast<T>(bias_of(c));
      output.mean_lo[c] = T(0);
      output.rstd[c] = 1 / weight_of(c);
      output.exponent[c] = 0;
      scale_.data()[c] = static_cast<T>(input_scale(saved, c));
    }
    return {output, {scale_.data(), nullptr, false}};
  }

  Saved output_;
  Numbers<T> scale_;
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
