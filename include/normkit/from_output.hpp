#pragma once

#include <normkit/layer.hpp>

namespace normkit::detail {

/// Backward from y, so that x need not be kept. A layer `Derived` gives
///   recovers_statistics(saved) const       whether they allow it
///   recover(device, BackwardCall&, saved)  makes the call with y in the place of x one that gives the gradients of x
template <class Base>
class FromOutput : public Base {
 public:
  using typename Base::Saved;

  /// backward from y = forward(x) in the place of x, which need not be kept: the forward may have been in place.
  ///   xhat = (y - bias) / weight
  /// Of the weight and bias that the forward had. The rounding of y reaches xhat, so that in the bounds of backward |xhat|
  /// becomes |xhat| + |bias / weight|; where that is not to be had, `recovers` says so beforehand. LayerNorm and RMSNorm round once
  /// more: x - mean is stored as what y is.
  /// Shapes   as backward
  /// Scalars  as backward; the rounding of y is that of its own type
  /// Memory   dx may be dy or y, or lie apart from both. BatchNorm allocates five numbers for each channel in the first call;
  ///          LayerNorm and RMSNorm four for each statistic, and where dx is dy, or not asked for, a tensor of the size of y
  /// Threads  as backward
  /// Throws   as backward, but not for a forward in place; state_error where `recovers` is false
  template <class Device, class Y, class DY, class DX, std::same_as<Saved> Kept>
  requires(Base::template is_device<Device>&& Base::template takes<Y, DY, DX>()) void backward_from_output(
      const Device& device, const Y& y, const DY& dy, DX&& dx, const Kept& saved, Gradients which = {}) {
    this->differentiate(device, y, dy, nullptr, dx, saved, which, [&](auto call) {
      if (!recovers(saved))
        raise(state_error(words(Base::current_name()) +
                          ": expected an output without a ReLU, |bias| of at most 16 |weight|, |weight| in [2^-24, "
                          "2^24] and statistics within the "
                          "range, to have xhat from the output"));
      this->derived().recover(device, call, saved);
      return call;
    });
  }
  template <class Device, class Y, class DY, class DX>
  requires(Base::template is_device<Device>&& Base::template takes<Y, DY, DX>()) void backward_from_output(
      const Device& device, const Y& y, const DY& dy, DX&& dx, Gradients which = {}) {
    backward_from_output(device, y, dy, dx, this->saved_, which);
  }
  template <class Y, class DY, class DX, std::same_as<Saved> Kept>
  requires(Base::template takes<Y, DY, DX>()) void backward_from_output(const Y& y, const DY& dy, DX&& dx,
                                                                        const Kept& saved, Gradients which = {}) {
    backward_from_output(Eigen::DefaultDevice(), y, dy, dx, saved, which);
  }
  template <class Y, class DY, class DX>
  requires(Base::template takes<Y, DY, DX>()) void backward_from_output(const Y& y, const DY& dy, DX&& dx,
                                                                        Gradients which = {}) {
    backward_from_output(Eigen::DefaultDevice(), y, dy, dx, this->saved_, which);
  }

  /// Whether backward_from_output has xhat from y: |bias| at most 16 |weight| for every parameter, |weight| between 2^-24 and
  /// 2^24, and, once a forward has been, no ReLU behind it and no communicator, and neither its data nor eps at an end of the range of what the tensors hold.
  bool recovers(const Saved& saved) const noexcept {
    const Affine<typename Base::Tensor::Scalar> affine = Base::current_affine();
    const Index weights = this->weight().size(), biases = this->bias().size();
    if (saved.rectified || saved.source == Saved::Source::ranks || (weights > 0 && biases > 0 && weights != biases))
      return false;
    for (Index p = 0; p < std::max(weights, biases); ++p) {
      const double stored = affine.weight ? static_cast<double>(affine.weight[p]) : 1.0;
      const double weight = std::abs(affine.weight && affine.zero_centred ? 1.0 + stored : stored);
      const double bias = affine.bias ? std::abs(static_cast<double>(affine.bias[p])) : 0.0;
      if (!(weight >= 0x1p-24 && weight <= 0x1p24 && bias <= 16 * weight)) return false;
    }
    return this->derived().recovers_statistics(saved);
  }
  bool recovers() const noexcept { return recovers(this->saved_); }

 protected:
  using Base::Base;
};

}  // namespace normkit::detail
