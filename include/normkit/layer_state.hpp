#pragma once

#include <normkit/detail/check.hpp>
#include <normkit/parameters.hpp>
#include <normkit/saved.hpp>

namespace normkit::detail {

/// What every layer holds, whatever it computes: parameters with their gradients, the mode, what the last forward kept, and
/// memory for partial results.
template <Scalar T, int Rank, int Layout>
class LayerState {
 public:
  using Saved = normkit::Saved<T>;                       // what a forward keeps for its backward
  using Parameters = AffineParameters<T, Rank, Layout>;  // the library's own
  using Tensor = typename Parameters::Tensor;            // of weight and bias

  /// Training, as a new layer is; or evaluation.
  void train(bool on = true) noexcept { training_ = on; }
  void eval() noexcept { training_ = false; }              // train(false)
  bool is_training() const noexcept { return training_; }  // and not in evaluation

  /// Weight and bias and their gradients, of size 0 where the layer has none. To be set like any tensor.
  Tensor& weight() noexcept { return parameters_.weight; }
  Tensor& bias() noexcept { return parameters_.bias; }                // as weight
  Tensor& weight_grad() noexcept { return parameters_.weight_grad; }  // as weight; each backward adds to it
  Tensor& bias_grad() noexcept { return parameters_.bias_grad; }      // as weight_grad
  const Tensor& weight() const noexcept { return parameters_.weight; }
  const Tensor& bias() const noexcept { return parameters_.bias; }
  const Tensor& weight_grad() const noexcept { return parameters_.weight_grad; }
  const Tensor& bias_grad() const noexcept { return parameters_.bias_grad; }

  /// Those present, as "weight" and "bias", with their gradients.
  auto parameters() { return parameters_.list(); }
  auto parameters() const { return parameters_.list(); }
  /// weight 1 (0 where it means 1 + weight), bias 0; gradients stay.
  void reset_parameters() { parameters_.reset(); }
  void zero_grad() { parameters_.zero_grad(); }  // gradients 0

  /// What the last forward without a Saved of the caller's kept.
  const Saved& saved() const noexcept { return saved_; }

 protected:
  using ParameterExtents = std::array<Index, static_cast<std::size_t>(Rank)>;

  LayerState(const ParameterExtents& extents, bool weight, bool bias, T initial_weight = T(1))
      : parameters_(typename Parameters::Extents(extents), weight, bias, initial_weight) {}

  /// Each parameter that the layer has, and its gradient, has these extents.
  void require_parameters(std::string_view layer, const ParameterExtents& extents) const {
    const auto require = [&](const char* name, bool present, const Tensor& tensor) {
      if (present || tensor.size() > 0) require_extents(layer, name, extents, tensor.dimensions());
    };
    require("weight", has_weight_, parameters_.weight);
    require("gradient of weight", has_weight_, parameters_.weight_grad);
    require("bias", has_bias_, parameters_.bias);
    require("gradient of bias", has_bias_, parameters_.bias_grad);
  }
  /// Of a view that is empty: nothing to compute, and nothing for backward to do.
  void keep_nothing(const StatView& view, Saved& saved) const {
    saved.resize(view.stats());
    saved.source = Saved::Source::batch;
  }
  /// Where the gradients of parameters go.
  ParameterSink<T> sink(Gradients which) noexcept {
    return {which.weight && parameters_.weight.size() > 0 ? parameters_.weight_grad.data() : nullptr,
            which.bias && parameters_.bias.size() > 0 ? parameters_.bias_grad.data() : nullptr};
  }
  static const T* data_or_null(const Tensor& tensor) noexcept { return tensor.size() > 0 ? tensor.data() : nullptr; }

  Parameters parameters_;
  Saved saved_;
  Workspace workspace_;

 private:
  bool has_weight_ = parameters_.weight.size() > 0, has_bias_ = parameters_.bias.size() > 0;
  bool training_ = true;
};

}  // namespace normkit::detail
