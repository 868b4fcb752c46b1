// Everything that is compiled once for each instruction set, in order, and the table of it.

// Each file uses the ones before it.
// clang-format off
#include <normkit/detail/simd/begin.inl.hpp>
#include <normkit/detail/simd/pack.inl.hpp>
#include <normkit/detail/simd/partial.inl.hpp>
#include <normkit/detail/simd/convert.inl.hpp>
#include <normkit/detail/simd/packed.inl.hpp>
#include <normkit/detail/simd/stream.inl.hpp>
#include <normkit/detail/simd/lanes.inl.hpp>
#include <normkit/detail/simd/bits.inl.hpp>
#include <normkit/detail/simd/wide.inl.hpp>
#include <normkit/detail/simd/range.inl.hpp>
#include <normkit/detail/simd/groups.inl.hpp>
#include <normkit/detail/kernel/chan.inl.hpp>
#include <normkit/detail/kernel/statistics.inl.hpp>
#include <normkit/detail/kernel/steps.inl.hpp>
#include <normkit/detail/kernel/terms.inl.hpp>
#include <normkit/detail/kernel/moments.inl.hpp>
#include <normkit/detail/kernel/add.inl.hpp>
#include <normkit/detail/kernel/normalize.inl.hpp>
#include <normkit/detail/kernel/gradients.inl.hpp>
// clang-format on

template <class S, bool Cached>
inline constexpr Maps<S> maps{
    {{&normalize_runs<Cached, false, false>, &normalize_runs<Cached, true, false>, &normalize_runs<Cached, false, true>,
      &normalize_runs<Cached, true, true>},
     {&normalize_lanes<Cached, false, false>, &normalize_lanes<Cached, true, false>,
      &normalize_lanes<Cached, false, true>, &normalize_lanes<Cached, true, true>}},
    {{{&input_gradient_runs<Cached, WeightBy::none, false>, &input_gradient_runs<Cached, WeightBy::none, true>},
      {&input_gradient_runs<Cached, WeightBy::element, false>, &input_gradient_runs<Cached, WeightBy::element, true>},
      {&input_gradient_runs<Cached, WeightBy::group, false>, &input_gradient_runs<Cached, WeightBy::group, true>}},
     {{&input_gradient_lanes<Cached, WeightBy::none, false>, &input_gradient_lanes<Cached, WeightBy::none, true>},
      {&input_gradient_lanes<Cached, WeightBy::element, false>, &input_gradient_lanes<Cached, WeightBy::element, true>},
      {&input_gradient_lanes<Cached, WeightBy::group, false>, &input_gradient_lanes<Cached, WeightBy::group, true>}}},
};

/// The tables of this instruction set, by their type.
template <class Table>
inline constexpr int table = 0;

template <class S>
inline constexpr Kernels<S> table<Kernels<S>>{
    {&add_runs<S>, &add_lanes<S>},
    {{&moments_runs<S>, &moments_lanes<S>}, {&squares_runs<S>, &squares_lanes<S>}},
    {{&sum_gradients_runs<SumKind::plain>, &sum_gradients_runs<SumKind::weighted>, &sum_gradients_runs<SumKind::dual>},
     {&sum_gradients_lanes<SumKind::plain>, &sum_gradients_lanes<SumKind::weighted>,
      &sum_gradients_lanes<SumKind::dual>}},
    {maps<S, false>, maps<S, true>},
    &one_plus,
    {&merge_moments, &average_moments, &merge_sums, &merge_neighbours, &weigh_sums, &scale_sums, &statistics_of,
     &statistics_from, &statistics_from, &scale_of, &gradient_means, &update_running, &add_gradients},
};

template <class S>
inline constexpr ReluKernels<S> table<ReluKernels<S>>{
    {&sum_gradients_runs<SumKind::plain>, &sum_gradients_lanes<SumKind::plain>},
    {&normalize_runs<false, false, false>, &normalize_lanes<false, false, false>},
    {&normalize_runs<false, false, false>, &normalize_lanes<false, false, false>},
    {&input_gradient_runs<false, WeightBy::none, false>, &input_gradient_lanes<false, WeightBy::none, false>},
};

#include <normkit/detail/simd/end.inl.hpp>
