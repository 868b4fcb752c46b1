#pragma once

#include <algorithm>
#include <limits>

#include <normkit/batch_norm.hpp>
#include <normkit/layer_norm.hpp>

/// The options of other systems under their own names and with their own defaults. Each becomes the options of a layer:
///   normkit::BatchNorm<float> norm(64, normkit::conventions::Keras{.momentum = 0.9});
/// What is not named here stays as in normkit.
namespace normkit::conventions {

namespace detail {

/// BatchNorm's options from the weight of the new batch.
inline BatchNormOptions batch_norm(double eps, double momentum, Index axis, bool unbiased) noexcept {
  BatchNormOptions options;
  options.eps = eps;
  options.momentum = momentum;
  options.channel_axis = axis;
  options.unbiased_running_var = unbiased;
  return options;
}
inline LayerNormOptions layer_norm(double eps, std::optional<Index> axis = std::nullopt) noexcept {
  LayerNormOptions options;
  options.eps = eps;
  options.axis = axis;
  return options;
}

}  // namespace detail

/// running = (1 - momentum) * running + momentum * batch, unbiased. No momentum: the plain average.
/// Source   torch.nn.BatchNorm2d, torch.nn.LayerNorm
struct PyTorch {
  double eps = 1e-5;                     // added to the variance
  std::optional<double> momentum = 0.1;  // weight of the new batch; none: the plain average

  /// What BatchNorm takes.
  operator BatchNormOptions() const noexcept {
    BatchNormOptions options = detail::batch_norm(eps, 0.0, 1, true);
    options.momentum = momentum;
    return options;
  }
  /// What LayerNorm takes.
  operator LayerNormOptions() const noexcept { return detail::layer_norm(eps); }
};

/// running = momentum * running + (1 - momentum) * batch, biased. `axis` is that of BatchNorm's channels.
/// Source   keras.layers.BatchNormalization, keras.layers.LayerNormalization (Keras 3)
struct Keras {
  Index axis = -1;         // of BatchNorm's channels
  double momentum = 0.99;  // weight of the old running statistics
  double epsilon = 1e-3;   // added to the variance

  /// What BatchNorm takes.
  operator BatchNormOptions() const noexcept { return detail::batch_norm(epsilon, 1 - momentum, axis, false); }
  /// What LayerNorm takes.
  operator LayerNormOptions() const noexcept { return detail::layer_norm(epsilon); }
};

/// running = momentum * running + (1 - momentum) * batch, biased. `axis` is that of BatchNorm's channels.
/// epsilon, if not given: 1e-5 in BatchNorm and 1e-6 in LayerNorm.
/// Source   flax.linen.BatchNorm, flax.linen.LayerNorm
struct Flax {
  Index axis = -1;                               // of BatchNorm's channels
  double momentum = 0.99;                        // weight of the old running statistics
  std::optional<double> epsilon = std::nullopt;  // added to the variance

  /// What BatchNorm takes.
  operator BatchNormOptions() const noexcept {
    return detail::batch_norm(epsilon.value_or(1e-5), 1 - momentum, axis, false);
  }
  /// What LayerNorm takes.
  operator LayerNormOptions() const noexcept { return detail::layer_norm(epsilon.value_or(1e-6)); }
};

/// running = momentum * running + (1 - momentum) * batch, biased. `axis` is LayerNormalization's first normalized one; all
/// from there to the end are normalized, as many as normalized_shape has.
/// Source   ONNX operators BatchNormalization (15) and LayerNormalization (17)
struct Onnx {
  Index axis = -1;        // the first normalized one of LayerNorm
  double momentum = 0.9;  // weight of the old running statistics
  double epsilon = 1e-5;  // added to the variance

  /// What BatchNorm takes.
  operator BatchNormOptions() const noexcept { return detail::batch_norm(epsilon, 1 - momentum, 1, false); }
  /// What LayerNorm takes.
  operator LayerNormOptions() const noexcept { return detail::layer_norm(epsilon, axis); }
};

/// running = (1 - exponential_avg_factor) * running + exponential_avg_factor * batch, unbiased. Channels last (NHWC).
/// epsilon is at least 1.001e-5, as there.
/// Source   tf.compat.v1.nn.fused_batch_norm
struct TensorFlowFused {
  double epsilon = 1e-3;                // added to the variance
  double exponential_avg_factor = 1.0;  // weight of the new batch

  /// What BatchNorm takes.
  operator BatchNormOptions() const noexcept {
    return detail::batch_norm(std::max(epsilon, 1.001e-5), exponential_avg_factor, -1, true);
  }
};

/// running = (1 - exponential_average_factor) * running + exponential_average_factor * batch, unbiased. Both are the
/// caller's: cuDNN has no defaults, and a layer refuses what is left out.
/// Source   cudnnBatchNormalizationForwardTraining
struct CuDnn {
  double exponential_average_factor = std::numeric_limits<double>::quiet_NaN();  // weight of the new batch
  double epsilon = std::numeric_limits<double>::quiet_NaN();                     // added to the variance

  /// What BatchNorm takes.
  operator BatchNormOptions() const noexcept {
    return detail::batch_norm(epsilon, exponential_average_factor, 1, true);
  }
};

}  // namespace normkit::conventions
