#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include <normkit/detail/view/tensor.hpp>

namespace normkit {

/// A tensor that a layer has: of this index type, whatever EIGEN_DEFAULT_DENSE_INDEX_TYPE says.
template <class T, int Rank = 1, int Layout = Eigen::ColMajor>
using OwnTensor = Eigen::Tensor<T, Rank, Layout, Index>;

/// A flat view of a layer's own memory, in its order; read-only where T is const.
template <class T>
using FlatMap = Eigen::TensorMap<
    std::conditional_t<std::is_const_v<T>, const OwnTensor<std::remove_const_t<T>>, OwnTensor<std::remove_const_t<T>>>>;

/// One trainable parameter under its name in a PyTorch state_dict. Valid as long as the layer lives and is not moved.
template <class T>
struct Parameter {
  const std::string_view name;  // const: it is not to be assigned, as assigning a map would copy its elements
  FlatMap<T> value, gradient;   // the layer's own memory
};

/// One piece of state that is not trained: running statistics, or the counter of batches.
template <class T>
struct Buffer {
  /// The number of batches.
  using Counter = std::conditional_t<std::is_const_v<T>, const std::int64_t, std::int64_t>;
  const std::string_view name;               // const, as in Parameter
  std::variant<FlatMap<T>, Counter*> value;  // the layer's own memory
};

/// A short range in place of a vector, so that a training step that walks it does not allocate.
template <class Item, std::size_t Capacity>
class ShortList {
 public:
  /// Precondition: there is room.
  void push_back(const Item& item) { items_[size_++].emplace(item); }
  std::size_t size() const noexcept { return size_; }              // at most Capacity
  bool empty() const noexcept { return size_ == 0; }               // of size 0
  Item& operator[](std::size_t i) noexcept { return *items_[i]; }  // i below size()
  const Item& operator[](std::size_t i) const noexcept { return *items_[i]; }

  /// A forward iterator over the items.
  template <class Holder>
  struct Iterator {
    /// @cond
    using value_type = Item;                 // NOLINT(readability-identifier-naming): the standard's names
    using difference_type = std::ptrdiff_t;  // NOLINT(readability-identifier-naming)
    Holder* at = nullptr;
    auto& operator*() const noexcept { return **at; }
    Iterator& operator++() noexcept { return ++at, *this; }
    Iterator operator++(int) noexcept { return {at++}; }
    bool operator==(const Iterator&) const = default;
    /// @endcond
  };
  /// Forward iterators.
  auto begin() noexcept { return Iterator<std::optional<Item>>{items_.data()}; }
  auto end() noexcept { return Iterator<std::optional<Item>>{items_.data() + size_}; }  // behind the last item
  auto begin() const noexcept { return Iterator<const std::optional<Item>>{items_.data()}; }
  auto end() const noexcept { return Iterator<const std::optional<Item>>{items_.data() + size_}; }

 private:
  std::array<std::optional<Item>, Capacity> items_;
  std::size_t size_ = 0;
};

namespace detail {

/// Weight and bias with their gradients, each present or absent (of size 0) on its own.
template <Scalar T, int Rank, int Layout>
struct AffineParameters {
  using Tensor = OwnTensor<T, Rank, Layout>;
  using Extents = typename Tensor::Dimensions;
  Tensor weight, bias, weight_grad, bias_grad;
  T initial_weight;

  AffineParameters(const Extents& extents, bool with_weight, bool with_bias, T first_weight)
      : initial_weight(first_weight) {
    if (with_weight) weight.resize(extents), weight_grad.resize(extents);
    if (with_bias) bias.resize(extents), bias_grad.resize(extents);
    reset();
    zero_grad();
  }

  void reset() {
    weight.setConstant(initial_weight);
    bias.setZero();
  }
  void zero_grad() {
    weight_grad.setZero();
    bias_grad.setZero();
  }

  auto list() { return list<T>(*this); }
  auto list() const { return list<const T>(*this); }

 private:
  template <class Element>
  static ShortList<Parameter<Element>, 2> list(auto& self) {
    const auto flat = [](auto& tensor) { return FlatMap<Element>(tensor.data(), tensor.size()); };
    ShortList<Parameter<Element>, 2> all;
    if (self.weight.size() > 0) all.push_back({"weight", flat(self.weight), flat(self.weight_grad)});
    if (self.bias.size() > 0) all.push_back({"bias", flat(self.bias), flat(self.bias_grad)});
    return all;
  }
};

}  // namespace detail
}  // namespace normkit
