#pragma once

#include <algorithm>

#include <normkit/detail/plan/pooled.hpp>

// What the layers and the core header call: an executor, a view and pointers in, results out. Nothing here can fail.
// `memory` holds partial results where few large groups are shared among threads. How many bytes, the function beside
// each says: they depend on the shape alone, so that a layer has them from its first call on. With null, or on one
// thread, tiles are not shared and no such memory is touched. The bits are the same either way.
namespace normkit::detail {

/// Of views with channels: room for the moments of every group, from which running statistics move.
template <Scalar T>
std::size_t forward_bytes(const StatView& view) noexcept {
  return view.channels.count ? PartialStore<Moments<T>>::bytes(view.stats())
                             : chunk_bytes<NormalizeByBatch<T>>(Plan(view));
}

/// A forward pass with the statistics of x: of what, whereto. Sinks are null where nobody keeps what they are for.
template <Scalar T>
struct ForwardCall {
  StatView view;
  About about;
  double eps;
  Affine<T> affine;
  const T* x;
  T* y;
  Statistics<T> saved = {};
  RunningSink<T> running = {};
};

/// y from the statistics of x, of a view with channels. Running statistics move by the mean of those of the samples.
template <Scalar T>
void forward_by_pool(const Executor& execute, const ForwardCall<T>& call, std::byte* memory) noexcept {
  const Plan plan = pool_plan(call.view);
  const Kernels<T>& kernel = kernels<T>();
  const StatView& view = call.view;
  const Moments<T> measured = call.running.mean ? PartialStore<Moments<T>>::in(memory, view.stats()) : Moments<T>{};
  const NormalizeByPool<T> op{{{kernel, plan, call.affine, call.x, call.y}, call.about, call.eps, call.saved, {}},
                              measured};
  run_by_pool(plan, op, execute);
  if (!call.running.mean) return;
  fold_samples(view, measured, [&](Index groups, Moments<T> into, Index samples, Moments<T> more) noexcept {
    kernel.steps.average_moments(groups, into, samples, more);
  });
  const Index channels = view.channels.count, freedom = view.stats() / channels * (view.count() - 1);
  kernel.steps.update_running(channels, measured, freedom + 1, call.running.momentum, call.running.mean,
                              call.running.var);
}

/// y from the statistics of x.
template <Scalar T>
void forward_by_batch(const Executor& execute, const ForwardCall<T>& call, std::byte* memory) noexcept {
  if (call.view.channels.count) return forward_by_pool(execute, call, memory);
  const Plan plan(call.view);
  const NormalizeByBatch<T> op{
      {kernels<T>(), plan, call.affine, call.x, call.y}, call.about, call.eps, call.saved, call.running};
  reduce_and_map(plan, op, execute, memory);
}

/// The view of statistics that are given: of a view with channels, one for each channel.
inline StatView given_view(const StatView& view) noexcept { return view.channels.count ? view.by_channel() : view; }

/// y from a given mean and variance for each group, or for each channel.
template <Scalar T, class Given>
void forward_by_given(const Executor& execute, const StatView& view, const Affine<T>& affine, double eps,
                      const Given* mean, const Given* var, const T* x, T* y) noexcept {
  const Pieces pieces(given_view(view), execute.threads());
  const NormalizeByGiven<T, Given> op{{kernels<T>(), pieces, affine, x, y}, eps, mean, var};
  map_only(pieces, op, execute);
}

/// Mean and biased variance of each group.
template <Scalar T, class Result>
void measure_moments(const Executor& execute, const StatView& view, const T* x, Result* mean, Result* var,
                     std::byte* memory) noexcept {
  const Plan plan(view);
  const MeasureMoments<T, Result> op{kernels<T>(), plan, x, mean, var};
  reduce_and_map(plan, op, execute, memory);
}

/// The statistics that a forward with a given mean and variance would have kept.
template <Scalar T, class Given>
void keep_given(Index groups, const Given* mean, const Given* var, double eps, const Statistics<T>& out) noexcept {
  statistics_from(kernels<T>(), groups, mean, var, eps, out);
}

/// Room for rstd rounded to T, which parameters by element need on any number of threads.
template <Scalar T>
std::size_t element_bytes(const StatView& view, bool by_element) noexcept {
  return by_element ? aligned(static_cast<std::size_t>(view.stats()) * sizeof(T)) : 0;
}

/// The same and, where rows are done in one pass, room for their sums: all that one thread needs.
template <Scalar T>
std::size_t lone_backward_bytes(const StatView& view, bool by_element) noexcept {
  if (!by_element) return 0;
  const Plan dual(view.dual());
  return element_bytes<T>(view, true) + (fits_rows<T>(Plan(view), dual) ? rows_bytes<GradientOfElements<T>>(dual) : 0);
}

/// The same and, where chunks can be shared, room for the sums over groups or over the dual view. Of views with channels, room
/// for the sums of every group, which the gradients of their parameters are made of, or for those of given statistics.
template <Scalar T>
std::size_t backward_bytes(const StatView& view, bool by_element) noexcept {
  if (view.channels.count)
    return std::max(PartialStore<GradientSums<T>>::bytes(view.stats()),
                    chunk_bytes<GradientOfParameters<T>>(Plan(view.by_channel())));
  const std::size_t sums = chunk_bytes<GradientByBatch<T>>(Plan(view));
  if (!by_element) return sums;
  const std::size_t elements = element_bytes<T>(view, true) + chunk_bytes<GradientOfElements<T>>(Plan(view.dual()));
  return std::max({sums, elements, lone_backward_bytes<T>(view, true)});
}

/// A backward pass: which gradients, from what, whereto. Parameters go by group or by element as `affine` says.
template <Scalar T>
struct BackwardCall {
  StatView view;
  About about;
  SavedStatistics<T> saved;
  Affine<T> affine;
  const T *x, *dy;
  T* dx;                      // null where not asked for
  ParameterSink<T> gradient;  // null where not asked for
};

/// Gradients of forward_by_pool.
template <Scalar T>
void backward_by_pool(const Executor& execute, const BackwardCall<T>& call, std::byte* memory) noexcept {
  const Plan plan = pool_plan(call.view);
  const Kernels<T>& kernel = kernels<T>();
  using Sums = GradientSums<T>;
  const Sums summed = call.gradient ? PartialStore<Sums>::in(memory, call.view.stats()) : Sums{};
  const GradientByPool<T> op{{kernel, plan, call.saved, call.x, call.dy}, call.affine, call.dx, summed};
  if (call.dx || call.gradient) run_by_pool(plan, op, execute);
  if (!call.gradient) return;
  fold_samples(call.view, summed, [&](Index groups, Sums into, Index, Sums more) noexcept {
    kernel.steps.merge_sums(groups, into, more);
  });
  kernel.steps.add_gradients(call.view.channels.count, summed, nullptr, call.gradient.weight, call.gradient.bias);
}

/// Gradients of a forward that used the statistics of its input. Where parameters go by element their gradients come
/// first, at least within a block of rows: dx may overwrite x or dy.
template <Scalar T>
void backward_by_batch(const Executor& execute, const BackwardCall<T>& call, std::byte* memory) noexcept {
  if (call.view.channels.count) return backward_by_pool(execute, call, memory);
  const Plan plan(call.view);
  const bool by_element = call.affine.by_element && call.gradient;
  const ParameterSink<T> by_group = call.affine.by_element ? ParameterSink<T>{} : call.gradient;
  const GradientByBatch<T> op{
      {kernels<T>(), plan, call.saved, call.x, call.dy}, call.about, call.affine, by_group, call.dx};
  if (by_element) {
    const Plan dual(call.view.dual());
    auto* const rstd = reinterpret_cast<T*>(memory);
    const bool careful = scalar::round_rstd<T>(call.view.stats(), call.saved, rstd);
    const GradientOfElements<T> sums{{kernels<T>(), dual, call.saved, call.x, call.dy}, rstd, careful, call.gradient};
    std::byte* const rest = memory + element_bytes<T>(call.view, true);
    if (call.dx && fits_rows<T>(plan, dual) && dual.chunks() >= execute.threads())
      return run_by_rows(dual, sums, plan, op, execute, rest);
    reduce_and_map(dual, sums, execute, rest);
  }
  if (call.dx || by_group) reduce_and_map(plan, op, execute, memory);
}

/// Gradients of a forward with given statistics, parameters by group.
template <Scalar T>
void backward_by_given(const Executor& execute, const BackwardCall<T>& call, std::byte* memory) noexcept {
  const StatView view = given_view(call.view);
  if (call.gradient) {
    const Plan plan(view);
    const GradientOfParameters<T> op{{kernels<T>(), plan, call.saved, call.x, call.dy}, call.gradient};
    reduce_and_map(plan, op, execute, memory);
  }
  if (call.dx) {
    const Affine<T> weight_only{call.affine.weight, nullptr, false};
    const Pieces pieces(view, execute.threads());
    const GradientByGiven<T> op{{kernels<T>(), pieces, weight_only, call.dy, call.dx}, call.saved};
    map_only(pieces, op, execute);
  }
}

}  // namespace normkit::detail

// Opt-in: the kernels and this file's functions are compiled elsewhere, once, by a file that includes <normkit/instances.hpp>.
#if defined(NORMKIT_EXTERN_TEMPLATES)
#define NORMKIT_INSTANCE extern template
#define NORMKIT_T float
#include <normkit/detail/plan/instances.inl.hpp>
#define NORMKIT_INSTANCE extern template
#define NORMKIT_T double
#include <normkit/detail/plan/instances.inl.hpp>
#endif
