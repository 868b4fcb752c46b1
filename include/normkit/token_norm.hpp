#pragma once

#include <normkit/detail/plan/from_output.hpp>
#include <normkit/higher_derivatives.hpp>

namespace normkit::detail {

/// What the norms over neighbouring axes have in common: everything but the statistic, the options and the name.
/// Parameters go by element of a group, training and evaluation are alike, and there is no state beside the parameters.
template <class Derived, Scalar T, int Rank, int Layout>
class TokenNorm : public HigherDerivatives<Layer<Derived, T, Rank, Layout>> {
  static_assert(Rank >= 1, "normalized_shape has at least one extent");
  using Base = HigherDerivatives<Layer<Derived, T, Rank, Layout>>;
  friend Layer<Derived, T, Rank, Layout>;

  /// Tensors of one forward_add, or of its backward.
  template <class Device, class X, class R, class... Y>
  static constexpr bool adds() {
    return SameKind<X, R, Y...> && takes_call<Base, Device, X, Y...>();
  }

 public:
  using typename Base::Saved;
  using NormalizedShape = std::array<Index, static_cast<std::size_t>(Rank)>;  // extents of the normalized axes

  /// sum = x + residual, y = the norm of sum, each block in cache from the one to the other. `backward_add` belongs to it.
  /// Shapes   all the same; x and residual may be expressions
  /// Scalars  all the same; with 16 bits the sum is rounded before it is normalized
  /// Memory   sum and y may each be x or residual, but not the same
  /// Threads  as forward
  /// Throws   shape_error, argument_error; outputs and the state untouched
  template <class Device, class X, class R, class Sum, class Y>
  requires(adds<Device, X, R, Sum, Y>()) void forward_add(const Device& device, const X& x, const R& residual,
                                                          Sum&& sum, Y&& y, Saved& saved) {
    decltype(auto) first = dense<Y>(device, x);
    decltype(auto) second = dense<Y>(device, residual);
    const Shape shape = this->checked_shape(first);
    const StatView view = checked_sum_view(shape, first, second, sum, y);
    std::byte* const memory = this->workspace_.reserve(view.size() > 0 ? forward_bytes<StoredOf<X>>(view, false) : 0);
    const Statistics<T> sink = saved.resize(view.stats());
    if (view.size() > 0) normalize_sum(device, view, first, second, sum, y, sink, memory);
    saved.source = Saved::Source::batch;
    saved.template describe<ScalarOf<X>>(shape, view, Derived::about, false);
  }
  template <class Device, class X, class R, class Sum, class Y>
  requires(adds<Device, X, R, Sum, Y>()) void forward_add(const Device& device, const X& x, const R& residual,
                                                          Sum&& sum, Y&& y) {
    forward_add(device, x, residual, sum, y, this->saved_);
  }
  template <class X, class R, class Sum, class Y>
  requires(adds<Eigen::DefaultDevice, X, R, Sum, Y>()) void forward_add(const X& x, const R& residual, Sum&& sum, Y&& y,
                                                                        Saved& saved) {
    forward_add(Eigen::DefaultDevice(), x, residual, sum, y, saved);
  }
  template <class X, class R, class Sum, class Y>
  requires(adds<Eigen::DefaultDevice, X, R, Sum, Y>()) void forward_add(const X& x, const R& residual, Sum&& sum,
                                                                        Y&& y) {
    forward_add(Eigen::DefaultDevice(), x, residual, sum, y, this->saved_);
  }

  /// The same, keeping nothing. Const and lock-free, as infer.
  template <class Device, class X, class R, class Sum, class Y>
  requires(adds<Device, X, R, Sum, Y>()) void infer_add(const Device& device, const X& x, const R& residual, Sum&& sum,
                                                        Y&& y) const {
    decltype(auto) first = dense<Y>(device, x);
    decltype(auto) second = dense<Y>(device, residual);
    const Shape shape = this->checked_shape(first);
    const StatView view = checked_sum_view(shape, first, second, sum, y);
    if (view.size() > 0) normalize_sum(device, view, first, second, sum, y, Statistics<T>{}, nullptr);
  }
  template <class X, class R, class Sum, class Y>
  requires(adds<Eigen::DefaultDevice, X, R, Sum, Y>()) void infer_add(const X& x, const R& residual, Sum&& sum,
                                                                      Y&& y) const {
    infer_add(Eigen::DefaultDevice(), x, residual, sum, y);
  }

