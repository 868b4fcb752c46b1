#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include <normkit/detail/view/tensor.hpp>

namespace normkit {

/// One trainable parameter under its name in a PyTorch state_dict: value and gradient as flat maps of the layer's own
/// memory, in the order of that memory. Valid as long as the layer lives and is not moved.
template <class T>
struct Parameter {
  using Map = Eigen::TensorMap<Eigen::Tensor<T, 1>>;
  std::string_view name;
  Map value, gradient;
};

/// One piece of state that is not trained: running statistics, or the counter of batches.
template <class T>
struct Buffer {
  using Map = Eigen::TensorMap<Eigen::Tensor<T, 1>>;
  std::string_view name;
  std::variant<Map, std::int64_t*> value;
};

/// A short list in place of a vector, so that a training step that walks it does not allocate.
template <class Item, std::size_t Capacity>
class ShortList {
 public:
  void push_back(const Item& item) { items_[size_++].emplace(item); }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  Item& operator[](std::size_t i) noexcept { return *items_[i]; }

  struct Iterator {
    std::optional<Item>* at;
    Item& operator*() const noexcept { return **at; }
    Iterator& operator++() noexcept { return ++at, *this; }
    bool operator==(const Iterator&) const = default;
  };
  Iterator begin() noexcept { return {items_.data()}; }
  Iterator end() noexcept { return {items_.data() + size_}; }

 private:
  std::array<std::optional<Item>, Capacity> items_;
  std::size_t size_ = 0;
};

namespace detail {

/// Weight and bias with their gradients, each present or absent (of size 0) on its own.
template <Scalar T, int Rank, int Layout>
struct AffineParameters {
  using Tensor = Eigen::Tensor<T, Rank, Layout>;
  using Extents = typename Tensor::Dimensions;
  Tensor weight, bias, weight_grad, bias_grad;

  AffineParameters(const Extents& extents, bool with_weight, bool with_bias) {
    if (with_weight) weight.resize(extents), weight_grad.resize(extents);
    if (with_bias) bias.resize(extents), bias_grad.resize(extents);
    reset();
    zero_grad();
  }

  void reset() {
    weight.setConstant(T(1));
    bias.setZero();
  }
  void zero_grad() {
    weight_grad.setZero();
    bias_grad.setZero();
  }

  ShortList<Parameter<T>, 2> list() {
    ShortList<Parameter<T>, 2> all;
    if (weight.size() > 0) all.push_back({"weight", flat(weight), flat(weight_grad)});
    if (bias.size() > 0) all.push_back({"bias", flat(bias), flat(bias_grad)});
    return all;
  }

 private:
  static typename Parameter<T>::Map flat(Tensor& tensor) { return {tensor.data(), tensor.size()}; }
};

}  // namespace detail
}  // namespace normkit
