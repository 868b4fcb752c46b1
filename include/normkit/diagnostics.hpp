#pragma once

#include <cmath>
#include <vector>

#include <normkit/batch_norm.hpp>
#include <normkit/moments.hpp>

namespace normkit {

/// What a batch tells of each channel of a BatchNorm, as plain numbers in the order of the channels.
struct ChannelDiagnostics {
  std::vector<double> mean, var;      // of the batch; var biased
  std::vector<double> mean_over_std;  // |mean| / sqrt(var), 0 where mean is 0
  std::vector<Index> dead;            // the channels with var <= dead_var
  std::vector<double> mean_drift;     // (mean - running_mean) / sqrt(running_var + eps); 0: none
  std::vector<double> std_drift;      // sqrt((var + eps) / (running_var + eps)), var as running_var has it; 1: none
};

/// The batch that `norm` would be given, measured: whether its channels have a spread, and how far the running statistics are
/// from it. The drifts are empty without track_running_stats. A channel is dead where its variance is at most `dead_var`,
/// which is eps if not given: then eps is half of var + eps, or more.
/// Shapes   x as the norm's forward takes it
/// Units    mean [x], var and dead_var [x]^2, the others 1
/// Memory   allocates its results
/// Threads  those of the device; the same numbers for any number of them
/// Throws   shape_error, argument_error
/// mean and var are those of `moments`; what is made of them is made in double. Of an empty batch all are NaN.
template <class Device, detail::Scalar T, class Ranks, detail::Measurable X>
requires(std::is_same_v<detail::ScalarOf<X>, T>&& Ranks::fits(detail::rank_of<X>)) ChannelDiagnostics
    diagnose(const Device& device, const BatchNorm<T, Ranks>& norm, const X& x, std::optional<double> dead_var = {}) {
  decltype(auto) input = detail::dense(device, x);
  const detail::Shape shape = detail::shape_of(input);
  const auto& options = norm.options();
  const Index axis = detail::channel_axis_of("diagnose", shape, options.channel_axis);
  detail::require_channels("diagnose", shape, axis, norm.num_features());
  const double dead = dead_var.value_or(options.eps);
  if (!(dead >= 0))
    throw argument_error("diagnose: expected dead_var of at least 0, got " + detail::python_number(dead));
  const Index channels = norm.num_features();
  const std::array<Index, 1> tracked{options.track_running_stats ? channels : 0};
  detail::require_extents("diagnose", "running_mean", tracked, norm.running_mean().dimensions());
  detail::require_extents("diagnose", "running_var", tracked, norm.running_var().dimensions());

  std::vector<Index> others;
  for (Index other = 0; other < shape.rank; ++other)
    if (other != axis) others.push_back(other);
  const auto batch = moments(device, input, others);
  const double count = static_cast<double>(shape.size() / channels);
  const double as_running = options.unbiased_running_var && count > 1 ? count / (count - 1) : 1.0;

  ChannelDiagnostics out;
  for (Index c = 0; c < channels; ++c) {
    const double mean = static_cast<double>(batch.mean.data()[c]), var = static_cast<double>(batch.var.data()[c]);
    out.mean.push_back(mean);
    out.var.push_back(var);
    out.mean_over_std.push_back(mean == 0 ? 0.0 : std::abs(mean) / std::sqrt(var));
    if (var <= dead) out.dead.push_back(c);
    if (!options.track_running_stats) continue;
    const double running_mean = static_cast<double>(norm.running_mean()(c));
    const double running = static_cast<double>(norm.running_var()(c)) + options.eps;
    out.mean_drift.push_back((mean - running_mean) / std::sqrt(running));
    out.std_drift.push_back(std::sqrt((var * as_running + options.eps) / running));
  }
  return out;
}
template <detail::Scalar T, class Ranks, detail::Measurable X>
requires(std::is_same_v<detail::ScalarOf<X>, T>&& Ranks::fits(detail::rank_of<X>)) ChannelDiagnostics
    diagnose(const BatchNorm<T, Ranks>& norm, const X& x, std::optional<double> dead_var = {}) {
  return diagnose(Eigen::DefaultDevice(), norm, x, dead_var);
}

}  // namespace normkit
