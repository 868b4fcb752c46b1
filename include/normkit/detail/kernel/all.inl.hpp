// Everything that is compiled once for each instruction set, in order, and the table of it.

// Each file uses the ones before it.
// clang-format off
#include <normkit/detail/simd/begin.inl.hpp>
#include <normkit/detail/simd/pack.inl.hpp>
#include <normkit/detail/simd/partial.inl.hpp>
#include <normkit/detail/simd/stream.inl.hpp>
#include <normkit/detail/simd/lanes.inl.hpp>
#include <normkit/detail/simd/wide.inl.hpp>
#include <normkit/detail/simd/range.inl.hpp>
#include <normkit/detail/simd/groups.inl.hpp>
#include <normkit/detail/kernel/chan.inl.hpp>
#include <normkit/detail/kernel/statistics.inl.hpp>
#include <normkit/detail/kernel/steps.inl.hpp>
#include <normkit/detail/kernel/moments.inl.hpp>
#include <normkit/detail/kernel/normalize.inl.hpp>
#include <normkit/detail/kernel/gradients.inl.hpp>
// clang-format on

template <class T, Output Out>
inline constexpr Maps<T> maps{
    {{&normalize_runs<T, Out, false, false>, &normalize_runs<T, Out, true, false>, &normalize_runs<T, Out, false, true>,
      &normalize_runs<T, Out, true, true>},
     {&normalize_lanes<T, Out, false, false>, &normalize_lanes<T, Out, true, false>,
      &normalize_lanes<T, Out, false, true>, &normalize_lanes<T, Out, true, true>}},
    {{&input_gradient_runs<T, Out, WeightBy::none>, &input_gradient_runs<T, Out, WeightBy::element>,
      &input_gradient_runs<T, Out, WeightBy::group>},
     {&input_gradient_lanes<T, Out, WeightBy::none>, &input_gradient_lanes<T, Out, WeightBy::element>,
      &input_gradient_lanes<T, Out, WeightBy::group>}},
};

template <class T>
inline constexpr Kernels<T> kernels{
    {{&moments_runs<T>, &moments_lanes<T>}, {&squares_runs<T>, &squares_lanes<T>}},
    {{&sum_gradients_runs<T, SumKind::plain>, &sum_gradients_runs<T, SumKind::weighted>,
      &sum_gradients_runs<T, SumKind::dual>},
     {&sum_gradients_lanes<T, SumKind::plain>, &sum_gradients_lanes<T, SumKind::weighted>,
      &sum_gradients_lanes<T, SumKind::dual>}},
    {maps<T, Output::cached>, maps<T, Output::prefetched>, maps<T, Output::streamed>},
    &one_plus<T>,
    {&merge_moments<T>, &average_moments<T>, &merge_sums<T>, &weigh_sums<T>, &scale_sums<T>, &statistics_of<T>,
     &statistics_from<T, T>, &statistics_from<T, double>, &scale_of<T>, &gradient_means<T>, &update_running<T>,
     &add_gradients<T>},
};

#include <normkit/detail/simd/end.inl.hpp>
