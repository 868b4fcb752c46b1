#pragma once

#include <vector>

#include <normkit/layer.hpp>

namespace normkit {

namespace detail {
template <class Base>
class FusedReLU;
}

/// Where a ReLU has passed its input on: one bit for each element, all that its backward needs.
/// Memory   a bit an element, rounded up to a byte for each run of neighbours of one channel (channels first) or of one position
///          (channels last); allocated by the first forward of that size
class ReLUMask {
 public:
  /// Elements of the tensor that it is of.
  Index size() const noexcept { return shape_.rank > 0 && !bytes_.empty() ? shape_.size() : 0; }
  std::size_t bytes() const noexcept { return bytes_.size(); }  // its memory
  /// Whether the element that is number `i` in memory was passed on: it was positive, or NaN.
  bool operator()(Index i) const noexcept {
    const auto place = rows().at(i);
    return *place.byte >> place.bit & 1;
  }

 private:
  template <class Base>
  friend class detail::FusedReLU;
  using Rows = detail::BitRows<std::uint8_t>;
  using ConstRows = detail::BitRows<const std::uint8_t>;

  static Index row_of(const detail::StatView& view) noexcept { return view.inner > 1 ? view.inner : view.kept; }

  /// Makes room, and nothing else: what can fail.
  Rows reserve(const detail::StatView& view) {
    const Index row = row_of(view), rows = view.size() / std::max<Index>(row, 1);
    const auto needed = static_cast<std::size_t>(rows * Rows::row_bytes(row) + Rows::padding);
    if (bytes_.size() < needed) bytes_.resize(needed);
    return {bytes_.data(), row};
  }
  void describe(const detail::Shape& shape, const detail::StatView& view) noexcept {
    shape_ = shape;
    row_ = row_of(view);
  }
  bool is_of(const detail::Shape& shape, const detail::StatView& view) const noexcept {
    return !bytes_.empty() && shape_ == shape && row_ == row_of(view);  // what was moved from has no bytes
  }
  std::string text() const {
    return bytes_.empty() ? "one that no forward has filled"
                          : "one of " + shape_.text() + shape_.order() + " in runs of " + std::to_string(row_);
  }
  ConstRows rows() const noexcept { return {bytes_.data(), row_}; }

  std::vector<std::uint8_t> bytes_;
  detail::Shape shape_ = {};
  Index row_ = 1;
};

namespace detail {

/// A ReLU behind the norm, with or without a sum before it, in the norm's own passes. For `Base` whose parameters go by channel,
/// and whose channels do not share statistics.
template <class Base>
class FusedReLU : public Base {
 public:
  using typename Base::Saved;

  /// y = relu(norm(x)), relu(v) = v where not v <= 0, else 0, and in `mask` where it passes v on. `backward_relu` belongs to it.
  /// Shapes   as forward
  /// Scalars  as forward; with 16 bits y is rounded once, after all
  /// Memory   as forward
  /// Threads  as forward
  /// Throws   as forward; y, mask and the state untouched
  template <class Device, class X, class Y>
  requires(takes_call<Base, Device, X, Y>()) void forward_relu(const Device& device, const X& x, Y&& y, ReLUMask& mask,
                                                               Saved& saved) {
    forward_rectified<StoredOf<X>>(device, x, nullptr, y, mask, saved);
  }
  template <class Device, class X, class Y>
  requires(takes_call<Base, Device, X, Y>()) void forward_relu(const Device& device, const X& x, Y&& y,
                                                               ReLUMask& mask) {
    forward_relu(device, x, y, mask, this->saved_);
  }
  template <class X, class Y>
  requires(takes_call<Base, Eigen::DefaultDevice, X, Y>()) void forward_relu(const X& x, Y&& y, ReLUMask& mask,
                                                                             Saved& saved) {
    forward_relu(Eigen::DefaultDevice(), x, y, mask, saved);
  }
  template <class X, class Y>
  requires(takes_call<Base, Eigen::DefaultDevice, X, Y>()) void forward_relu(const X& x, Y&& y, ReLUMask& mask) {
    forward_relu(Eigen::DefaultDevice(), x, y, mask, this->saved_);
  }

