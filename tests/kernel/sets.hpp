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
  const normkit::detail::ReluKernels<T>* relu;
};

/// Two forms that no machine needs, to test what it cannot run otherwise: registers of 64 bytes on any CPU, which is the
/// arithmetic of AVX-512 without its instructions, and plain arrays, which is what compilers without vector extensions
/// get. They are compiled in sets.cpp, once for all tests.
template <class Table>
const Table& wide64();
template <class Table>
const Table& arrays();

/// The baseline comes first: the others must give its bits.
template <class T>
std::vector<Set<T>> all() {
  using normkit::Isa;
  using Plain = normkit::detail::Kernels<T>;
  using Relu = normkit::detail::ReluKernels<T>;
  std::vector<Set<T>> sets;
  const auto add = [&](Isa isa, const char* name) {
    if (normkit::detail::detected_isa() >= isa)
      sets.push_back({name, &normkit::detail::table_of<Plain>(isa), &normkit::detail::table_of<Relu>(isa)});
  };
  add(Isa::baseline, "baseline");
  add(Isa::avx2, "avx2");
  add(Isa::avx512, "avx512");
  sets.push_back({"64 bytes", &wide64<Plain>(), &wide64<Relu>()});
  sets.push_back({"arrays", &arrays<Plain>(), &arrays<Relu>()});
  return sets;
}

}  // namespace kernel_sets
