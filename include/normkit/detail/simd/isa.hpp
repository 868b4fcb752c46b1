#pragma once

#include <atomic>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#endif

namespace normkit {

/// The instruction sets that kernels are compiled for. `baseline` is what the compiler was told to assume of every CPU:
/// SSE2 on x86-64, NEON on AArch64.
enum class Isa : int { baseline = 0, avx2 = 1, avx512 = 2 };

namespace detail {

#if defined(__x86_64__) && defined(__GNUC__)
/// Conversion from and to binary16, in every CPU with AVX2 so far; clang 14 cannot ask for it by name.
inline bool has_f16c() noexcept {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}
#endif

/// The widest set that both this CPU and its operating system support.
inline Isa detect_isa() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !has_f16c()) return Isa::baseline;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  return avx512 ? Isa::avx512 : Isa::avx2;
#else
  return Isa::baseline;
#endif
}

inline Isa detected_isa() noexcept {
  static const Isa detected = detect_isa();
  return detected;
}

inline std::atomic<Isa> isa_cap{Isa::avx512};

}  // namespace detail

/// The instruction set that the next call will use. Results do not depend on it, only time does.
inline Isa active_isa() noexcept {
  const Isa cap = detail::isa_cap.load(std::memory_order_relaxed), widest = detail::detected_isa();
  return cap < widest ? cap : widest;
}

/// Caps the choice of instruction set for the whole process, for tests and for people who measure.
/// Returns the set that is now in use: the lesser of `cap` and what the CPU has.
/// Threads  may be called at any time; a call already under way finishes on the set it began with
inline Isa max_isa(Isa cap) noexcept {
  detail::isa_cap.store(cap, std::memory_order_relaxed);
  return active_isa();
}

}  // namespace normkit
