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

template <class T>
const normkit::detail::Kernels<T>& wide64() {
  return normkit::detail::wide64::table<normkit::detail::Kernels<T>>;
}
template <class T>
const normkit::detail::Kernels<T>& arrays() {
  return normkit::detail::arrays::table<normkit::detail::Kernels<T>>;
}
template <class T>
std::vector<const normkit::detail::ReluKernels<T>*> relu_kernels() {
  using normkit::Isa;
  using Table = normkit::detail::ReluKernels<T>;
  std::vector<const Table*> tables;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (normkit::detail::detected_isa() >= isa) tables.push_back(&normkit::detail::table_of<Table>(isa));
  tables.push_back(&normkit::detail::wide64::table<Table>);
  tables.push_back(&normkit::detail::arrays::table<Table>);
  return tables;
}

template const normkit::detail::Kernels<float>& wide64<float>();
template const normkit::detail::Kernels<double>& wide64<double>();
template const normkit::detail::Kernels<float>& arrays<float>();
template const normkit::detail::Kernels<double>& arrays<double>();
using normkit::detail::BFloat16, normkit::detail::Half;
template const normkit::detail::Kernels<Half>& wide64<Half>();
template const normkit::detail::Kernels<BFloat16>& wide64<BFloat16>();
template const normkit::detail::Kernels<Half>& arrays<Half>();
template const normkit::detail::Kernels<BFloat16>& arrays<BFloat16>();
template std::vector<const normkit::detail::ReluKernels<float>*> relu_kernels<float>();
template std::vector<const normkit::detail::ReluKernels<double>*> relu_kernels<double>();

}  // namespace kernel_sets
