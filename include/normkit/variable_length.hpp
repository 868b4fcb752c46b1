#pragma once

#include <normkit/detail/plan/pack.hpp>
#include <normkit/layer.hpp>

namespace normkit {

/// Which positions of x are valid: a mask of bool, true where one is, with the axes of x but that of the channels; or of an x of
/// rank 3 the lengths of its samples, integers of rank 1, whose first positions are valid.
template <class V, class X>
concept Validity = DenseTensor<V> && TensorInput<X> && std::is_integral_v<detail::ScalarOf<V>> &&
    (std::is_same_v<detail::ScalarOf<V>, bool> ? detail::SameLayout<V, X>&& detail::rank_of<V> + 1 == detail::rank_of<X>
                                               : detail::rank_of<V> == 1 && detail::rank_of<X> == 3);

namespace detail {

/// Samples of different lengths, padded to the longest: statistics and gradients over what is valid, and zero elsewhere. For
/// `Base` whose statistics go by channel, over all samples.
template <class Base>
class VariableLength : public Base {
 public:
  using Base::backward;
  using Base::forward;
  using Base::infer;
  using typename Base::Saved;

  /// forward over the valid positions of x alone; y is zero elsewhere. What stands there in x is not read.
  /// Shapes   x and y the same; `valid` as Validity says
  /// Memory   y may be x (then there is no backward), or lie apart from it; keeps a copy of the valid part of x
  /// Threads  those of the device; the same bits for any number of them
  /// Throws   as forward; argument_error for a length outside of [0, L]; y and the state untouched
  template <class Device, class X, Validity<X> V, class Y>
  requires(Base::template is_device<Device>&& Base::template takes<X, Y>()) void forward(const Device& device,
                                                                                         const X& x, V&& valid, Y&& y,
                                                                                         Saved& saved) {
    decltype(auto) input = dense<Y>(device, x);
    const Shape shape = this->checked_shape(input);
    const StatView view = this->checked_view(shape);
    this->check_output(shape, "x", elements(input), "y", y);
    const ValidPositions positions = positions_of(shape, view, valid, runs_);
    this->workspace_.reserve(packed_bytes<StoredOf<X>>(view));
    if (positions.total == 0) this->keep_nothing(positions.packed(), saved);
    forward_packed(device, positions, elements(input), elements(y), packed_,
                   [&](const Executor& execute, auto* packed) {
                     this->normalize_values(execute, positions.packed(), packed, packed, saved);
                   });
    saved.template describe<ScalarOf<X>>(shape, positions.packed(), About::mean,
                                         positions.total > 0 && y.data() == input.data());
  }
  template <class Device, class X, Validity<X> V, class Y>
  requires(Base::template is_device<Device>&& Base::template takes<X, Y>()) void forward(const Device& device,
                                                                                         const X& x, V&& valid, Y&& y) {
    forward(device, x, valid, y, this->saved_);
  }
  template <class X, Validity<X> V, class Y>
  requires(Base::template takes<X, Y>()) void forward(const X& x, V&& valid, Y&& y, Saved& saved) {
    forward(Eigen::DefaultDevice(), x, valid, y, saved);
  }
  template <class X, Validity<X> V, class Y>
  requires(Base::template takes<X, Y>()) void forward(const X& x, V&& valid, Y&& y) {
    forward(Eigen::DefaultDevice(), x, valid, y, this->saved_);
  }

  /// The same in evaluation, keeping nothing. Const and lock-free, as infer; allocates a copy of the valid part of x.
  template <class Device, class X, Validity<X> V, class Y>
  requires(Base::template is_device<Device>&& Base::template takes<X, Y>()) void infer(const Device& device, const X& x,
                                                                                       V&& valid, Y&& y) const {
    decltype(auto) input = dense<Y>(device, x);
    const Shape shape = this->checked_shape(input);
    const StatView view = this->checked_view(shape);
    this->check_output(shape, "x", elements(input), "y", y);
    Workspace runs, memory;
    const ValidPositions positions = positions_of(shape, view, valid, runs);
    forward_packed(device, positions, elements(input), elements(y), memory, [&](const Executor& execute, auto* packed) {
      this->infer_values(execute, positions.packed(), packed, packed);
    });
  }
  template <class X, Validity<X> V, class Y>
  requires(Base::template takes<X, Y>()) void infer(const X& x, V&& valid, Y&& y) const {
    infer(Eigen::DefaultDevice(), x, valid, y);
  }