  /// y = relu(norm(x) + residual), and in `mask` where it passes that on. `backward_add_relu` belongs to it.
  /// Shapes   all the same
  /// Memory   y may be x (then there is no backward) or residual, or lie apart from both
  /// Else     as forward_relu
  template <class Device, class X, class R, class Y>
  requires(takes_call<Base, Device, X, Y>() &&
           SameKind<X, R, Y>) void forward_add_relu(const Device& device, const X& x, const R& residual, Y&& y,
                                                    ReLUMask& mask, Saved& saved) {
    decltype(auto) added = dense<Y>(device, residual);
    decltype(auto) input = dense<Y>(device, x);
    check_added(input, added, y);
    forward_rectified<StoredOf<X>>(device, input, elements(added), y, mask, saved);
  }
  template <class Device, class X, class R, class Y>
  requires(takes_call<Base, Device, X, Y>() && SameKind<X, R, Y>) void forward_add_relu(const Device& device,
                                                                                        const X& x, const R& residual,
                                                                                        Y&& y, ReLUMask& mask) {
    forward_add_relu(device, x, residual, y, mask, this->saved_);
  }
  template <class X, class R, class Y>
  requires(takes_call<Base, Eigen::DefaultDevice, X, Y>() &&
           SameKind<X, R, Y>) void forward_add_relu(const X& x, const R& residual, Y&& y, ReLUMask& mask,
                                                    Saved& saved) {
    forward_add_relu(Eigen::DefaultDevice(), x, residual, y, mask, saved);
  }
  template <class X, class R, class Y>
  requires(takes_call<Base, Eigen::DefaultDevice, X, Y>() &&
           SameKind<X, R, Y>) void forward_add_relu(const X& x, const R& residual, Y&& y, ReLUMask& mask) {
    forward_add_relu(Eigen::DefaultDevice(), x, residual, y, mask, this->saved_);
  }

  /// The same with the forward of evaluation, keeping nothing. Const and lock-free, as infer.
  template <class Device, class X, class Y>
  requires(takes_call<Base, Device, X, Y>()) void infer_relu(const Device& device, const X& x, Y&& y) const {
    infer_rectified<StoredOf<X>>(device, x, nullptr, y);
  }
  template <class X, class Y>
  requires(takes_call<Base, Eigen::DefaultDevice, X, Y>()) void infer_relu(const X& x, Y&& y) const {
    infer_relu(Eigen::DefaultDevice(), x, y);
  }
  /// infer_relu with a sum before the ReLU, as forward_add_relu.
  template <class Device, class X, class R, class Y>
  requires(takes_call<Base, Device, X, Y>() && SameKind<X, R, Y>) void infer_add_relu(const Device& device, const X& x,
                                                                                      const R& residual, Y&& y) const {
    decltype(auto) added = dense<Y>(device, residual);
    decltype(auto) input = dense<Y>(device, x);
    check_added(input, added, y);
    infer_rectified<StoredOf<X>>(device, input, elements(added), y);
  }
  template <class X, class R, class Y>
  requires(takes_call<Base, Eigen::DefaultDevice, X, Y>() &&
           SameKind<X, R, Y>) void infer_add_relu(const X& x, const R& residual, Y&& y) const {
    infer_add_relu(Eigen::DefaultDevice(), x, residual, y);
  }

  /// backward of forward_relu: that of forward for dy where `mask` has passed its element on, and 0 elsewhere.
  /// Throws   as backward; argument_error for a mask of another shape or channel axis, or that no forward has filled
  /// Else     as backward
  template <class Device, class X, class DY, class DX, std::same_as<Saved> Kept>
  requires(takes_call<Base, Device, X, DX>() &&
           SameKind<X, DY, DX>) void backward_relu(const Device& device, const X& x, const DY& dy, const ReLUMask& mask,
                                                   DX&& dx, const Kept& saved, Gradients which = {}) {
    differentiate_rectified<StoredOf<X>>(device, x, dy, mask, dx, nullptr, saved, which);
  }
  template <class Device, class X, class DY, class DX>
  requires(takes_call<Base, Device, X, DX>() &&
           SameKind<X, DY, DX>) void backward_relu(const Device& device, const X& x, const DY& dy, const ReLUMask& mask,
                                                   DX&& dx, Gradients which = {}) {
    backward_relu(device, x, dy, mask, dx, this->saved_, which);
  }
  template <class X, class DY, class DX, std::same_as<Saved> Kept>
  requires(takes_call<Base, Eigen::DefaultDevice, X, DX>() &&
           SameKind<X, DY, DX>) void backward_relu(const X& x, const DY& dy, const ReLUMask& mask, DX&& dx,
                                                   const Kept& saved, Gradients which = {}) {
    backward_relu(Eigen::DefaultDevice(), x, dy, mask, dx, saved, which);
  }
  template <class X, class DY, class DX>
  requires(takes_call<Base, Eigen::DefaultDevice, X, DX>() &&
           SameKind<X, DY, DX>) void backward_relu(const X& x, const DY& dy, const ReLUMask& mask, DX&& dx,
                                                   Gradients which = {}) {
    backward_relu(Eigen::DefaultDevice(), x, dy, mask, dx, this->saved_, which);
  }

