// The kernels and the larger functions of run.hpp, for one type S of tensors and with one prefix: `extern template` where they are used,
// `template` where they are made. NORMKIT_INSTANCE is the prefix, NORMKIT_S is S; both end with this file.

namespace normkit::detail {

NORMKIT_INSTANCE const Kernels<NORMKIT_S>& kernels<NORMKIT_S>(Isa) noexcept;
NORMKIT_INSTANCE std::size_t forward_bytes<NORMKIT_S>(const StatView&, bool) noexcept;
NORMKIT_INSTANCE std::size_t backward_bytes<NORMKIT_S>(const StatView&, bool) noexcept;
NORMKIT_INSTANCE void forward_by_batch<NORMKIT_S>(const Executor&, const ForwardCall<NORMKIT_S>&, std::byte*) noexcept;
NORMKIT_INSTANCE void forward_of_sum<NORMKIT_S>(const Executor&, const ForwardCall<NORMKIT_S>&,
                                                const Addends<NORMKIT_S>&, std::byte*) noexcept;
NORMKIT_INSTANCE void forward_by_given<NORMKIT_S, Arithmetic<NORMKIT_S>>(const Executor&, const StatView&,
                                                                         const Affine<Arithmetic<NORMKIT_S>>&, double,
                                                                         const Arithmetic<NORMKIT_S>*,
                                                                         const Arithmetic<NORMKIT_S>*, const NORMKIT_S*,
                                                                         NORMKIT_S*) noexcept;
NORMKIT_INSTANCE void measure_moments<NORMKIT_S, double>(const Executor&, const StatView&, const NORMKIT_S*, double*,
                                                         double*, std::byte*) noexcept;
NORMKIT_INSTANCE void backward_by_batch<NORMKIT_S>(const Executor&, const BackwardCall<NORMKIT_S>&,
                                                   std::byte*) noexcept;
NORMKIT_INSTANCE void backward_by_given<NORMKIT_S>(const Executor&, const BackwardCall<NORMKIT_S>&,
                                                   std::byte*) noexcept;

}  // namespace normkit::detail

#undef NORMKIT_S
#undef NORMKIT_INSTANCE
