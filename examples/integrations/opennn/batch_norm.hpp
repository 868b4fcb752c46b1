// normkit's BatchNorm as a layer of OpenNN.
#pragma once

#include "layer.h"  // of OpenNN; first, since it says how Eigen is compiled

#include "registry.h"  // needs what layer.h includes

#include <algorithm>
#include <iomanip>
#include <limits>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <normkit/batch_norm.hpp>

namespace integrations {

using Norm = normkit::BatchNorm1d<float>;

/// What a forward leaves for its backward. OpenNN gives the memory of its views.
struct BatchNormForward final : opennn::LayerForwardPropagation {
  void initialize() override {
    outputs.shape = opennn::Shape{batch_size}.append(layer->get_output_shape());
    slopes.shape = outputs.shape;
  }
  std::vector<opennn::TensorView*> get_workspace_views() override { return {&outputs, &slopes}; }

  opennn::TensorView slopes;  // of the activation
  Norm::Saved saved;
};

struct BatchNormBackward final : opennn::LayerBackPropagation {
  void initialize() override {
    weight.shape = bias.shape = {layer->get_input_shape().back()};
    input_gradients = {{nullptr, opennn::Shape{batch_size}.append(layer->get_input_shape())}};
  }
  std::vector<opennn::TensorView*> get_gradient_views() override { return {&weight, &bias}; }

  opennn::TensorView weight, bias;  // their gradients
};

/// y = activation(norm(x)), the last axis of `shape` being channels: {neurons} behind a Dense, {height, width,
/// channels} behind a Convolutional. `activation` is one of OpenNN's names.
class BatchNorm final : public opennn::Layer {
 public:
  explicit BatchNorm(const opennn::Shape& shape = {1}, const std::string& activation = "Linear")
      : activation_(activation), norm_(shape.back()) {
    name = "BatchNorm";
    label = "batch_norm_layer";
    set_input_shape(shape);
  }

  opennn::Shape get_input_shape() const override { return shape_; }
  opennn::Shape get_output_shape() const override { return shape_; }
  void set_input_shape(const opennn::Shape& shape) override {
    shape_ = shape;
    weight_.shape = bias_.shape = {shape.back()};
    norm_ = Norm(shape.back());
  }

  std::vector<opennn::TensorView*> get_parameter_views() override { return {&weight_, &bias_}; }
  void set_parameters_random() override {
    norm_.reset_parameters();
    std::copy_n(norm_.weight().data(), weight_.size(), weight_.data);
    std::copy_n(norm_.bias().data(), bias_.size(), bias_.data);
  }
  void set_parameters_glorot() override { set_parameters_random(); }

  void forward_propagate(std::unique_ptr<opennn::LayerForwardPropagation>& pass, bool is_training) override {
    auto& forward = static_cast<BatchNormForward&>(*pass);
    // Parameters live in OpenNN's one vector of all, which its optimizers write; normkit's layer holds its own.
    std::copy_n(weight_.data, weight_.size(), norm_.weight().data());
    std::copy_n(bias_.data, bias_.size(), norm_.bias().data());
    const auto x = rows(forward.inputs[0]);
    auto y = rows(forward.outputs);
    if (is_training) {
      norm_.forward(opennn::get_device(), x, y, forward.saved);
      calculate_activations<2>(activation_, y, rows(forward.slopes));
    } else {
      norm_.infer(opennn::get_device(), x, y);
      calculate_activations<2>(activation_, y, {nullptr, 0, 0});
    }
  }

  void back_propagate(std::unique_ptr<opennn::LayerForwardPropagation>& pass,
                      std::unique_ptr<opennn::LayerBackPropagation>& gradients) const override {
    const auto& forward = static_cast<const BatchNormForward&>(*pass);
    auto& backward = static_cast<BatchNormBackward&>(*gradients);
    auto dy = rows(backward.output_gradients[0]);
    for (std::size_t i = 1; i < backward.output_gradients.size(); ++i) dy += rows(backward.output_gradients[i]);
    dy *= rows(forward.slopes);
    norm_.zero_grad();
    norm_.backward(opennn::get_device(), rows(forward.inputs[0]), dy, rows(backward.input_gradients[0]), forward.saved);
    std::copy_n(norm_.weight_grad().data(), backward.weight.size(), backward.weight.data);
    std::copy_n(norm_.bias_grad().data(), backward.bias.size(), backward.bias.data);
  }

  /// What is not a parameter: OpenNN saves those in a file of their own.
  void to_XML(tinyxml2::XMLPrinter& printer) const override {
    printer.OpenElement("BatchNorm");
    tinyxml2::add_xml_element(printer, "Label", label);
    tinyxml2::add_xml_element(printer, "InputShape", opennn::shape_to_string(shape_));
    tinyxml2::add_xml_element(printer, "Activation", activation_);
    tinyxml2::add_xml_element(printer, "RunningMean", text(norm_.running_mean()));
    tinyxml2::add_xml_element(printer, "RunningVar", text(norm_.running_var()));
    printer.CloseElement();
  }
  void from_XML(const tinyxml2::XMLDocument& document) override {
    const auto* element = document.FirstChildElement("BatchNorm");
    if (!element) throw std::runtime_error("BatchNorm element is nullptr.");
    label = tinyxml2::read_xml_string(element, "Label");
    set_input_shape(opennn::string_to_shape(tinyxml2::read_xml_string(element, "InputShape")));
    activation_ = tinyxml2::read_xml_string(element, "Activation");
    read(tinyxml2::read_xml_string(element, "RunningMean"), norm_.running_mean());
    read(tinyxml2::read_xml_string(element, "RunningVar"), norm_.running_var());
  }

 private:
  /// Channels are the last axis, whatever stands before: as a tensor (rows, channels).
  static ::TensorMap2 rows(const opennn::TensorView& view) {
    return {view.data, view.size() / view.shape.back(), view.shape.back()};
  }

  static std::string text(const Norm::Tensor& numbers) {
    std::ostringstream out;
    out << std::setprecision(std::numeric_limits<float>::max_digits10);
    for (Eigen::Index i = 0; i < numbers.size(); ++i) out << numbers(i) << ' ';
    return out.str();
  }
  static void read(const std::string& text, Norm::Tensor& numbers) {
    std::istringstream in(text);
    for (Eigen::Index i = 0; i < numbers.size(); ++i)
      if (!(in >> numbers(i))) throw std::runtime_error("BatchNorm: too few running statistics.");
  }

  opennn::Shape shape_;
  opennn::TensorView weight_, bias_;
  std::string activation_;
  mutable Norm norm_;  // back_propagate is const, and normkit's backward adds to gradients that the layer holds
};

/// OpenNN makes layers and what belongs to them by name.
inline void register_batch_norm() {
  opennn::Registry<opennn::Layer>::instance().register_component("BatchNorm",
                                                                 [] { return std::make_unique<BatchNorm>(); });
  opennn::Registry<opennn::LayerForwardPropagation>::instance().register_component(
      "BatchNorm", [] { return std::make_unique<BatchNormForward>(); });
  opennn::Registry<opennn::LayerBackPropagation>::instance().register_component(
      "BatchNorm", [] { return std::make_unique<BatchNormBackward>(); });
}

}  // namespace integrations
