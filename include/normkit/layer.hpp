#pragma once

#include <ostream>

#include <normkit/layer_state.hpp>

namespace normkit::detail {

/// What all layers have in common: the ways of calling them, and the checks on tensors. A layer
/// `Derived` gives the rest:
///   static constexpr bool fits(rank, layout)      which tensors it takes, known at compile time
///   static std::string_view name()                for messages
///   StatView view_of(const Shape&) const          checks a shape against the layer; throws
///   Affine<T> affine() const, double eps() const  weight and bias as the kernels take them
/// and, where not as below, the same in evaluation and with no state beside parameters:
///   static constexpr About about                  what squares are taken about
///   normalize(executor, view, x, y, Saved&)       forward of a view that is not empty; what can fail comes first
///   infer_view(executor, view, x, y) const        forward of evaluation, nothing kept
///   buffers(), require_evaluation()
template <class Derived, Scalar T, int Rank, int Layout>
class Layer : public LayerState<T, Rank, Layout> {
  using State = LayerState<T, Rank, Layout>;

 public:
  using typename State::Saved;
  using typename State::Tensor;

  /// A tensor that this layer takes: an expression or dense, of its scalar (float: or of 16 bits), a rank and layout that fit.
  template <class X>
  static constexpr bool takes() {
    if constexpr (TensorInput<X>) {
      if constexpr (Stored<StoredOf<X>>)
        return std::is_same_v<Arithmetic<StoredOf<X>>, T> && Derived::fits(rank_of<X>, layout_of<X>);
    }
    return false;
  }
  /// An output for it, as which x is evaluated if it has no layout yet: dense, writable, of the same scalar, rank and layout.
  template <class X, class Y>
  static constexpr bool takes() {
    return takes<Y>() && TensorOutput<Y> && SameKind<X, Y>;
  }
  /// The tensors of a backward pass.
  template <class X, class DY, class DX>
  static constexpr bool takes() {
    return takes<X, DX>() && SameKind<X, DY, DX>;
  }
  /// Eigen::DefaultDevice, or one with a pool of threads.
  template <class Device>
  static constexpr bool is_device = PoolDevice<Device> || std::is_same_v<Device, Eigen::DefaultDevice>;

  /// y = (x - mean) * rstd * weight + bias; of RMSNorm x * rstd * weight. What backward needs is kept in `saved`, the layer's
  /// own if none is given.
  /// Shapes   x and y the same; x may be an expression, which is evaluated once
  /// Scalars  x and y the layer's, or both Eigen::half or Eigen::bfloat16 with a float layer: computed as float, and each
  ///          y rounded once more, to nearest, ties to even
  /// Memory   y may be x (then there is no backward), or lie apart from it
  /// Threads  those of the device; the same bits for any number of them
  /// Throws   shape_error, argument_error; y and the state untouched
  template <class Device, class X, class Y>
  requires(is_device<Device>&& takes<X, Y>()) void forward(const Device& device, const X& x, Y&& y, Saved& saved) {
    forward_into(device, x, y, saved, [](const StatView&, auto* to) { return to; });
  }
  template <class Device, class X, class Y>
  requires(is_device<Device>&& takes<X, Y>()) void forward(const Device& device, const X& x, Y&& y) {
    forward(device, x, y, this->saved_);
  }
  template <class X, class Y>
  requires(takes<X, Y>()) void forward(const X& x, Y&& y, Saved& saved) {
    forward(Eigen::DefaultDevice(), x, y, saved);
  }
  template <class X, class Y>
  requires(takes<X, Y>()) void forward(const X& x, Y&& y) { forward(Eigen::DefaultDevice(), x, y, this->saved_); }

  /// forward as a function: allocates its output.
  template <class Device, class X>
  requires(is_device<Device>&& takes<X>()) Evaluated<X>
  operator()(const Device& device, const X& x) {
    decltype(auto) input = dense<X>(device, x);
    const Shape shape = checked_shape(input);
    derived().view_of(shape);  // a wrong shape is refused before its output is allocated
    Evaluated<X> y = unfilled<X>(shape);
    forward(device, input, y);
    return y;
  }
  template <class X>
  requires(takes<X>()) Evaluated<X>
  operator()(const X& x) { return (*this)(Eigen::DefaultDevice(), x); }

  /// The forward of evaluation, whatever the mode; keeps nothing.
  /// Threads  lock-free and const: one layer may infer on many threads at once
  /// Throws   as forward
  template <class Device, class X, class Y>
  requires(is_device<Device>&& takes<X, Y>()) void infer(const Device& device, const X& x, Y&& y) const {
    infer_into(device, x, y, [](const StatView&, auto* to) { return to; });
  }
  template <class X, class Y>
  requires(takes<X, Y>()) void infer(const X& x, Y&& y) const { infer(Eigen::DefaultDevice(), x, y); }

