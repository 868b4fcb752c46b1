#pragma once

#include <cmath>
#include <limits>

#include <normkit/across_ranks.hpp>
#include <normkit/channel_norm.hpp>
#include <normkit/from_output.hpp>
#include <normkit/higher_derivatives.hpp>
#include <normkit/micro_batches.hpp>
#include <normkit/relu.hpp>
#include <normkit/variable_length.hpp>

namespace normkit {

/// Options of BatchNorm. `affine` false leaves out weight and bias; each can also be left out alone.
struct BatchNormOptions {
  double eps = 1e-5;                     // >= 0, finite; added to the variance
  std::optional<double> momentum = 0.1;  // running = (1 - momentum) * running + momentum * batch; none: plain average
  bool affine = true;                    // with weight and bias
  bool track_running_stats = true;       // false: the statistics of the batch in evaluation too
  bool weight = true;                    // false: without weight
  bool bias = true;                      // false: without bias
  Index channel_axis = 1;                // negative: from the end; -1 is channels last
  bool unbiased_running_var = true;      // batch variance that enters running_var: divisor count - 1; false: count
  bool reject_nonfinite = false;         // a batch with NaN or infinity does not move the running statistics
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
class BatchNorm
    : public detail::FusedReLU<detail::FromOutput<detail::VariableLength<detail::AcrossRanks<detail::MicroBatches<
          detail::HigherDerivatives<detail::ChannelNorm<BatchNorm<T, Ranks>, T, BatchNormOptions, Ranks>>>>>>> {
  using Channels = detail::ChannelNorm<BatchNorm, T, BatchNormOptions, Ranks>;
  using Batches = detail::AcrossRanks<detail::MicroBatches<detail::HigherDerivatives<Channels>>>;
  using Outputs = detail::FromOutput<detail::VariableLength<Batches>>;
  using Base = detail::FusedReLU<Outputs>;
  friend Outputs;
  friend Channels;

 public:
  using typename Base::Saved;

  /// Throws   argument_error for num_features < 1 or an option out of its range
  explicit BatchNorm(Index num_features, const BatchNormOptions& options = {}) : Base(num_features, options) {}

  /// Copies have all of the state. An assignment that fails for want of memory changes nothing.
  BatchNorm(const BatchNorm&) = default;
  BatchNorm(BatchNorm&&) noexcept = default;
  BatchNorm& operator=(const BatchNorm& other) { return *this = BatchNorm(other); }
  BatchNorm& operator=(BatchNorm&&) noexcept = default;

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

  /// Neither data nor eps of a forward were at an end of the range of T.
  bool recovers_statistics(const Saved& saved) const noexcept {
    const auto fits_channels = [&](Index size) { return size == 0 || size == this->num_features(); };
    if (!fits_channels(this->weight().size()) || !fits_channels(this->bias().size())) return false;
    for (Index c = 0; c < saved.rstd.size() && c < this->num_features(); ++c) {
      const double scale = input_scale(saved, c);
      const bool fits = scale >= static_cast<double>(std::numeric_limits<T>::min()) &&
                        scale <= static_cast<double>(std::numeric_limits<T>::max());
      if (!fits && !std::isnan(scale)) return false;  // of NaN all is NaN either way
    }
    return true;
  }

  /// y as an x of mean `bias` and rstd 1 / weight, whose weight makes up for that in dx.
  template <class Device, detail::Stored S>
  void recover(const Device&, detail::BackwardCall<S>& call, const Saved& saved) {
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
    call.saved = output;
    call.affine = {scale_.data(), nullptr, false};
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
