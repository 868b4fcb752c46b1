// Everything that is compiled once for each instruction set, in order, and the table of it.

// Each file uses the ones before it.
// clang-format off
#include <normkit/detail/simd/begin.inl.hpp>
#include <normkit/detail/simd/pack.inl.hpp>
#include <normkit/detail/simd/partial.inl.hpp>
#include <normkit/detail/simd/lanes.inl.hpp>
#include <normkit/detail/simd/wide.inl.hpp>
#include <normkit/detail/kernel/moments.inl.hpp>
#include <normkit/detail/kernel/normalize.inl.hpp>
#include <normkit/detail/kernel/gradients.inl.hpp>
// clang-format on

template <class T>
inline constexpr Kernels<T> kernels{
    {&moments_runs<T>, &moments_lanes<T>},
    {{&normalize_runs<T, false, false>, &normalize_runs<T, true, false>, &normalize_runs<T, false, true>,
      &normalize_runs<T, true, true>},
     {&normalize_lanes<T, false, false>, &normalize_lanes<T, true, false>, &normalize_lanes<T, false, true>,
      &normalize_lanes<T, true, true>}},
    {{&sum_gradients_runs<T, SumKind::plain>, &sum_gradients_runs<T, SumKind::weighted>,
      &sum_gradients_runs<T, SumKind::dual>},
     {&sum_gradients_lanes<T, SumKind::plain>, &sum_gradients_lanes<T, SumKind::weighted>,
      &sum_gradients_lanes<T, SumKind::dual>}},
    {{&input_gradient_runs<T, false>, &input_gradient_runs<T, true>},
     {&input_gradient_lanes<T, false>, &input_gradient_lanes<T, true>}},
};

#include <normkit/detail/simd/end.inl.hpp>