  /// The gradient of x and of residual, which are the same: dx = dsum + what backward makes of dy. `sum` is what forward_add
  /// gave, dsum the gradient that comes along the residual path. Adds to the gradients of weight and bias as backward does.
  /// Shapes   all the same; dx may be of any shape where `which.input` is false
  /// Memory   dx may be sum, dy or dsum
  /// Threads  as forward
  /// Throws   as backward
  template <class Device, class X, class DY, class DS, class DX, std::same_as<Saved> Kept>
  requires(adds<Device, X, DY, DX>() &&
           SameKind<X, DY, DS, DX>) void backward_add(const Device& device, const X& sum, const DY& dy, const DS& dsum,
                                                      DX&& dx, const Kept& saved, Gradients which = {}) {
    decltype(auto) added = dense<DX>(device, dsum);
    this->differentiate(device, sum, dy, added, dx, saved, which);
  }
  template <class Device, class X, class DY, class DS, class DX>
  requires(adds<Device, X, DY, DX>() && SameKind<X, DY, DS, DX>) void backward_add(const Device& device, const X& sum,
                                                                                   const DY& dy, const DS& dsum,
                                                                                   DX&& dx, Gradients which = {}) {
    backward_add(device, sum, dy, dsum, dx, this->saved_, which);
  }
  template <class X, class DY, class DS, class DX, std::same_as<Saved> Kept>
  requires(adds<Eigen::DefaultDevice, X, DY, DX>() &&
           SameKind<X, DY, DS, DX>) void backward_add(const X& sum, const DY& dy, const DS& dsum, DX&& dx,
                                                      const Kept& saved, Gradients which = {}) {
    backward_add(Eigen::DefaultDevice(), sum, dy, dsum, dx, saved, which);
  }
  template <class X, class DY, class DS, class DX>
  requires(adds<Eigen::DefaultDevice, X, DY, DX>() &&
           SameKind<X, DY, DS, DX>) void backward_add(const X& sum, const DY& dy, const DS& dsum, DX&& dx,
                                                      Gradients which = {}) {
    backward_add(Eigen::DefaultDevice(), sum, dy, dsum, dx, this->saved_, which);
  }

  const NormalizedShape& normalized_shape() const noexcept { return normalized_shape_; }  // as given
  double eps() const noexcept { return eps_; }  // what is added to the variance

 protected:
  /// `axis` is the first normalized one, negative from the end; none: the last axes.
  TokenNorm(const NormalizedShape& normalized_shape, double eps, std::optional<Index> axis, bool weight, bool bias,
            bool zero_centred = false)
      : Base(checked(normalized_shape, eps), weight, bias, zero_centred ? T(0) : T(1)),
        normalized_shape_(normalized_shape),
        eps_(eps),
        axis_(axis.value_or(-Rank)),
        zero_centred_(zero_centred) {}