  /// backward of forward_add_relu. dresidual becomes dy where `mask` has passed its element on, and 0 elsewhere: the gradient of
  /// residual, written where dx is (`which.input`).
  /// Memory   dx and dresidual may each be x or dy, but not the same
  /// Else     as backward_relu
  template <class Device, class X, class DY, class DX, class DR, std::same_as<Saved> Kept>
  requires(takes_call<Base, Device, X, DX, DR>() &&
           SameKind<X, DY, DX, DR>) void backward_add_relu(const Device& device, const X& x, const DY& dy,
                                                           const ReLUMask& mask, DX&& dx, DR&& dresidual,
                                                           const Kept& saved, Gradients which = {}) {
    decltype(auto) input = dense<DX>(device, x);
    decltype(auto) upstream = dense<DX>(device, dy);
    if (which.input) {
      const Shape shape = this->checked_shape(input);
      this->check_output(shape, "x", elements(input), "dresidual", dresidual);
      this->check_output(shape, "dy", elements(upstream), "dresidual", dresidual);
      this->require_like(shape, "dx", dx);
      this->require_apart(shape, "dx", elements(dx), "dresidual", dresidual);
    }
    differentiate_rectified<StoredOf<X>>(device, input, upstream, mask, dx, which.input ? elements(dresidual) : nullptr,
                                         saved, which);
  }
  template <class Device, class X, class DY, class DX, class DR>
  requires(takes_call<Base, Device, X, DX, DR>() &&
           SameKind<X, DY, DX, DR>) void backward_add_relu(const Device& device, const X& x, const DY& dy,
                                                           const ReLUMask& mask, DX&& dx, DR&& dresidual,
                                                           Gradients which = {}) {
    backward_add_relu(device, x, dy, mask, dx, dresidual, this->saved_, which);
  }
  template <class X, class DY, class DX, class DR, std::same_as<Saved> Kept>
  requires(takes_call<Base, Eigen::DefaultDevice, X, DX, DR>() &&
           SameKind<X, DY, DX, DR>) void backward_add_relu(const X& x, const DY& dy, const ReLUMask& mask, DX&& dx,
                                                           DR&& dresidual, const Kept& saved, Gradients which = {}) {
    backward_add_relu(Eigen::DefaultDevice(), x, dy, mask, dx, dresidual, saved, which);
  }
  template <class X, class DY, class DX, class DR>
  requires(takes_call<Base, Eigen::DefaultDevice, X, DX, DR>() &&
           SameKind<X, DY, DX, DR>) void backward_add_relu(const X& x, const DY& dy, const ReLUMask& mask, DX&& dx,
                                                           DR&& dresidual, Gradients which = {}) {
    backward_add_relu(Eigen::DefaultDevice(), x, dy, mask, dx, dresidual, this->saved_, which);
  }

 protected:
  using Base::Base;

 private:
  template <class X, class R, class Y>
  void check_added(const X& x, const R& residual, Y& y) const {
    const Shape shape = this->checked_shape(x);
    this->require_like(shape, "residual", residual);
    this->check_output(shape, "residual", elements(residual), "y", y);
  }
  template <Stored S, class Device, class X, class Y>
  void forward_rectified(const Device& device, const X& x, const S* added, Y& y, ReLUMask& mask, Saved& saved) {
    this->forward_into(device, x, y, saved, [&](const StatView& view, S* to) {
      return Rectified<S>{to, added, mask.reserve(view)};
    });
    mask.describe(saved.shape, saved.view);
    saved.rectified = true;
  }
  template <Stored S, class Device, class X, class Y>
  void infer_rectified(const Device& device, const X& x, const S* added, Y& y) const {
    this->infer_into(device, x, y, [&](const StatView&, S* to) { return Rectified<S>{to, added, {nullptr, 1}}; });
  }
  template <Stored S, class Device, class X, class DY, class DX>
  void differentiate_rectified(const Device& device, const X& x, const DY& dy, const ReLUMask& mask, DX& dx, S* passed,
                               const Saved& saved, Gradients which) {
    this->differentiate(device, x, dy, nullptr, dx, saved, which, [&](const BackwardCall<S>& call) {
      this->require_input(saved);
      if (!mask.is_of(saved.shape, call.view))
        raise(argument_error(words(Base::current_name()) + ": expected the mask of a forward of x of shape " +
                             saved.shape.text() + saved.shape.order() + " in runs of " +
                             std::to_string(ReLUMask::row_of(call.view)) + ", got " + mask.text()));
      return BackwardCall<S, Masked<S>>{call.view,   call.about,   call.saved,
                                        call.affine, call.x,       {call.dy, mask.rows(), passed},
                                        call.dx,     call.gradient};
    });
  }
};

}  // namespace detail
}  // namespace normkit
