#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include <normkit/detail/kernel/relu.hpp>
#include <normkit/detail/simd/isa.hpp>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

// The kernels, compiled once for each instruction set: the same text in a namespace of its own and inside a region in
// which the compiler may use that set. So a program built with plain -O2 runs the widest set that its CPU has.
// g++ turns contraction off by the region's pragma, clang by one in each function (NORMKIT_EXACT). clang 14 says by no macro
// that -fassociative-math or -freciprocal-math is set, so that scalar.hpp cannot refuse them: there they are turned off.
#if defined(__clang__) && defined(__x86_64__)
#pragma float_control(precise, on, push)
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
namespace normkit::detail::scalar {
// clang-format off
#define NORMKIT_PACK_BYTES 0
#include <normkit/detail/simd/begin.inl.hpp>
#include <normkit/detail/simd/convert.inl.hpp>
#include <normkit/detail/simd/wide.inl.hpp>
#include <normkit/detail/simd/range.inl.hpp>
#include <normkit/detail/simd/shifted.inl.hpp>
#include <normkit/detail/simd/groups.inl.hpp>
#include <normkit/detail/kernel/chan.inl.hpp>
#include <normkit/detail/kernel/careful.inl.hpp>
#include <normkit/detail/kernel/careful_gradients.inl.hpp>
#include <normkit/detail/kernel/statistics.inl.hpp>
#include <normkit/detail/kernel/one_by_one.inl.hpp>
#include <normkit/detail/kernel/results.inl.hpp>
#include <normkit/detail/kernel/direction.inl.hpp>
#include <normkit/detail/kernel/from_output.inl.hpp>
#include <normkit/detail/kernel/ragged.inl.hpp>
#include <normkit/detail/simd/end.inl.hpp>
#undef NORMKIT_PACK_BYTES
// clang-format on
}  // namespace normkit::detail::scalar
#define NORMKIT_PACK_BYTES 16
namespace normkit::detail::baseline {
#include <normkit/detail/kernel/all.inl.hpp>
}
#undef NORMKIT_PACK_BYTES
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,f16c")
#pragma GCC optimize("fp-contract=off")
#endif
#define NORMKIT_PACK_BYTES 32
#define NORMKIT_TARGET_AVX2 1
namespace normkit::detail::avx2 {
#include <normkit/detail/kernel/all.inl.hpp>
}
#undef NORMKIT_TARGET_AVX2
#undef NORMKIT_PACK_BYTES
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq")
#pragma GCC optimize("fp-contract=off")
#endif
#define NORMKIT_PACK_BYTES 64
#define NORMKIT_TARGET_AVX512 1
namespace normkit::detail::avx512 {
#include <normkit/detail/kernel/all.inl.hpp>
}
#undef NORMKIT_TARGET_AVX512
#undef NORMKIT_PACK_BYTES
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#if defined(__clang__) && defined(__x86_64__)
#pragma float_control(pop)
#endif

namespace normkit::detail {

/// A table of an instruction set, which the CPU must have.
template <class Table>
const Table& table_of([[maybe_unused]] Isa isa) noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  switch (isa) {
    case Isa::avx512:
      return avx512::table<Table>;
    case Isa::avx2:
      return avx2::table<Table>;
    case Isa::baseline:
      break;
  }
#endif
  return baseline::table<Table>;
}

/// The kernels of an instruction set, or of the one in use.
template <Stored S>
const Kernels<S>& kernels(Isa isa) noexcept {
  return table_of<Kernels<S>>(isa);
}
template <Stored S>
const Kernels<S>& kernels() noexcept {
  return kernels<S>(active_isa());
}
/// Those with a ReLU.
template <Stored S>
const ReluKernels<S>& relu_kernels() noexcept {
  return table_of<ReluKernels<S>>(active_isa());
}

}  // namespace normkit::detail