  /// Writes dx and adds to the gradients of weight and bias, from the statistics in `saved` (the layer's own if none is
  /// given) and in the mode of its forward. With d = dy * weight and the statistics of the batch:
  ///   dx = rstd * (d - mean(d) - xhat * mean(d * xhat)),   dweight += sum(dy * xhat),   dbias += sum(dy)
  /// of RMSNorm without mean(d); with given statistics dx = rstd * d.
  /// Shapes   x, dy and dx the same; dx may be of any shape where `which.input` is false
  /// Scalars  x, dy and dx the same, any that forward takes; gradients of parameters the layer's
  /// Memory   dx may be dy or x, or lie apart from both
  /// Threads  as forward
  /// Throws   shape_error, argument_error, state_error (no forward, one of another shape, or in place)
  template <class Device, class X, class DY, class DX, std::same_as<Saved> Kept>
  requires(is_device<Device>&& takes<X, DY, DX>()) void backward(const Device& device, const X& x, const DY& dy,
                                                                 DX&& dx, const Kept& saved, Gradients which = {}) {
    differentiate(device, x, dy, nullptr, dx, saved, which);
  }
  template <class Device, class X, class DY, class DX>
  requires(is_device<Device>&& takes<X, DY, DX>()) void backward(const Device& device, const X& x, const DY& dy,
                                                                 DX&& dx, Gradients which = {}) {
    backward(device, x, dy, dx, this->saved_, which);
  }
  template <class X, class DY, class DX, std::same_as<Saved> Kept>
  requires(takes<X, DY, DX>()) void backward(const X& x, const DY& dy, DX&& dx, const Kept& saved,
                                             Gradients which = {}) {
    backward(Eigen::DefaultDevice(), x, dy, dx, saved, which);
  }
  template <class X, class DY, class DX>
  requires(takes<X, DY, DX>()) void backward(const X& x, const DY& dy, DX&& dx, Gradients which = {}) {
    backward(Eigen::DefaultDevice(), x, dy, dx, this->saved_, which);
  }

  ShortList<Buffer<T>, 1> buffers() { return {}; }  // state beside parameters: none
  ShortList<Buffer<const T>, 1> buffers() const { return {}; }

  /// The layer as a functor for Eigen's customOp, `y = x.customOp(norm.op())`: infer inside an expression. It refers to
  /// the layer, which must outlive it.
  /// Throws   state_error for a BatchNorm in training
  auto op() const {
    derived().require_evaluation();
    return CustomOp<Derived>{&derived()};
  }

 protected:
  static constexpr About about = About::mean;

  using State::State;

  template <Stored S>
  void normalize(const Executor& execute, const StatView& view, const S* x, S* y, Saved& saved) {
    std::byte* const memory = this->workspace_.reserve(forward_bytes<S>(view, false));
    const Statistics<T> sink = saved.resize(view.stats());
    saved.source = Saved::Source::batch;
    forward_by_batch<S>(execute, {view, Derived::about, derived().eps(), derived().affine(), x, y, sink}, memory);
  }
  template <Stored S>
  void infer_view(const Executor& execute, const StatView& view, const S* x, S* y) const {
    forward_by_batch<S>(execute, {view, Derived::about, derived().eps(), derived().affine(), x, y}, nullptr);
  }
  void require_evaluation() const noexcept {}

  /// forward and infer, `destination` being what kernels have in the place of a pointer to y.
  template <class Device, class X, class Y, class Destination>
  void forward_into(const Device& device, const X& x, Y& y, Saved& saved, const Destination& destination) {
    decltype(auto) input = dense<Y>(device, x);
    const Shape shape = checked_shape(input);
    const StatView view = checked_view(shape, input, y);
    const auto to = destination(view, elements(y));
    if (view.size() > 0) {
      derived().normalize(executor_for(device, view.size()), view, elements(input), to, saved);
    } else {
      derived().keep_nothing(view, saved);
    }
    saved.template describe<ScalarOf<X>>(shape, view, Derived::about, view.size() > 0 && y.data() == input.data());
  }
  template <class Device, class X, class Y, class Destination>
  void infer_into(const Device& device, const X& x, Y& y, const Destination& destination) const {
    decltype(auto) input = dense<Y>(device, x);
    const StatView view = checked_view(checked_shape(input), input, y);
    const auto to = destination(view, elements(y));
    if (view.size() > 0) derived().infer_view(executor_for(device, view.size()), view, elements(input), to);
  }

