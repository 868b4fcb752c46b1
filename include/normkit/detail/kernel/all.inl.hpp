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
#include <normkit/detail/simd/wide.inl.hpp>
#include <normkit/detail/simd/range.inl.hpp>
#include <normkit/detail/simd/groups.inl.hpp>
#include <normkit/detail/kernel/chan.inl.hpp>
#include <normkit/detail/kernel/statistics.inl.hpp>
#include <normkit/detail/kernel/steps.inl.hpp>
#include <normkit/detail/kernel/moments.inl.hpp>
#include <normkit/detail/kernel/add.inl.hpp>
#include <normkit/detail/kernel/normalize.inl.hpp>
#include <normkit/detail/kernel/gradients.inl.hpp>
// clang-format on

template <class S, Output Out>
inline constexpr Maps<S> maps{
    {{&normalize_runs<S, Out, false, false>, &normalize_runs<S, Out, true, false>, &normalize_runs<S, Out, false, true>,
      &normalize_runs<S, Out, true, true>},
     {&normalize_lanes<S, Out, false, false>, &normalize_lanes<S, Out, true, false>,
      &normalize_lanes<S, Out, false, true>, &normalize_lanes<S, Out, true, true>}},
    {{{&input_gradient_runs<S, Out, WeightBy::none, false>, &input_gradient_runs<S, Out, WeightBy::none, true>},
      {&input_gradient_runs<S, Out, WeightBy::element, false>, &input_gradient_runs<S, Out, WeightBy::element, true>},
      {&input_gradient_runs<S, Out, WeightBy::group, false>, &input_gradient_runs<S, Out, WeightBy::group, true>}},
     {{&input_gradient_lanes<S, Out, WeightBy::none, false>, &input_gradient_lanes<S, Out, WeightBy::none, true>},
      {&input_gradient_lanes<S, Out, WeightBy::element, false>, &input_gradient_lanes<S, Out, WeightBy::element, true>},
      {&input_gradient_lanes<S, Out, WeightBy::group, false>, &input_gradient_lanes<S, Out, WeightBy::group, true>}}},
};

template <class S, class T = Arithmetic<S>>
inline constexpr Kernels<S> kernels{
    {&add_runs<S>, &add_lanes<S>},
    {{&moments_runs<S>, &moments_lanes<S>}, {&squares_runs<S>, &squares_lanes<S>}},
    {{&sum_gradients_runs<S, SumKind::plain>, &sum_gradients_runs<S, SumKind::weighted>,
      &sum_gradients_runs<S, SumKind::dual>},
     {&sum_gradients_lanes<S, SumKind::plain>, &sum_gradients_lanes<S, SumKind::weighted>,
      &sum_gradients_lanes<S, SumKind::dual>}},
    {maps<S, Output::cached>, maps<S, Output::prefetched>, maps<S, Output::streamed>},
    &one_plus<T>,
    {&merge_moments<T>, &average_moments<T>, &merge_sums<T>, &weigh_sums<T>, &scale_sums<T>, &statistics_of<T>,
     &statistics_from<T, T>, &statistics_from<T, double>, &scale_of<T>, &gradient_means<T>, &update_running<T>,
     &add_gradients<T>},
};

#include <normkit/detail/simd/end.inl.hpp>