  /// The tensors' type holds every x - mean, at most sqrt(n) times the deviation, and nearly all of its digits; and neither data
  /// nor eps of a forward were at an end of the range of T.
  bool recovers_statistics(const Saved& saved) const noexcept {
    const double most = std::sqrt(static_cast<double>(saved.view.count()));
    for (Index s = 0; s < saved.rstd.size(); ++s) {
      const double rstd = saved.rstd(s);
      const bool fits = saved.exponent(s) == 0 && !(most > saved.greatest * rstd) && !(2 * saved.least * rstd > 1);
      if (!fits && rstd != 0.0) return false;  // of NaN all is NaN either way
    }
    return true;
  }
  /// x without its mean in the place of y, in dx if that is free, else in memory of its own.
  template <class Device, Stored S>
  void recover(const Device& device, BackwardCall<S>& call, const Saved& saved) {
    const bool is_free = call.dx && call.dx != call.dy;
    S* const centred =
        is_free ? call.dx
                : reinterpret_cast<S*>(centred_.reserve(static_cast<std::size_t>(call.view.size()) * sizeof(S)));
    const Statistics<T> about_zero = about_zero_.resize(call.view.stats());
    for (Index s = 0; s < call.view.stats(); ++s) {
      about_zero.mean[s] = about_zero.mean_lo[s] = T(0);
      about_zero.rstd[s] = saved.rstd(s);
      about_zero.exponent[s] = 0;
    }
    centre_from_output<S>(executor_for(device, call.view.size()), call.view,
                          {call.affine, about_zero.rstd, call.x, centred});
    call.x = centred;
    call.saved = about_zero;
  }

 private:
  static constexpr bool fits(int rank, int layout) { return rank >= Rank && (Rank == 1 || layout == Layout); }

  static const NormalizedShape& checked(const NormalizedShape& shape, double eps) {
    for (const Index extent : shape)
      if (extent < 1)
        raise(argument_error(words(Derived::name()) + ": expected normalized_shape of extents of at least 1, got " +
                             list_of(shape)));
    if (!checked_product(shape))
      raise(argument_error(words(Derived::name()) + ": expected normalized_shape whose product an Index holds, got " +
                           list_of(shape)));
    require_eps(Derived::name(), eps);
    return shape;
  }

  StatView view_of(const Shape& shape) const {
    const Index first = axis_ + (axis_ < 0 ? shape.rank : 0);
    if (first < 0 || first > shape.rank - Rank)
      raise(argument_error(words(Derived::name()) + ": expected " + std::to_string(Rank) + " axes of x of shape " +
                           shape.text() + " from axis " + std::to_string(axis_) + " on, which it does not have"));
    for (std::size_t i = 0; i < normalized_shape_.size(); ++i)
      if (shape[first + static_cast<Index>(i)] != normalized_shape_[i])
        raise(shape_error(words(Derived::name()) + ": expected extents " + list_of(normalized_shape_) + " from axis " +
                          std::to_string(first) + " on, got x of shape " + shape.text()));
    this->require_parameters(normalized_shape_);
    return *make_view(shape, first, Rank, false);
  }
  Affine<T> affine() const noexcept {
    return {this->data_or_null(this->weight()), this->data_or_null(this->bias()), true, zero_centred_};
  }

  template <class X, class R, class Sum, class Y>
  StatView checked_sum_view(const Shape& shape, const X& x, const R& residual, Sum& sum, Y& y) const {
    const StatView view = view_of(shape);
    require_same_shape(Derived::name(), "residual", shape, shape_of(residual));
    this->check_output(shape, "x", elements(x), "sum", sum);
    this->check_output(shape, "residual", elements(residual), "sum", sum);
    this->check_output(shape, "x", elements(x), "y", y);
    this->check_output(shape, "residual", elements(residual), "y", y);
    this->require_apart(shape, "sum", elements(sum), "y", y);
    return view;
  }
  template <class Device, class X, class R, class Sum, class Y>
  void normalize_sum(const Device& device, const StatView& view, const X& x, const R& residual, Sum& sum, Y& y,
                     const Statistics<T>& sink, std::byte* memory) const {
    using S = StoredOf<X>;
    forward_of_sum<S>(executor_for(device, view.size()),
                      {view, Derived::about, eps_, affine(), elements(sum), elements(y), sink},
                      {elements(x), elements(residual), elements(sum)}, memory);
  }

  NormalizedShape normalized_shape_;
  double eps_;
  Index axis_;
  bool zero_centred_;
  Saved about_zero_;
  Workspace centred_;
};

}  // namespace normkit::detail
