// Every form of the kernels that this machine can run, for tests that compare them.
#pragma once

#include <normkit/detail/kernel/kernels.hpp>
#include <string>
#include <vector>

// Two forms that no machine needs, to test what it cannot run otherwise: registers of 64 bytes on any CPU, which is the
// arithmetic of AVX-512 without its instructions, and plain arrays, which is what compilers without vector extensions
// get.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("O1,fp-contract=off")  // their speed does not matter, the time to compile them does
#endif
#define NORMKIT_PACK_BYTES 64
namespace normkit::detail::wide64 {
#include <normkit/detail/kernel/all.inl.hpp>
}
#define NORMKIT_PLAIN_ARRAYS
namespace normkit::detail::arrays {
#include <normkit/detail/kernel/all.inl.hpp>
}
#undef NORMKIT_PLAIN_ARRAYS
#undef NORMKIT_PACK_BYTES
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

namespace kernel_sets {

template <class T>
struct Set {
  std::string name;
  const normkit::detail::Kernels<T>* kernels;
};

/// The baseline comes first: the others must give its bits.
template <class T>
std::vector<Set<T>> all() {
  namespace d = normkit::detail;
  std::vector<Set<T>> sets{{"baseline", &d::baseline::kernels<T>}};
#if defined(__x86_64__)
  if (d::detected_isa() >= normkit::Isa::avx2) sets.push_back({"avx2", &d::avx2::kernels<T>});
  if (d::detected_isa() >= normkit::Isa::avx512) sets.push_back({"avx512", &d::avx512::kernels<T>});
#endif
  sets.push_back({"64 bytes", &d::wide64::kernels<T>});
  sets.push_back({"arrays", &d::arrays::kernels<T>});
  return sets;
}

}  // namespace kernel_sets
