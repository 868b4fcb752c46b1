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
  return normkit::detail::wide64::kernels<T>;
}
template <class T>
const normkit::detail::Kernels<T>& arrays() {
  return normkit::detail::arrays::kernels<T>;
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

}  // namespace kernel_sets