  /// Gradients of such a forward: dx is zero where x is not valid, and dy is not read there. `valid` is that of the forward.
  /// Shapes   x, dy and dx the same; dx may be of any shape where `which.input` is false
  /// Memory   dx may be dy or x, or lie apart from both
  /// Throws   as backward; state_error for another number of valid positions
  template <class Device, class X, Validity<X> V, class DY, class DX, std::same_as<Saved> Kept>
  requires(Base::template is_device<Device>&& Base::template takes<X, DY, DX>()) void backward(
      const Device& device, const X& x, V&& valid, const DY& dy, DX&& dx, const Kept& saved, Gradients which = {}) {
    using S = StoredOf<X>;
    decltype(auto) input = dense<DX>(device, x);
    decltype(auto) upstream = dense<DX>(device, dy);
    const Shape shape = this->checked_shape(input);
    const StatView view = this->checked_view(shape);
    this->check_backward(shape, input, upstream, dx, which);
    const ValidPositions positions = positions_of(shape, view, valid, runs_);
    this->require_saved(shape, positions.packed(), saved);
    this->require_input(saved);
    const StatView packed = positions.packed();
    std::byte* const memory = this->workspace_.reserve(packed_bytes<S>(view));
    S *const packed_x = reserve<S>(positions, packed_, 2), *const packed_dy = packed_x + packed.size();
    const Executor execute = executor_for(device, view.size());
    pack(execute, positions, elements(input), packed_x);
    pack(execute, positions, elements(upstream), packed_dy);
    if (packed.size() > 0)
      this->run_backward(
          device, this->backward_call(packed, saved, packed_x, packed_dy, which.input ? packed_dy : nullptr, which),
          saved.source, memory);
    if (which.input) unpack(execute, positions, packed_dy, elements(dx));
  }
  template <class Device, class X, Validity<X> V, class DY, class DX>
  requires(Base::template is_device<Device>&& Base::template takes<X, DY, DX>()) void backward(const Device& device,
                                                                                               const X& x, V&& valid,
                                                                                               const DY& dy, DX&& dx,
                                                                                               Gradients which = {}) {
    backward(device, x, valid, dy, dx, this->saved_, which);
  }
  template <class X, Validity<X> V, class DY, class DX, std::same_as<Saved> Kept>
  requires(Base::template takes<X, DY, DX>()) void backward(const X& x, V&& valid, const DY& dy, DX&& dx,
                                                            const Kept& saved, Gradients which = {}) {
    backward(Eigen::DefaultDevice(), x, valid, dy, dx, saved, which);
  }
  template <class X, Validity<X> V, class DY, class DX>
  requires(Base::template takes<X, DY, DX>()) void backward(const X& x, V&& valid, const DY& dy, DX&& dx,
                                                            Gradients which = {}) {
    backward(Eigen::DefaultDevice(), x, valid, dy, dx, this->saved_, which);
  }

 protected:
  using Base::Base;

 private:
  /// A mask of the extents of x without the channels', or lengths within their axis.
  template <class V>
  static void require_validity(const Shape& x, Index channel, const V& valid) {
    const Shape got = shape_of(valid);
    require_no_gaps(Base::name(), "valid", got);
    if constexpr (std::is_same_v<ScalarOf<V>, bool>) {
      Shape expected = got;
      for (Index axis = 0, of_x = 0; axis < got.rank; ++axis, ++of_x) {
        if (of_x == channel) ++of_x;
        expected.extents[static_cast<std::size_t>(axis)] = x[of_x];
      }
      if (!(expected == got)) refuse_extents(Base::name(), "mask", expected.axes(), got.axes());
    } else {
      const Index samples = x[channel == 0 ? 1 : 0], length = x[channel == 2 ? 1 : 2];
      require_extents(Base::name(), "lengths", std::array<Index, 1>{samples}, std::array<Index, 1>{got[0]});
      for (Index n = 0; n < samples; ++n)
        if (const Index given = static_cast<Index>(valid.data()[n]); given < 0 || given > length)
          raise(argument_error(words(Base::name()) + ": expected lengths in [0, " + std::to_string(length) + "], got " +
                               std::to_string(given) + " for sample " + std::to_string(n)));
    }
  }
  template <class V>
  ValidPositions positions_of(const Shape& shape, const StatView& view, const V& valid, Workspace& memory) const {
    const Index channel = channel_axis_of(Base::name(), shape, this->options().channel_axis);
    require_validity(shape, channel, valid);
    auto* const runs = reinterpret_cast<Run*>(memory.reserve(static_cast<std::size_t>(most_runs(view)) * sizeof(Run)));
    if constexpr (std::is_same_v<ScalarOf<V>, bool>) {
      return {view, runs, [&](Index position) { return valid.data()[position]; }};
    } else {
      const Index samples = valid.size(), length = shape[channel == 2 ? 1 : 2];
      return {view, runs, [&, row_major = shape.row_major](Index position) {
                const Index sample = row_major ? position / length : position % samples;
                return (row_major ? position % length : position / samples) < static_cast<Index>(valid.data()[sample]);
              }};
    }
  }
  /// Room for so many tensors of the valid elements: reserved for all, so that it depends on the shape alone.
  template <Stored S>
  static S* reserve(const ValidPositions& positions, Workspace& memory, int tensors) {
    return reinterpret_cast<S*>(memory.reserve(static_cast<std::size_t>(tensors * positions.view.size()) * sizeof(S)));
  }
  template <class Device, Stored S, class Compute>
  void forward_packed(const Device& device, const ValidPositions& positions, const S* x, S* y, Workspace& memory,
                      const Compute& compute) const {
    S* const packed = reserve<S>(positions, memory, 1);
    const Executor execute = executor_for(device, positions.view.size());
    pack(execute, positions, x, packed);
    if (positions.total > 0) compute(executor_for(device, positions.packed().size()), packed);
    unpack(execute, positions, packed, y);
  }

  Workspace runs_, packed_;
};

}  // namespace detail
}  // namespace normkit