  /// backward, with a dense tensor added to dx, or with nullptr none.
  template <class Device, class X, class DY, class Added, class DX>
  void differentiate(const Device& device, const X& x, const DY& dy, const Added& added, DX&& dx, const Saved& saved,
                     Gradients which) {
    using S = StoredOf<X>;
    differentiate(device, x, dy, added, dx, saved, which, [&](const BackwardCall<S>& call) {
      require_input(saved);
      return call;
    });
  }
  /// The same with the BackwardCall that `recall` makes of the call, once all else is checked; it may throw.
  template <class Device, class X, class DY, class Added, class DX, class Recall>
  void differentiate(const Device& device, const X& x, const DY& dy, const Added& added, DX&& dx, const Saved& saved,
                     Gradients which, const Recall& recall) {
    using S = StoredOf<X>;
    decltype(auto) input = dense<DX>(device, x);
    decltype(auto) upstream = dense<DX>(device, dy);
    const Shape shape = checked_shape(input);
    const StatView view = saved_view(shape, saved);
    check_backward(shape, input, upstream, dx, which);
    BackwardCall<S> call =
        backward_call(view, saved, elements(input), elements(upstream), which.input ? elements(dx) : nullptr, which);
    if constexpr (DenseTensor<Added>) {
      require_like(shape, "dsum", added);
      call.added = elements(added);
      if (which.input) check_output(shape, "dsum", call.added, "dx", dx);
    }
    if (view.size() == 0) return;
    // Before anything is written: it may fail.
    std::byte* const memory = this->workspace_.reserve(backward_bytes<S>(view, call.affine.by_element));
    run_backward(device, recall(call), saved.source, memory);
  }
  template <Stored S>
  BackwardCall<S> backward_call(const StatView& view, const Saved& saved, const S* x, const S* dy, S* dx,
                                Gradients which) {
    return {view, Derived::about, saved.statistics(), derived().affine(), x, dy, dx, this->sink(which)};
  }
  /// A backward whose tensors have been checked, of a view that is not empty; `memory` has its backward_bytes.
  template <class Device, Stored S, class Up>
  void run_backward(const Device& device, const BackwardCall<S, Up>& call, typename Saved::Source source,
                    std::byte* memory) {
    const Executor execute = executor_for(device, call.view.size());
    if (source == Saved::Source::batch)
      backward_by_batch(execute, call, memory);
    else
      backward_by_given(execute, call, memory);
  }

  void require_parameters(const std::array<Index, static_cast<std::size_t>(Rank)>& extents) const {
    State::require_parameters(derived().name(), extents);
  }
  Shape checked_shape(const auto& input) const {
    const Shape shape = shape_of(input);
    require_product(derived().name(), shape);
    return shape;
  }
  void require_like(const Shape& shape, const char* name, const auto& tensor) const {
    require_same_shape(derived().name(), name, shape, shape_of(tensor));
  }
  template <Stored S, class Y>
  void check_output(const Shape& shape, const char* input_name, const S* input, const char* name, Y& output) const {
    require_like(shape, name, output);
    require_no_partial_overlap<S>(derived().name(), input_name, input, name, elements(output), shape.size());
  }
  /// The tensors of a backward, x of that shape.
  template <class X, class DY, class DX>
  void check_backward(const Shape& shape, const X& x, const DY& dy, DX& dx, Gradients which) const {
    require_like(shape, "dy", dy);
    if (!which.input) return;
    check_output(shape, "x", elements(x), "dx", dx);
    check_output(shape, "dy", elements(dy), "dx", dx);
  }
  /// An output that is not to lie where another one does.
  template <Stored S, class Y>
  void require_apart(const Shape& shape, const char* other_name, const S* other, const char* name, Y& output) const {
    check_output(shape, other_name, other, name, output);
    if (elements(output) == other && shape.size() > 0)
      raise(argument_error(std::string(derived().name()) + ": expected " + name + " apart from " + other_name +
                           ", got the same memory for both"));
  }
  /// The view of a tensor of that shape, which the layer takes. Throws.
  StatView checked_view(const Shape& shape) const { return derived().view_of(shape); }
  /// The same of x of that shape, which y is to be like. Throws.
  template <class X, class Y>
  StatView checked_view(const Shape& shape, const X& x, Y& y) const {
    const StatView view = derived().view_of(shape);
    check_output(shape, "x", elements(x), "y", y);
    return view;
  }
  /// That a forward of this layer, of a tensor of that shape and of that view, has filled `saved`. Throws.
  void require_saved(const Shape& shape, const StatView& view, const Saved& saved, bool of_ranks = false) const {
    constexpr bool has_running = requires(const Derived& layer) { layer.running_mean(); };
    saved.require(derived().name(), shape, view, Derived::about, has_running, of_ranks);
  }
  StatView saved_view(const Shape& shape, const Saved& saved) const {
    const StatView view = checked_view(shape);
    require_saved(shape, view, saved);
    return view;
  }
  /// Throws where the forward has overwritten its input, which is needed.
  void require_input(const Saved& saved) const {
    if (saved.in_place)
      raise(state_error(std::string(derived().name()) + ": the forward was in place and has overwritten its input"));
  }
  /// What a layer of this kind does, for the classes between this one and `Derived`.
  Affine<T> current_affine() const noexcept { return derived().affine(); }
  static constexpr About current_about() noexcept { return Derived::about; }
  static constexpr std::string_view current_name() noexcept { return Derived::name(); }
  template <Stored S>
  void normalize_values(const Executor& execute, const StatView& view, const S* x, S* y, Saved& saved) {
    derived().normalize(execute, view, x, y, saved);
  }
  template <Stored S>
  void infer_values(const Executor& execute, const StatView& view, const S* x, S* y) const {
    derived().infer_view(execute, view, x, y);
  }

  Derived& derived() noexcept { return static_cast<Derived&>(*this); }
  const Derived& derived() const noexcept { return static_cast<const Derived&>(*this); }
};

}  // namespace normkit::detail
