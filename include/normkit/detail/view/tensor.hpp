#pragma once

#include <unsupported/Eigen/CXX11/Tensor>

#include <normkit/detail/view/shape.hpp>

/// The only place that knows Eigen's tensors and matrices: from here on a tensor is a pointer and a Shape.
namespace normkit::detail {

template <class T, int Rank, int Options, class I>
std::true_type is_dense(const Eigen::Tensor<T, Rank, Options, I>&);
template <class Plain, int Options, template <class> class Pointer>
std::true_type is_dense(const Eigen::TensorMap<Plain, Options, Pointer>&);
template <class T, class Sizes, int Options, class I>
std::true_type is_dense(const Eigen::TensorFixedSize<T, Sizes, Options, I>&);
template <class Derived>
std::true_type is_tensor(const Eigen::TensorBase<Derived, Eigen::ReadOnlyAccessors>&);
template <class Derived>
std::true_type is_matrix(const Eigen::DenseBase<Derived>&);

/// Matrix, Array, Map, Ref, Block, Transpose, and expressions of them: a tensor of rank 2, or of rank 1 where the type is a vector's.
template <class X>
concept MatrixInput = requires(const std::remove_cvref_t<X>& x) {
  is_matrix(x);
};

}  // namespace normkit::detail

namespace normkit {

/// Tensor, TensorMap and TensorFixedSize, and the matrices that have their elements in memory.
template <class X>
concept DenseTensor = requires(const std::remove_cvref_t<X>& x) {
  detail::is_dense(x);
}
|| (detail::MatrixInput<X> && (std::remove_cvref_t<X>::Flags & Eigen::DirectAccessBit) != 0 &&
    requires(const std::remove_cvref_t<X>& x) { x.data(); });

/// What a layer reads: a dense tensor, or an Eigen expression, which is evaluated once.
template <class X>
concept TensorInput = detail::MatrixInput<X> || requires(const std::remove_cvref_t<X>& x) {
  detail::is_tensor(x);
};

/// What a layer writes: a dense tensor whose elements are not const.
template <class Y>
concept TensorOutput = DenseTensor<Y> &&
    !std::is_const_v<std::remove_pointer_t<decltype(std::declval<std::remove_reference_t<Y>&>().data())>>;

}  // namespace normkit

namespace normkit::detail {

template <TensorInput X>
using ScalarOf = std::remove_const_t<typename std::remove_cvref_t<X>::Scalar>;

/// The rank and layout of a tensor, and what it evaluates to in a layout (those of a fixed size to one that can be resized).
template <TensorInput X>
struct TraitsOf {
  using Index = typename X::Index;
  static constexpr int rank = static_cast<int>(X::NumDimensions);
  static constexpr int layout = static_cast<int>(Eigen::TensorEvaluator<const X, Eigen::DefaultDevice>::Layout);
  template <int>
  using Evaluated = Eigen::Tensor<ScalarOf<X>, rank, layout, Index>;
};
template <MatrixInput X>
struct TraitsOf<X> {
  static constexpr int rank = X::IsVectorAtCompileTime ? 1 : 2;
  static constexpr int layout = X::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor;

