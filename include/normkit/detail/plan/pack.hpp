#pragma once

#include <algorithm>

#include <normkit/detail/plan/run.hpp>
#include <normkit/detail/view/valid.hpp>

namespace normkit::detail {

/// `body` of each piece of memory whose elements are valid: where it begins in the tensor and packed, and its length.
template <class Body>
void each_piece(const Executor& execute, const ValidPositions& valid, const Body& body) noexcept {
  constexpr Index runs_per_task = 64;
  if (valid.channels_last()) {
    execute((valid.run_count + runs_per_task - 1) / runs_per_task, [&](Index task) noexcept {
      for (Index r = task * runs_per_task; r < std::min(valid.run_count, (task + 1) * runs_per_task); ++r)
        body(valid.place(valid.runs[r], 0), valid.packed_place(valid.runs[r], 0),
             valid.runs[r].count * valid.view.kept);
    });
  } else {
    execute(valid.view.kept, [&](Index channel) noexcept {
      for (Index r = 0; r < valid.run_count; ++r)
        body(valid.place(valid.runs[r], channel), valid.packed_place(valid.runs[r], channel), valid.runs[r].count);
    });
  }
}

/// The most that forward_bytes and backward_bytes can be of the packed view, whatever is valid.
template <Stored S>
std::size_t packed_bytes(const StatView& view) noexcept {
  using T = Arithmetic<S>;
  if (view.size() <= Cut::chunk_elements) return 0;  // one chunk
  return static_cast<std::size_t>(Plan::max_chunks) *
         std::max(PartialStore<Moments<T>>::bytes(view.kept), PartialStore<GradientSums<T>>::bytes(view.kept));
}

template <class S>
void pack(const Executor& execute, const ValidPositions& valid, const S* x, S* packed) noexcept {
  each_piece(execute, valid, [&](Index place, Index packed_place, Index length) noexcept {
    std::copy_n(x + place, length, packed + packed_place);
  });
}

/// What is not valid becomes zero.
template <class S>
void unpack(const Executor& execute, const ValidPositions& valid, const S* packed, S* y) noexcept {
  constexpr Index part = 65536;
  const Index size = valid.view.size();
  execute((size + part - 1) / part,
          [&](Index task) noexcept { std::fill_n(y + task * part, std::min(part, size - task * part), S{}); });
  each_piece(execute, valid, [&](Index place, Index packed_place, Index length) noexcept {
    std::copy_n(packed + packed_place, length, y + place);
  });
}

}  // namespace normkit::detail
