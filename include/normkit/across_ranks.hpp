#pragma once

#include <optional>

#include <normkit/detail/exchange.hpp>
#include <normkit/layer.hpp>
#include <normkit/merge.hpp>

namespace normkit::detail {

/// A batch that is in parts on several ranks, normalized as one. For `Base` whose statistics go by channel, over all samples.
template <class Base>
class AcrossRanks : public Base {
  using T = typename Base::Tensor::Scalar;

 public:
  using Base::backward;
  using Base::forward;
  using typename Base::Saved;

  /// forward of this rank's part of a batch: with the statistics of all parts, as one process would do the whole of it, by one
  /// all_gather. In evaluation with running statistics it is the plain forward, and nothing is exchanged. All ranks are to be in the
  /// same mode, and to have the same options and parameters.
  /// Shapes   as forward; parts may differ in all extents but the channels', and have none (N = 0)
  /// Memory   as forward; reads x once more
  /// Threads  those of the device; the communicator is called by the calling thread alone. The same bits for any number of threads,
  ///          on all ranks and in every run; with another number of parts, within the same bounds
  /// Throws   as forward, and where it does on one rank, rank_error on the others; what the communicator throws. y and the state
  ///          untouched on all of them
  template <class Device, class C, class X, class Y>
  requires(Communicator<C>&& Base::template is_device<Device>&& Base::template takes<X, Y>()) void forward(
      const Device& device, C& communicator, const X& x, Y&& y, Saved& saved) {
    if constexpr (is_single<C>) {
      Base::forward(device, x, y, saved);
    } else {
      if (!this->uses_batch()) return Base::forward(device, x, y, saved);
      using S = StoredOf<X>;
      Held<Y, X> held;
      const S* input = nullptr;
      Shape shape;
      StatView view;
      const auto part = [&](Moments<T> out) {
        const auto& own = held.take(device, x);
        shape = this->checked_shape(own);
        view = this->checked_view(shape, own, y);
        input = elements(own);
        std::byte* const memory = this->template prepare_part<S>(view, saved);
        if (view.size() > 0) keep_moments(executor_for(device, view.size()), view, input, out, memory);
        return view.count();
      };
      exchange_.combine(communicator, Base::current_name(), moments_, header(RankHeader::forward, 0), part);
      this->require_batch(moments_.count());
      this->normalize_part(executor_for(device, view.size()), view, moments_, input, elements(y), saved);
      saved.template describe<ScalarOf<X>>(shape, view, About::mean, view.size() > 0 && elements(y) == input);
    }
  }
  template <class Device, class C, class X, class Y>
  requires(Communicator<C>&& Base::template is_device<Device>&& Base::template takes<X, Y>()) void forward(
      const Device& device, C& communicator, const X& x, Y&& y) {
    forward(device, communicator, x, y, this->saved_);
  }
  template <class C, class X, class Y>
  requires(Communicator<C>&& Base::template takes<X, Y>()) void forward(C& communicator, const X& x, Y&& y,
                                                                        Saved& saved) {
    forward(Eigen::DefaultDevice(), communicator, x, y, saved);
  }
  template <class C, class X, class Y>
  requires(Communicator<C>&& Base::template takes<X, Y>()) void forward(C& communicator, const X& x, Y&& y) {
    forward(Eigen::DefaultDevice(), communicator, x, y, this->saved_);
  }

