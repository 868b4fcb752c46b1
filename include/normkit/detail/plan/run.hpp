#pragma once

#include <algorithm>

#include <normkit/detail/plan/pooled.hpp>

// What the layers and the core header call: an executor, a view and pointers in, results out. Nothing here can fail.
// `memory` holds partial results where few large groups are shared among threads. How many bytes, the function beside
// each says: they depend on the shape alone, so that a layer has them from its first call on. With null, or on one
// thread, tiles are not shared and no such memory is touched; backward of views with channels always needs it. The bits are the
// same either way.
namespace normkit::detail {

/// Of views with channels: room for the moments of every group, where running statistics `move` by them.
template <Stored S>
std::size_t forward_bytes(const StatView& view, bool move) noexcept {
  if (!view.channels.count) return chunk_bytes<NormalizeByBatch<S>>(Plan(view));
  return move ? PartialStore<Moments<Arithmetic<S>>>::bytes(view.stats()) : 0;
}

/// A forward pass with the statistics of x: of what, whereto. Sinks are null where nobody keeps what they are for.
template <Stored S, class Y = S*>
struct ForwardCall {
  using T = Arithmetic<S>;
  StatView view;
  About about;
  double eps;
  Affine<T> affine;
  const S* x;
  Y y;  // or Rectified, of views without channels
  Statistics<T> saved = {};
  RunningSink<T> running = {};
};

/// x = first + second, to be made on the way.
template <Stored S>
struct Addends {
  const S *first, *second;
  S* sum;
};

/// y from the statistics of x, of a view with channels. Running statistics move by the mean of those of the samples.
template <Stored S>
void forward_by_pool(const Executor& execute, const ForwardCall<S>& call, std::byte* memory) noexcept {
  using T = Arithmetic<S>;
  const StatView& view = call.view;
  const Plan members = member_plan(view), plan = view.joins() ? joined_plan(view) : members;
  const Kernels<S>& kernel = kernels<S>();
  const Moments<T> measured = call.running.mean ? PartialStore<Moments<T>>::in(memory, view.stats()) : Moments<T>{};
  const NormalizeByPool<S> op{{{kernel, members, call.affine, call.x, call.y}, plan.walk(), call.about},
                              members,
                              call.eps,
                              call.saved,
                              measured};
  run_by_pool(plan, op, execute);
  if (!call.running.mean) return;
  fold_samples(view, measured, [&](Index groups, Moments<T> into, Index samples, Moments<T> more) noexcept {
    kernel.steps.average_moments(groups, into, samples, more);
  });
  const Index channels = view.channels.count, freedom = view.stats() / channels * call.running.freedom(view.count());
  kernel.steps.update_running(channels, measured, freedom, call.running.momentum, call.running.mean, call.running.var);
}

/// y from the statistics of x.
template <Stored S, class Y = S*>
void forward_by_batch(const Executor& execute, const ForwardCall<S, Y>& call, std::byte* memory) noexcept {
  if constexpr (std::is_pointer_v<Y>)
    if (call.view.channels.count) return forward_by_pool(execute, call, memory);
  const Plan plan(call.view);
  const NormalizeByBatch<S, Y> op{
      {{kernels<S>(), plan, call.affine, call.x, call.y}, plan.walk(), call.about}, call.eps, call.saved, call.running};
  reduce_and_map(plan, op, execute, memory);
}

/// The view of statistics that are given: of a view with channels, one for each channel.
inline StatView given_view(const StatView& view) noexcept { return view.channels.count ? view.by_channel() : view; }

/// y from the statistics of a sum, which is call.x; of a view without channels.
template <Stored S>
void forward_of_sum(const Executor& execute, const ForwardCall<S>& call, const Addends<S>& addends,
                    std::byte* memory) noexcept {
  const Plan plan(call.view);
  NormalizeSum<S> op{{{{kernels<S>(), plan, call.affine, call.x, call.y}, plan.walk(), call.about},
                      call.eps,
                      call.saved,
                      call.running},
                     addends.first,
                     addends.second,
                     addends.sum};
  op.output = output_of(plan, call.y, addends.first, addends.second);
  reduce_and_map(plan, op, execute, memory);
}

/// y from a given mean and variance for each group, or for each channel.
template <Stored S, class Given, class Y>
void forward_by_given(const Executor& execute, const StatView& view, const Affine<Arithmetic<S>>& affine, double eps,
                      const Given* mean, const Given* var, const S* x, Y y) noexcept {
  const Pieces pieces(given_view(view), execute.threads());
  const NormalizeByGiven<S, Given, Y> op{{kernels<S>(), pieces, affine, x, y}, eps, mean, var};
  map_only(pieces, op, execute);
}

/// The moments of each group, each tile's handed to `sink`.
template <Stored S, class Sink>
void reduce_moments(const Executor& execute, const StatView& view, const S* x, const Sink& sink,
                    std::byte* memory) noexcept {
  const Plan plan(view);
  const MeasureMoments<S, Sink> op{{{kernels<S>(), x}, plan.walk(), About::mean}, sink};
  reduce_and_map(plan, op, execute, memory);
}

/// Mean and biased variance of each group.
template <Stored S, class Result>
void measure_moments(const Executor& execute, const StatView& view, const S* x, Result* mean, Result* var,
                     std::byte* memory) noexcept {
  const auto sink = [&](const Tile& tile, Moments<Arithmetic<S>> moments) noexcept {
    scalar::mean_and_variance(tile.groups, moments, view.count(), mean + tile.first, var + tile.first);
  };
  reduce_moments(execute, view, x, sink, memory);
}

/// The statistics that a forward with a given mean and variance would have kept.
template <Scalar T, class Given>
void keep_given(Index groups, const Given* mean, const Given* var, double eps, const Statistics<T>& out) noexcept {
  statistics_from(kernels<T>().steps, groups, mean, var, eps, out);
}

/// Room for rstd rounded to T, which parameters by element need on any number of threads.
template <Scalar T>
std::size_t element_bytes(const StatView& view) noexcept {
  return aligned(static_cast<std::size_t>(view.stats()) * sizeof(T));
}

/// The same and, where rows are done in one pass, room for their sums: all that one thread needs.
template <Stored S>
std::size_t lone_backward_bytes(const StatView& view, bool by_element) noexcept {
  if (!by_element) return 0;
  const Plan dual(view.dual());
  return element_bytes<Arithmetic<S>>(view) +
         (fits_rows<S>(Plan(view), dual) ? rows_bytes<GradientOfElements<S>>(dual) : 0);
}

/// The same and, where chunks can be shared, room for the sums over groups or over the dual view. Of views with channels, room
/// for their weights as they multiply and the sums of every group, which the gradients of their parameters are made of, or for
/// the sums of given statistics.
template <Stored S>
std::size_t backward_bytes(const StatView& view, bool by_element) noexcept {
  if (view.channels.count)
    return std::max(SplitWeights<Arithmetic<S>>::bytes(view.channels.count) +
                        PartialStore<GradientSums<Arithmetic<S>>>::bytes(view.stats()),
                    chunk_bytes<GradientOfParameters<S>>(Plan(view.by_channel())));
  const std::size_t sums = chunk_bytes<GradientByBatch<S>>(Plan(view));
  if (!by_element) return sums;
  const std::size_t elements =
      element_bytes<Arithmetic<S>>(view) + chunk_bytes<GradientOfElements<S>>(Plan(view.dual()));
  return std::max({sums, elements, lone_backward_bytes<S>(view, true)});
}

/// A backward pass: which gradients, from what, whereto. Parameters go by group or by element as `affine` says.
template <Stored S, class Up = const S*>
struct BackwardCall {
  using T = Arithmetic<S>;
  StatView view;
  About about;
  SavedStatistics<T> saved;
  Affine<T> affine;
  const S* x;
  Up dy;                      // or Masked, of BatchNorm alone
  S* dx;                      // null where not asked for
  ParameterSink<T> gradient;  // null where not asked for
  const S* added = nullptr;   // to dx; of views without channels
};

/// Gradients of forward_by_pool.
template <Stored S>
void backward_by_pool(const Executor& execute, const BackwardCall<S>& call, std::byte* memory) noexcept {
  using T = Arithmetic<S>;
  const Plan plan = member_plan(call.view);
  const Kernels<S>& kernel = kernels<S>();
  using Sums = GradientSums<T>;
  const Index channels = call.view.channels.count;
  const auto weights = SplitWeights<T>::in(memory, channels, call.affine.weight);
  std::byte* const rest = memory + SplitWeights<T>::bytes(channels);
  const Sums summed = call.gradient ? PartialStore<Sums>::in(rest, call.view.stats()) : Sums{};
  const GradientByPool<S> op{
      {{kernel, plan, call.saved, call.x, call.dy}, call.dx}, plan, call.affine, weights, summed};
  if (call.dx || call.gradient) run_by_pool(plan, op, execute);
  if (!call.gradient) return;
  fold_samples(call.view, summed, [&](Index groups, Sums into, Index, Sums more) noexcept {
    kernel.steps.merge_sums(groups, into, more);
  });
  kernel.steps.add_gradients(channels, summed, nullptr, call.gradient.weight, call.gradient.bias);
}

/// Gradients of a forward that used the statistics of its input. Where parameters go by element their gradients come
/// first, at least within a block of rows: dx may overwrite x or dy.
template <Stored S, class Up = const S*>
void backward_by_batch(const Executor& execute, const BackwardCall<S, Up>& call, std::byte* memory) noexcept {
  using T = Arithmetic<S>;
  const Plan plan(call.view);
  const ParameterSink<T> by_group = call.affine.by_element ? ParameterSink<T>{} : call.gradient;
  const GradientByBatch<S, Up> op{
      {{kernels<S>(), plan, call.saved, call.x, call.dy}, call.dx, call.added}, call.about, call.affine, by_group};
  if constexpr (std::is_pointer_v<Up>) {
    if (call.view.channels.count) return backward_by_pool(execute, call, memory);
    if (call.affine.by_element && call.gradient) {
      const Plan dual(call.view.dual());
      auto* const rstd = reinterpret_cast<T*>(memory);
      const bool careful = scalar::round_rstd<T>(call.view.stats(), call.saved, rstd);
      const GradientOfElements<S> sums{{kernels<S>(), dual, call.saved, call.x, call.dy}, rstd, careful, call.gradient};
      std::byte* const rest = memory + element_bytes<T>(call.view);
      if (call.dx && fits_rows<S>(plan, dual) && dual.chunks() >= execute.threads())
        return run_by_rows(dual, sums, plan, op, execute, rest);
      reduce_and_map(dual, sums, execute, rest);
    }
  }
  if (call.dx || by_group) reduce_and_map(plan, op, execute, memory);
}

/// Gradients of a forward with given statistics, parameters by group.
template <Stored S, class Up = const S*>
void backward_by_given(const Executor& execute, const BackwardCall<S, Up>& call, std::byte* memory) noexcept {
  using T = Arithmetic<S>;
  const StatView view = given_view(call.view);
  if (call.gradient) {
    const Plan plan(view);
    const GradientOfParameters<S, Up> op{{kernels<S>(), plan, call.saved, call.x, call.dy}, call.gradient};
    reduce_and_map(plan, op, execute, memory);
  }
  if (call.dx) {
    const Affine<T> weight_only{call.affine.weight, nullptr, false};
    const Pieces pieces(view, execute.threads());
    const GradientByGiven<S, Up> op{{kernels<S>(), pieces, weight_only, call.dy, call.dx}, call.saved};
    map_only(pieces, op, execute);
  }
}

}  // namespace normkit::detail

// Opt-in: the kernels and this file's functions are compiled elsewhere, once, by files that include
// <normkit/instances.hpp> and <normkit/instances_16bit.hpp>.
#if defined(NORMKIT_EXTERN_TEMPLATES)
#define NORMKIT_INSTANCE extern template
#define NORMKIT_S float
#include <normkit/detail/plan/instances.inl.hpp>
#define NORMKIT_INSTANCE extern template
#define NORMKIT_S double
#include <normkit/detail/plan/instances.inl.hpp>
#define NORMKIT_INSTANCE extern template
#define NORMKIT_S Half
#include <normkit/detail/plan/instances.inl.hpp>
#define NORMKIT_INSTANCE extern template
#define NORMKIT_S BFloat16
#include <normkit/detail/plan/instances.inl.hpp>
#endif
