// Every form of the kernels that this machine can run, for tests that compare them.
#pragma once

#include <normkit/detail/plan/run.hpp>  // which says that the kernels are compiled elsewhere, once
#include <string>
#include <vector>

namespace kernel_sets {

template <class T>
struct Set {
  std::string name;
  const normkit::detail::Kernels<T>* kernels;
};

/// Two forms that no machine needs, to test what it cannot run otherwise: registers of 64 bytes on any CPU, which is the
/// arithmetic of AVX-512 without its instructions, and plain arrays, which is what compilers without vector extensions
/// get. They are compiled in sets.cpp, once for all tests.
template <class T>
const normkit::detail::Kernels<T>& wide64();
template <class T>
const normkit::detail::Kernels<T>& arrays();

/// The kernels with a ReLU of each set, in the order of `all`. Compiled in sets.cpp as well.
template <class T>
std::vector<const normkit::detail::ReluKernels<T>*> relu_kernels();

/// The baseline comes first: the others must give its bits.
template <class T>
std::vector<Set<T>> all() {
  using normkit::Isa;
  using normkit::detail::kernels;
  std::vector<Set<T>> sets{{"baseline", &kernels<T>(Isa::baseline)}};
  const Isa widest = normkit::detail::detected_isa();
  if (widest >= Isa::avx2) sets.push_back({"avx2", &kernels<T>(Isa::avx2)});
  if (widest >= Isa::avx512) sets.push_back({"avx512", &kernels<T>(Isa::avx512)});
  sets.push_back({"64 bytes", &wide64<T>()});
  sets.push_back({"arrays", &arrays<T>()});
  return sets;
}

}  // namespace kernel_sets