  static constexpr int resizable(int extent) { return extent == 1 ? 1 : Eigen::Dynamic; }
  template <int Layout, template <class, int...> class Kind, class T, int Rows, int Cols, int Options, int... Most>
  static Kind<T, resizable(Rows), resizable(Cols), rank == 1 ? Options : Layout> in_layout(
      const Kind<T, Rows, Cols, Options, Most...>&);
  template <int Layout>
  using Evaluated = decltype(in_layout<Layout>(std::declval<const typename X::PlainObject&>()));
};

template <TensorInput X>
inline constexpr int rank_of = TraitsOf<std::remove_cvref_t<X>>::rank;
template <TensorInput X>
inline constexpr int layout_of = TraitsOf<std::remove_cvref_t<X>>::layout;
template <TensorInput X>
using Evaluated = typename TraitsOf<std::remove_cvref_t<X>>::template Evaluated<layout_of<X>>;
/// In the layout of Like, where X can be evaluated in any.
template <TensorInput Like, TensorInput X>
using EvaluatedLike = typename TraitsOf<std::remove_cvref_t<X>>::template Evaluated<layout_of<Like>>;

/// An expression of matrices, such as a product, is evaluated in the layout of what it is with.
template <class X>
concept AnyLayout = TensorInput<X> &&(rank_of<X> <= 1 || (MatrixInput<X> && !DenseTensor<X>));

template <TensorInput... X>
constexpr bool share_layout() {
  int shared = -1;
  const auto shares = [&](int layout) {
    if (shared < 0) shared = layout;
    return layout == shared;
  };
  return ((AnyLayout<X> || shares(layout_of<X>)) && ...);
}
template <class X, class... Others>
concept SameLayout = TensorInput<X> &&(TensorInput<Others>&&...) && share_layout<X, Others...>();

/// Tensors of one call: the same scalar, rank and layout, known at compile time.
template <class X, class... Others>
concept SameKind = SameLayout<X, Others...> &&
    ((std::is_same_v<ScalarOf<X>, ScalarOf<Others>> && rank_of<X> == rank_of<Others>)&&...);

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

/// The elements of a dense tensor.
template <DenseTensor X>
auto elements(X& x) noexcept {
  using S = StoredOf<X>;
  static_assert(sizeof(S) == sizeof(ScalarOf<X>) && alignof(S) == alignof(ScalarOf<X>));
  using Element = std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(x.data())>>, const S, S>;
  return reinterpret_cast<Element*>(x.data());
}

/// Extents in the form that a tensor is made of (those of a fixed size are a type of their own).
template <TensorInput X>
using Extents = typename Evaluated<X>::Dimensions;

template <DenseTensor X>
Shape shape_of(const X& x) noexcept {
  static_assert(rank_of<X> <= max_rank, "normkit: a tensor has at most 16 axes");
  Shape shape;
  shape.rank = rank_of<X>;
  shape.row_major = layout_of<X> == static_cast<int>(Eigen::RowMajor);
  shape.index_limit = static_cast<Index>(std::numeric_limits<typename X::Index>::max());
  if constexpr (MatrixInput<X>) {
    shape.extents = {rank_of<X> == 1 ? x.size() : x.rows(), x.cols()};
    const auto follows = [](Index count, Index stride, Index expected) { return count <= 1 || stride == expected; };
    shape.has_gaps = x.size() > 0 && !(follows(x.innerSize(), x.innerStride(), 1) &&
                                       follows(x.outerSize(), x.outerStride(), x.innerSize()));
  } else {
    const Extents<X> extents(x.dimensions());
    for (std::size_t axis = 0; axis < extents.size(); ++axis) shape.extents[axis] = static_cast<Index>(extents[axis]);
  }
  return shape;
}

/// A tensor of its own for what X evaluates to, of a shape that is one of X's, not filled.
template <TensorInput X>
Evaluated<X> unfilled(const Shape& shape) {
  Evaluated<X> tensor;
  if constexpr (MatrixInput<X> && rank_of<X> == 1) {
    tensor.resize(shape[0]);
  } else if constexpr (MatrixInput<X>) {
    tensor.resize(shape[0], shape[1]);
  } else {
    Extents<X> extents;
    for (std::size_t axis = 0; axis < extents.size(); ++axis)
      extents[axis] = static_cast<typename Evaluated<X>::Index>(shape.extents[axis]);
    tensor.resize(extents);
  }
  return tensor;
}

/// A dense tensor as it is; an expression evaluated on the device into a temporary, of matrices on the calling thread and in the layout
/// of Like.
template <TensorInput Like, class Device, TensorInput X>
decltype(auto) dense(const Device& device, const X& x) {
  if constexpr (DenseTensor<X>) {
    return (x);
  } else if constexpr (MatrixInput<X>) {
    return EvaluatedLike<Like, X>(x);
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
