#pragma once

#include <unsupported/Eigen/CXX11/Tensor>

#include <normkit/detail/view/shape.hpp>

/// The only place that knows Eigen's tensor types: from here on a tensor is a pointer and a Shape.
namespace normkit::detail {

template <class T, int Rank, int Options, class I>
std::true_type is_dense(const Eigen::Tensor<T, Rank, Options, I>&);
template <class Plain, int Options, template <class> class Pointer>
std::true_type is_dense(const Eigen::TensorMap<Plain, Options, Pointer>&);
template <class T, class Sizes, int Options, class I>
std::true_type is_dense(const Eigen::TensorFixedSize<T, Sizes, Options, I>&);

template <class Derived>
std::true_type is_tensor(const Eigen::TensorBase<Derived, Eigen::ReadOnlyAccessors>&);

}  // namespace normkit::detail

namespace normkit {

/// Tensor, TensorMap and TensorFixedSize: tensors with a pointer to all their elements.
template <class X>
concept DenseTensor = requires(const std::remove_cvref_t<X>& x) {
  detail::is_dense(x);
};

/// What a layer reads: a dense tensor, or an Eigen expression, which is evaluated once.
template <class X>
concept TensorInput = requires(const std::remove_cvref_t<X>& x) {
  detail::is_tensor(x);
};

/// What a layer writes: a dense tensor whose elements are not const.
template <class Y>
concept TensorOutput = DenseTensor<Y> &&
    !std::is_const_v<std::remove_pointer_t<decltype(std::declval<std::remove_reference_t<Y>&>().data())>>;

}  // namespace normkit

namespace normkit::detail {

template <TensorInput X>
inline constexpr int rank_of = static_cast<int>(std::remove_cvref_t<X>::NumDimensions);

template <TensorInput X>
inline constexpr int layout_of =
    static_cast<int>(Eigen::TensorEvaluator<const std::remove_cvref_t<X>, Eigen::DefaultDevice>::Layout);

template <TensorInput X>
using ScalarOf = std::remove_const_t<typename std::remove_cvref_t<X>::Scalar>;

template <class X, class Other>
concept SameLayout = TensorInput<X> && TensorInput<Other> &&(layout_of<X> == layout_of<Other> || rank_of<X> <= 1);

/// Tensors of one call: the same scalar, rank and layout, known at compile time.
template <class X, class Other>
concept SameKind = TensorInput<X> && TensorInput<Other> && std::is_same_v<ScalarOf<X>, ScalarOf<Other>> && rank_of<X>
== rank_of<Other>&& SameLayout<X, Other>;

/// How the scalar of a tensor is known below: Eigen's numbers of 16 bits by their bits, others as they are.
template <class T>
struct StoredAs {
  using Type = T;
};
template <>
struct StoredAs<Eigen::half> {
  using Type = Half;
};
template <>
struct StoredAs<Eigen::bfloat16> {
  using Type = BFloat16;
};
template <TensorInput X>
using StoredOf = typename StoredAs<ScalarOf<X>>::Type;

/// A tensor as a parameter of another type than `const X&`: clang 14 lets a function hide one that a using-declaration brings where
/// the types of their parameters are alike, whatever either requires.
template <class X>
using AnyTensor = Eigen::TensorBase<X, Eigen::ReadOnlyAccessors>;
template <class X>
const X& tensor_of(const AnyTensor<X>& tensor) noexcept {
  return static_cast<const X&>(tensor);
}

/// The elements of a dense tensor.
template <DenseTensor X>
auto elements(X& x) noexcept {
  using S = StoredOf<X>;
  static_assert(sizeof(S) == sizeof(ScalarOf<X>) && alignof(S) == alignof(ScalarOf<X>));
  using Element = std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(x.data())>>, const S, S>;
  return reinterpret_cast<Element*>(x.data());
}

/// The tensor that an expression evaluates to.
template <TensorInput X>
using Evaluated = Eigen::Tensor<ScalarOf<X>, rank_of<X>, layout_of<X>, typename std::remove_cvref_t<X>::Index>;

/// Extents in the form that an Evaluated tensor is made of (those of a fixed-size tensor are a type of their own).
template <TensorInput X>
using Extents = typename Evaluated<X>::Dimensions;

template <DenseTensor X>
Shape shape_of(const X& x) noexcept {
  using I = typename X::Index;
  static_assert(rank_of<X> <= max_rank, "normkit: a tensor has at most 16 axes");
  Shape shape;
  shape.rank = rank_of<X>;
  shape.row_major = layout_of<X> == static_cast<int>(Eigen::RowMajor);
  shape.index_limit = static_cast<Index>(std::numeric_limits<I>::max());
  const Extents<X> extents(x.dimensions());
  for (std::size_t axis = 0; axis < extents.size(); ++axis) shape.extents[axis] = static_cast<Index>(extents[axis]);
  return shape;
}

/// A dense tensor as it is; an expression evaluated on the device into a temporary.
template <class Device, TensorInput X>
decltype(auto) dense(const Device& device, const X& x) {
  if constexpr (DenseTensor<X>) {
    return (x);
  } else {
    const Eigen::TensorEvaluator<const X, Device> evaluator(x, device);
    Evaluated<X> value(Extents<X>(evaluator.dimensions()));
    if constexpr (requires { device.getPool()->CurrentThreadId(); }) {
      // Eigen waits for its pool: from one of the pool's own workers that could be for ever.
      if (device.getPool()->CurrentThreadId() < 0) {
        value.device(device) = x;
        return value;
      }
    }
    value.device(Eigen::DefaultDevice()) = x;
    return value;
  }
}

/// Whether a layer takes the tensors of one call: inputs like x, and outputs.
template <class Layer, class Device, class X, class... Y>
constexpr bool takes_call() {
  if constexpr (Layer::template is_device<Device>)
    return (Layer::template takes<X, Y>() && ...);
  else
    return false;
}

/// A layer as a functor for Eigen's customOp: its infer inside an expression.
template <class Norm>
struct CustomOp {
  const Norm* norm;

  template <class X>
  auto dimensions(const X& x) const {
    return Extents<X>(Eigen::TensorEvaluator<const X, Eigen::DefaultDevice>(x, Eigen::DefaultDevice()).dimensions());
  }
  template <class X, class Y, class Device>
  void eval(const X& x, Y& y, const Device& device) const {
    norm->infer(device, x, y);
  }
};

}  // namespace normkit::detail
