// The kernels and the functions of run.hpp, for one type T and with one prefix: `extern template` where they are used,
// `template` where they are made. NORMKIT_INSTANCE is the prefix, NORMKIT_T is T; both end with this file.

namespace normkit::detail {

NORMKIT_INSTANCE const Kernels<NORMKIT_T>& kernels<NORMKIT_T>(Isa) noexcept;
NORMKIT_INSTANCE std::size_t forward_bytes<NORMKIT_T>(const StatView&) noexcept;
NORMKIT_INSTANCE std::size_t backward_bytes<NORMKIT_T>(const StatView&, bool) noexcept;
NORMKIT_INSTANCE void forward_by_batch<NORMKIT_T>(const Executor&, const ForwardCall<NORMKIT_T>&, std::byte*) noexcept;
NORMKIT_INSTANCE void forward_by_given<NORMKIT_T, NORMKIT_T>(const Executor&, const StatView&, const Affine<NORMKIT_T>&,
                                                             double, const NORMKIT_T*, const NORMKIT_T*,
                                                             const NORMKIT_T*, NORMKIT_T*) noexcept;
NORMKIT_INSTANCE void keep_given<NORMKIT_T, NORMKIT_T>(Index, const NORMKIT_T*, const NORMKIT_T*, double,
                                                       const Statistics<NORMKIT_T>&) noexcept;
NORMKIT_INSTANCE void measure_moments<NORMKIT_T, NORMKIT_T>(const Executor&, const StatView&, const NORMKIT_T*,
                                                            NORMKIT_T*, NORMKIT_T*, std::byte*) noexcept;
NORMKIT_INSTANCE void backward_by_batch<NORMKIT_T>(const Executor&, const BackwardCall<NORMKIT_T>&,
                                                   std::byte*) noexcept;
NORMKIT_INSTANCE void backward_by_given<NORMKIT_T>(const Executor&, const BackwardCall<NORMKIT_T>&,
                                                   std::byte*) noexcept;

}  // namespace normkit::detail

#undef NORMKIT_T
#undef NORMKIT_INSTANCE
