#pragma once

#include <normkit/detail/plan/direction.hpp>
#include <normkit/layer.hpp>

namespace normkit {

/// Numbers that go with a layer's weight and bias, of their extents. Null: zero. A layer that lacks the parameter takes none.
template <class Tensor>
struct ParameterDirections {
  const Tensor* weight = nullptr;  // what goes with the weight
  const Tensor* bias = nullptr;    // what goes with the bias
};

namespace detail {

/// Derivatives beyond backward's: of a forward in a direction, and of a backward. For layers `Base` whose parameters go by
/// group or by element of a group.
template <class Base>
class HigherDerivatives : public Base {
  using T = typename Base::Tensor::Scalar;

 public:
  using typename Base::Saved;
  using Directions = ParameterDirections<typename Base::Tensor>;  // numbers that go with weight and bias

  /// Forward mode: how y changes where x changes by v, weight and bias by `directions`, of the forward that `saved` is of (the
  /// layer's own if none is given). With P(v) = v - mean(v) - xhat * mean(v * xhat), of given statistics v:
  ///   y_v = weight * rstd * P(v) + directions.weight * xhat + directions.bias
  /// Shapes   x, v and y_v the same
  /// Memory   y_v may be x or v, or lie apart from both; no allocation after the first call with a shape
  /// Threads  as forward
  /// Throws   shape_error, argument_error, state_error (no forward, one of another shape, or in place)
  template <class Device, class X, class V, class Y, std::same_as<Saved> Kept>
  requires(Base::template is_device<Device>&& Base::template takes<X, V, Y>()) void jvp(
      const Device& device, const X& x, const V& v, Y&& y_v, const Kept& saved, const Directions& directions = {}) {
    decltype(auto) input = dense<Y>(device, x);
    decltype(auto) along = dense<Y>(device, v);
    const Shape shape = this->checked_shape(input);
    const StatView view = this->saved_view(shape, saved);
    this->require_like(shape, "v", along);
    this->check_output(shape, "x", elements(input), "y_v", y_v);
    this->check_output(shape, "v", elements(along), "y_v", y_v);
    differentiate_twice<StoredOf<X>>(device, view, saved, directions, {elements(input), elements(along), nullptr},
                                     elements(y_v), nullptr, nullptr);
  }
  template <class Device, class X, class V, class Y>
  requires(Base::template is_device<Device>&& Base::template takes<X, V, Y>()) void jvp(
      const Device& device, const X& x, const V& v, Y&& y_v, const Directions& directions = {}) {
    jvp(device, x, v, y_v, this->saved_, directions);
  }
  template <class X, class V, class Y, std::same_as<Saved> Kept>
  requires(Base::template takes<X, V, Y>()) void jvp(const X& x, const V& v, Y&& y_v, const Kept& saved,
                                                     const Directions& directions = {}) {
    jvp(Eigen::DefaultDevice(), x, v, y_v, saved, directions);
  }
  template <class X, class V, class Y>
  requires(Base::template takes<X, V, Y>()) void jvp(const X& x, const V& v, Y&& y_v,
                                                     const Directions& directions = {}) {
    jvp(Eigen::DefaultDevice(), x, v, y_v, this->saved_, directions);
  }

