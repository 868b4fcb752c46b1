// normkit's BatchNorm as a hidden layer of MiniDNN.
#pragma once

#include <MiniDNN.h>
#include <normkit/batch_norm.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace integrations {

/// y = activation(norm(x)). An observation is `channels` channels of `pixels` values, as convolutions and poolings
/// leave them; with one pixel it is what a fully connected layer leaves.
///
/// MiniDNN runs forward in fit and in predict, and tells no layer in which. So keep a pointer to the layer, and say
/// norm().eval() before predict and norm().train() before more of fit.
template <class Activation = MiniDNN::Identity>
class BatchNorm final : public MiniDNN::Layer {
  using Scalar = MiniDNN::Scalar;
  using Norm = normkit::BatchNorm1d<Scalar>;

 public:
  explicit BatchNorm(int channels, int pixels = 1, const normkit::BatchNormOptions& options = {})
      : Layer(channels * pixels, channels * pixels), norm_(channels, options) {}

  Norm& norm() { return norm_; }

  void init(const Scalar&, const Scalar&, MiniDNN::RNG&) override { init(); }
  void init() override {
    norm_.reset_parameters();
    norm_.reset_running_stats();
  }

  void forward(const Matrix& x) override {
    z_.resize(x.rows(), x.cols());
    y_.resize(x.rows(), x.cols());
    norm_.forward(tensor(x), tensor(z_));
    Activation::activate(z_, y_);
  }
  const Matrix& output() const override { return y_; }

  void backprop(const Matrix& x, const Matrix& dy) override {
    Activation::apply_jacobian(z_, y_, dy, z_);  // dz takes the place of z
    dx_.resize(x.rows(), x.cols());
    norm_.zero_grad();
    norm_.backward(tensor(x), tensor(z_), tensor(dx_));
    // MiniDNN's losses are means over observations, whose number only the gradients of parameters are divided by.
    for (auto& parameter : norm_.parameters()) parameter.gradient = parameter.gradient / static_cast<Scalar>(x.cols());
  }
  const Matrix& backprop_data() const override { return dx_; }

  void update(MiniDNN::Optimizer& optimizer) override {
    for (auto& parameter : norm_.parameters()) {
      Vector::ConstAlignedMapType gradient(parameter.gradient.data(), parameter.gradient.size());
      Vector::AlignedMapType value(parameter.value.data(), parameter.value.size());
      optimizer.update(gradient, value);
    }
  }

  /// Weight, bias, running mean and running variance. The last two have no derivatives, so they come last:
  /// check_gradient goes by the number of derivatives.
  std::vector<Scalar> get_parameters() const override { return joined(state(norm_)); }
  void set_parameters(const std::vector<Scalar>& values) override {
    if (values.size() != get_parameters().size()) throw std::invalid_argument("BatchNorm: parameters of another size");
    auto from = values.begin();
    for (auto* tensor : state(norm_)) {
      std::copy_n(from, tensor->size(), tensor->data());
      from += tensor->size();
    }
  }
  std::vector<Scalar> get_derivatives() const override {
    return joined(std::array{&norm_.weight_grad(), &norm_.bias_grad()});
  }

  std::string layer_type() const override { return "BatchNorm"; }
  std::string activation_type() const override { return Activation::return_type(); }
  /// For export_net. read_net builds the layers that MiniDNN lists, by number, and refuses this one's.
  void fill_meta_info(MetaInfo& map, int index) const override {
    const std::string layer = std::to_string(index);
    map["Layer" + layer] = -1;
    map["Activation" + layer] = MiniDNN::internal::activation_id(activation_type());
    map["channels" + layer] = static_cast<int>(norm_.num_features());
    map["pixels" + layer] = in_size() / static_cast<int>(norm_.num_features());
  }

 private:
  /// Observations are columns, one after the other in memory: as a row-major tensor (observations, channels, pixels).
  template <class T>
  auto tensor(T* data, Eigen::Index observations) const {
    using Tensor = Eigen::Tensor<Scalar, 3, Eigen::RowMajor>;
    using Map = Eigen::TensorMap<std::conditional_t<std::is_const_v<T>, const Tensor, Tensor>>;
    return Map(data, observations, norm_.num_features(), in_size() / norm_.num_features());
  }
  auto tensor(const Matrix& matrix) const { return tensor(matrix.data(), matrix.cols()); }
  auto tensor(Matrix& matrix) const { return tensor(matrix.data(), matrix.cols()); }

  static auto state(auto& norm) {
    return std::array{&norm.weight(), &norm.bias(), &norm.running_mean(), &norm.running_var()};
  }
  static std::vector<Scalar> joined(const auto& tensors) {
    std::vector<Scalar> values;
    for (const auto* tensor : tensors) std::copy_n(tensor->data(), tensor->size(), std::back_inserter(values));
    return values;
  }

  Norm norm_;
  Matrix z_, y_, dx_;
};

}  // namespace integrations