  /// backward of such a forward: dx of this rank's part, and the gradients of weight and bias of the whole batch, which are the same
  /// on all ranks. They are not to be added up over ranks again: for that there is `Gradients::own_part`. One all_gather in any
  /// mode.
  /// Throws   as backward, and as forward with a communicator; state_error where the ranks' forwards do not belong together
  /// Else     as backward and as forward with a communicator
  template <class Device, class C, class X, class DY, class DX, std::same_as<Saved> Kept>
  requires(Communicator<C>&& Base::template is_device<Device>&& Base::template takes<X, DY, DX>()) void backward(
      const Device& device, C& communicator, const X& x, const DY& dy, DX&& dx, const Kept& saved,
      Gradients which = {}) {
    if constexpr (is_single<C>) {
      Base::backward(device, x, dy, dx, saved, which);
    } else {
      using S = StoredOf<X>;
      Held<DX, X> held_x;
      Held<DX, DY> held_dy;
      const bool given = saved.source == Saved::Source::running;
      const Index before = given ? -1 : saved.rank_count;
      BackwardCall<S> call{};
      const auto part = [&](GradientSums<T> out) {
        const auto& input = held_x.take(device, x);
        const auto& upstream = held_dy.take(device, dy);
        const Shape shape = this->checked_shape(input);
        this->check_backward(shape, input, upstream, dx, which);
        call = part_call<S>(shape, input, upstream, which.input ? elements(dx) : nullptr, saved, true, which);
        sum_part(device, call, out);
        return call.view.count();
      };
      exchange_.combine(communicator, Base::current_name(), sums_, header(RankHeader::backward, before), part);
      const Index count = sums_.count();
      if (!given && count != before)
        raise(state_error(words(Base::current_name()) + ": expected the parts of a batch of " + std::to_string(before) +
                          " values per channel, got " + std::to_string(count)));
      const bool is_empty = call.view.size() == 0;
      const ParameterSink<T> parameters = std::exchange(call.gradient, {});
      if (which.own_part ? !is_empty : count > 0)
        kernels<T>().steps.add_gradients(this->num_features(),
                                         which.own_part ? exchange_.template own<GradientSums<T>>() : sums_.arrays(),
                                         saved.statistics().rstd, parameters.weight, parameters.bias);
      if (!call.dx || is_empty) return;
      const Executor execute = executor_for(device, call.view.size());
      given ? backward_by_given(execute, call, nullptr) : backward_by_sums(execute, call, sums_.arrays(), count);
    }
  }
  template <class Device, class C, class X, class DY, class DX>
  requires(Communicator<C>&& Base::template is_device<Device>&& Base::template takes<X, DY, DX>()) void backward(
      const Device& device, C& communicator, const X& x, const DY& dy, DX&& dx, Gradients which = {}) {
    backward(device, communicator, x, dy, dx, this->saved_, which);
  }
  template <class C, class X, class DY, class DX, std::same_as<Saved> Kept>
  requires(Communicator<C>&& Base::template takes<X, DY, DX>()) void backward(C& communicator, const X& x, const DY& dy,
                                                                              DX&& dx, const Kept& saved,
                                                                              Gradients which = {}) {
    backward(Eigen::DefaultDevice(), communicator, x, dy, dx, saved, which);
  }
  template <class C, class X, class DY, class DX>
  requires(Communicator<C>&& Base::template takes<X, DY, DX>()) void backward(C& communicator, const X& x, const DY& dy,
                                                                              DX&& dx, Gradients which = {}) {
    backward(Eigen::DefaultDevice(), communicator, x, dy, dx, this->saved_, which);
  }

  /// What backward adds up over a part of a batch, in the statistics of the forward that `saved` is of. With `merge` they are those of
  /// several parts. A building block for other transports: the layer itself takes them by a communicator alone.
  /// Throws   as backward
  template <class Device, class X, class DY, std::same_as<Saved> Kept>
  requires(Base::template is_device<Device>&& Base::template takes<X>() &&
           SameKind<X, DY>) normkit::GradientSums<T> gradient_sums(const Device& device, const X& x, const DY& dy,
                                                                   const Kept& saved) {
    using Like = std::conditional_t<AnyLayout<X>, DY, X>;
    decltype(auto) input = dense<Like>(device, x);
    decltype(auto) upstream = dense<Like>(device, dy);
    const Shape shape = this->checked_shape(input);
    this->require_like(shape, "dy", upstream);
    const bool of_ranks = saved.source == Saved::Source::ranks;
    const auto call = part_call<StoredOf<X>>(shape, input, upstream, nullptr, saved, of_ranks, {});
    normkit::GradientSums<T> sums(this->num_features());
    sum_part(device, call, sums.arrays());
    sums.set_count(call.view.count());
    return sums;
  }
  template <class X, class DY, std::same_as<Saved> Kept>
  requires(Base::template takes<X>() &&
           SameKind<X, DY>) normkit::GradientSums<T> gradient_sums(const X& x, const DY& dy, const Kept& saved) {
    return gradient_sums(Eigen::DefaultDevice(), x, dy, saved);
  }

 protected:
  using Base::Base;

 private:
  template <class C>
  static constexpr bool is_single = std::is_same_v<std::remove_const_t<C>, SingleProcess>;

  /// A tensor itself, or what an expression comes to: evaluated in a rank's part, where it may throw.
  template <class Like, class X>
  class Held {
   public:
    template <class Device>
    const auto& take(const Device& device, const X& x) {
      if constexpr (DenseTensor<X>)
        return x;
      else
        return value_.emplace(dense<Like>(device, x));
    }

   private:
    std::optional<std::conditional_t<DenseTensor<X>, bool, EvaluatedLike<Like, X>>> value_;
  };

  RankHeader header(RankHeader::Call call, Index before) const noexcept {
    return {0, before, this->num_features(), call, 0, 0};
  }
  template <Stored S>
  BackwardCall<S> part_call(const Shape& shape, const auto& x, const auto& dy, S* dx, const Saved& saved, bool of_ranks,
                            Gradients which) {
    const StatView view = this->checked_view(shape);
    this->require_saved(shape, view, saved, of_ranks);
    this->require_input(saved);
    return this->backward_call(view, saved, elements(x), elements(dy), dx, which);
  }
  template <class Device, Stored S>
  void sum_part(const Device& device, const BackwardCall<S>& call, GradientSums<T> out) {
    if (call.view.size() == 0) return;
    std::byte* const memory = this->workspace_.reserve(backward_bytes<S>(call.view, false));
    keep_sums(executor_for(device, call.view.size()), call, out, memory);
  }

  Exchange<T> exchange_;
  normkit::Moments<T> moments_;  // of all ranks
  normkit::GradientSums<T> sums_;
};

}  // namespace normkit::detail
