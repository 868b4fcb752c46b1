#include "kernel/sets.hpp"

#define NORMKIT_PLAIN_CALLS
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
#undef NORMKIT_PLAIN_CALLS

namespace kernel_sets {

template <class Table>
const Table& wide64() {
  return normkit::detail::wide64::table<Table>;
}
template <class Table>
const Table& arrays() {
  return normkit::detail::arrays::table<Table>;
}

using normkit::detail::BFloat16, normkit::detail::Half, normkit::detail::Kernels, normkit::detail::ReluKernels;
template const Kernels<float>& wide64<Kernels<float>>();
template const Kernels<float>& arrays<Kernels<float>>();
template const Kernels<double>& wide64<Kernels<double>>();
template const Kernels<double>& arrays<Kernels<double>>();
template const Kernels<Half>& wide64<Kernels<Half>>();
template const Kernels<Half>& arrays<Kernels<Half>>();
template const Kernels<BFloat16>& wide64<Kernels<BFloat16>>();
template const Kernels<BFloat16>& arrays<Kernels<BFloat16>>();
template const ReluKernels<float>& wide64<ReluKernels<float>>();
template const ReluKernels<float>& arrays<ReluKernels<float>>();
template const ReluKernels<double>& wide64<ReluKernels<double>>();
template const ReluKernels<double>& arrays<ReluKernels<double>>();
template const ReluKernels<Half>& wide64<ReluKernels<Half>>();
template const ReluKernels<Half>& arrays<ReluKernels<Half>>();
template const ReluKernels<BFloat16>& wide64<ReluKernels<BFloat16>>();
template const ReluKernels<BFloat16>& arrays<ReluKernels<BFloat16>>();

}  // namespace kernel_sets
