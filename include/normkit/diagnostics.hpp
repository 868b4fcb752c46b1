#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include <normkit/batch_norm.hpp>
#include <normkit/moments.hpp>

namespace normkit {

/// What a batch tells of each channel of a BatchNorm, as plain numbers in the order of the channels.
struct ChannelDiagnostics {
  std::vector<double> mean, var;      // of the batch; var biased
  std::vector<double> mean_over_std;  // |mean| / sqrt(var); 0 where mean is 0
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
/// Throws   shape_error; argument_error, also for a running_var below 0
/// All is in double, also of float: a variance of double data that is beyond its range is infinite. Of an empty batch all
/// are NaN. With eps 0, statistics that are equal have no drift, whatever they are.
template <class Device, detail::Scalar T, class Ranks, class X>
requires(BatchNorm<T, Ranks>::template is_device<Device>&& BatchNorm<T, Ranks>::template takes<X>()) ChannelDiagnostics
    diagnose(const Device& device, const BatchNorm<T, Ranks>& norm, const X& x, std::optional<double> dead_var = {}) {
  decltype(auto) input = detail::dense<X>(device, x);
  const detail::Shape shape = detail::shape_of(input);
  const auto& options = norm.options();
  const Index channels = norm.num_features();
  const Index axis = detail::channel_axis_of("diagnose", shape, options.channel_axis);
  detail::require_product("diagnose", shape);
  detail::require_channels("diagnose", shape, axis, channels);
  const double dead = dead_var.value_or(options.eps);
  if (!(dead >= 0))
    detail::raise(argument_error("diagnose: expected dead_var of at least 0, got " + detail::python_number(dead)));
  const std::array<Index, 1> tracked{options.track_running_stats ? channels : 0};
  detail::require_extents("diagnose", "running_mean", tracked, norm.running_mean().dimensions());
  detail::require_extents("diagnose", "running_var", tracked, norm.running_var().dimensions());
  detail::require_running_var("diagnose", norm.running_var().data(), tracked[0]);

  ChannelDiagnostics out;
  out.mean.assign(static_cast<std::size_t>(channels), std::numeric_limits<double>::quiet_NaN());
  out.var = out.mean;
  if (shape.size() > 0)
    detail::measure_on(device, *detail::make_view(shape, axis, 1, true), detail::elements(input), out.mean.data(),
                       out.var.data());
  const Index count = shape.size() / channels, divisor = count - (options.unbiased_running_var && count > 1);
  const double as_running = static_cast<double>(count) / static_cast<double>(divisor);
  for (Index c = 0; c < channels; ++c) {
    const double mean = out.mean[static_cast<std::size_t>(c)], var = out.var[static_cast<std::size_t>(c)];
    out.mean_over_std.push_back(mean == 0 ? 0.0 : std::abs(mean) / std::sqrt(var));
    if (var <= dead) out.dead.push_back(c);
    if (!options.track_running_stats) continue;
    const double running_mean = static_cast<double>(norm.running_mean()(c));
    const double spread = static_cast<double>(norm.running_var()(c)) + options.eps;
    const double batch_spread = var * as_running + options.eps;
    out.mean_drift.push_back(mean == running_mean ? 0.0 : (mean - running_mean) / std::sqrt(spread));
    out.std_drift.push_back(batch_spread == spread ? 1.0 : std::sqrt(batch_spread / spread));
  }
  return out;
}
template <detail::Scalar T, class Ranks, class X>
requires(BatchNorm<T, Ranks>::template takes<X>()) ChannelDiagnostics
    diagnose(const BatchNorm<T, Ranks>& norm, const X& x, std::optional<double> dead_var = {}) {
  return diagnose(Eigen::DefaultDevice(), norm, x, dead_var);
}

}  // namespace normkit