  /// Backward of backward, as of a penalty on gradients: from the gradients of a later loss by what backward gave, v by dx and
  /// `directions` by the gradients of weight and bias, those by what backward took. With d = weight * dy and f =
  /// directions.weight * dy:
  ///   dy_grad = weight * rstd * P(v) + directions.weight * xhat + directions.bias
  ///   x_grad = rstd * P(f) - rstd^2 * (mean(v * P(d)) * xhat + mean(d * xhat) * P(v) + mean(v * xhat) * P(d))
  ///   weight_grad += sum(rstd * P(v) * dy)
  /// With given statistics x_grad = rstd * f. The gradient of bias is none.
  /// Shapes   x, dy, v, dy_grad and x_grad the same
  /// Memory   dy_grad and x_grad apart from each other; each may be x, dy or v, or lie apart from them; the directions apart from
  ///          the gradient of weight
  /// Threads  as forward
  /// Throws   as jvp
  template <class Device, class X, class DY, class V, class DYG, class XG, std::same_as<Saved> Kept>
  requires(Base::template is_device<Device>&& Base::template takes<X, DY, DYG>() && SameKind<X, DY, V, DYG, XG> &&
           Base::template takes<X, XG>()) void double_backward(const Device& device, const X& x, const DY& dy,
                                                               const V& v, DYG&& dy_grad, XG&& x_grad,
                                                               const Kept& saved, const Directions& directions = {}) {
    decltype(auto) input = dense<XG>(device, x);
    decltype(auto) upstream = dense<XG>(device, dy);
    decltype(auto) along = dense<XG>(device, v);
    const Shape shape = this->checked_shape(input);
    const StatView view = this->saved_view(shape, saved);
    this->require_like(shape, "dy", upstream);
    this->require_like(shape, "v", along);
    const auto check = [&](const char* name, auto& output) {
      this->check_output(shape, "x", elements(input), name, output);
      this->check_output(shape, "dy", elements(upstream), name, output);
      this->check_output(shape, "v", elements(along), name, output);
    };
    check("dy_grad", dy_grad);
    check("x_grad", x_grad);
    this->require_apart(shape, "dy_grad", elements(dy_grad), "x_grad", x_grad);
    T* const weight_grad = this->weight().size() > 0 ? this->weight_grad().data() : nullptr;
    for (const auto* given : {directions.weight, directions.bias})
      if (given && weight_grad && given->data() == weight_grad)
        raise(
            argument_error(words(Base::current_name()) +
                           ": expected directions apart from the gradient of weight, which is added to, got the same"));
    differentiate_twice<StoredOf<X>>(device, view, saved, directions,
                                     {elements(input), elements(along), elements(upstream)}, elements(dy_grad),
                                     elements(x_grad), weight_grad);
  }
  template <class Device, class X, class DY, class V, class DYG, class XG>
  requires(Base::template is_device<Device>&& Base::template takes<X, DY, DYG>() && SameKind<X, DY, V, DYG, XG> &&
           Base::template takes<X, XG>()) void double_backward(const Device& device, const X& x, const DY& dy,
                                                               const V& v, DYG&& dy_grad, XG&& x_grad,
                                                               const Directions& directions = {}) {
    double_backward(device, x, dy, v, dy_grad, x_grad, this->saved_, directions);
  }
  template <class X, class DY, class V, class DYG, class XG, std::same_as<Saved> Kept>
  requires(Base::template takes<X, DY, DYG>() && SameKind<X, DY, V, DYG, XG> &&
           Base::template takes<X, XG>()) void double_backward(const X& x, const DY& dy, const V& v, DYG&& dy_grad,
                                                               XG&& x_grad, const Kept& saved,
                                                               const Directions& directions = {}) {
    double_backward(Eigen::DefaultDevice(), x, dy, v, dy_grad, x_grad, saved, directions);
  }
  template <class X, class DY, class V, class DYG, class XG>
  requires(Base::template takes<X, DY, DYG>() && SameKind<X, DY, V, DYG, XG> &&
           Base::template takes<X, XG>()) void double_backward(const X& x, const DY& dy, const V& v, DYG&& dy_grad,
                                                               XG&& x_grad, const Directions& directions = {}) {
    double_backward(Eigen::DefaultDevice(), x, dy, v, dy_grad, x_grad, this->saved_, directions);
  }

 protected:
  using Base::Base;

 private:
  template <Stored S>
  struct Inputs {
    const S *x, *v, *dy;
  };

  /// What goes with a parameter, if it is given.
  template <class Parameter>
  static void require_like_parameter(const char* name, const Parameter& parameter, const Parameter* given) {
    if (given)
      require_extents<Parameter::NumDimensions>(Base::current_name(), name, parameter.dimensions(),
                                                given->dimensions());
  }
  template <Stored S, class Device>
  void differentiate_twice(const Device& device, const StatView& view, const Saved& saved, const Directions& directions,
                           const Inputs<S>& in, S* y_v, S* x_grad, T* weight_grad) {
    this->require_input(saved);
    require_like_parameter("direction of weight", this->weight(), directions.weight);
    require_like_parameter("direction of bias", this->bias(), directions.bias);
    if (view.size() == 0) return;
    const auto data = [](const auto* tensor) { return tensor ? tensor->data() : nullptr; };
    const Affine<T> affine = this->current_affine();
    const DirectionCall<S> call{view,
                                saved.about,
                                saved.source == Saved::Source::running,
                                saved.statistics(),
                                affine,
                                {data(directions.weight), data(directions.bias), affine.by_element},
                                in.x,
                                in.v,
                                in.dy,
                                y_v,
                                x_grad,
                                weight_grad};
    differentiate_in_direction(executor_for(device, view.size()), call,
                               this->workspace_.reserve(direction_bytes<S>(view, affine.by_element)));
  }
};

}  // namespace detail
}  // namespace normkit
