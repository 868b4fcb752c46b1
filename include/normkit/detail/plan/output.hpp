#pragma once

#include <bit>
#include <cstdint>

#include <normkit/detail/kernel/relu.hpp>
#include <normkit/detail/plan/plan.hpp>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace normkit::detail {

/// Outputs of this many bytes are streamed. With x they fit a last-level cache of 32 MB, yet on Zen 3 (32 MB) and beside
/// others that use it, streaming 12.8 MB took 0.5 to 0.8 times as long as not.
inline constexpr Index streamed_bytes = Index{8} << 20;

/// How an output is written: past the caches if it is large, and neither absent, nor in place of an input, which is in them
/// already, nor of short runs, nor misaligned. It decides nothing but speed.
template <Stored S, class... Inputs>
Output output_of(const Cut& cut, const S* out, const Inputs*... inputs) noexcept {
  constexpr Index size = sizeof(S);
  const Index shortest_run = cut.walk() == runs ? 1024 : 256;  // rows of 512 bytes took 1.5 times as long streamed
  const bool is_aligned = std::bit_cast<std::uintptr_t>(out) % sizeof(S) == 0;
  const bool streams =
      out && cut.view().size() * size >= streamed_bytes && cut.run() * size >= shortest_run && is_aligned;
  if (cut.view().size() <= Plan::cached_elements) return Output::cached;
  return streams && ((out != inputs) && ...) ? Output::streamed : Output::prefetched;
}

/// The same of what a kernel reads and writes: pointers, or with a ReLU Masked and Rectified. Two outputs are streamed where they
/// are aligned alike.
template <Stored S, class... Inputs>
Output output_for(const Cut& cut, const S* x, S* y, const Inputs*... inputs) noexcept {
  return output_of(cut, y, x, inputs...);
}
template <Stored S>
Output output_for(const Cut& cut, const S* x, const Rectified<S>& y) noexcept {
  return output_of(cut, y.values, x, y.added);
}
template <Stored S, class... Inputs>
Output output_for(const Cut& cut, const Masked<S>& dy, S* dx, const Inputs*... inputs) noexcept {
  const Output output = output_of(cut, dx, dy.values, inputs...);
  const auto line_place = [](const S* at) { return std::bit_cast<std::uintptr_t>(at) % 64; };
  const bool both_stream = !dy.passed || (line_place(dy.passed) == line_place(dx) &&
                                          output_of(cut, dy.passed, dy.values, inputs...) == Output::streamed);
  return output == Output::streamed && !both_stream ? Output::prefetched : output;
}

/// What was streamed can be seen by other threads from here on.
inline void store_fence() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  _mm_sfence();
#endif
}

}  // namespace normkit::detail
