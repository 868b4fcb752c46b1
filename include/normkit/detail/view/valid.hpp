#pragma once

#include <normkit/detail/view/stat_view.hpp>

namespace normkit::detail {

/// Valid positions that are next to each other: `count` from the number `from` on, with `before` valid ones before them.
/// Positions are the elements of one channel in the order of memory, in which a mask without the channels' axis has them too.
struct Run {
  Index from, count, before;
};

/// The most runs that there can be: every other position, and one in each inner axis.
inline Index most_runs(const StatView& view) noexcept { return (view.inner + 1) / 2 * view.outer; }

/// The valid positions of a view with one slab. Packed, its valid elements are a view of their own: channel after channel, or of
/// channels last, position after position.
struct ValidPositions {
  StatView view;
  Run* runs;
  Index run_count = 0, total = 0;

  /// `room` is for most_runs(view). No run goes beyond the end of an inner axis.
  template <class IsValid>
  ValidPositions(const StatView& of, Run* room, const IsValid& is_valid) noexcept : view(of), runs(room) {
    bool goes_on = false;
    for (Index position = 0; position < view.count(); ++position) {
      const bool valid = is_valid(position);
      if (valid && goes_on && (view.inner == 1 || position % view.inner != 0))
        ++runs[run_count - 1].count;
      else if (valid)
        runs[run_count++] = {position, 1, total};
      goes_on = valid;
      total += valid;
    }
  }

  bool channels_last() const noexcept { return view.inner == 1; }
  StatView packed() const noexcept {
    return (channels_last() ? StatView{1, total, view.kept, 1} : StatView{1, 1, view.kept, total}).canonical();
  }
  /// Where the run begins, in the tensor and packed.
  Index place(const Run& run, Index channel) const noexcept {
    return ((run.from / view.inner) * view.kept + channel) * view.inner + run.from % view.inner;
  }
  Index packed_place(const Run& run, Index channel) const noexcept {
    return channels_last() ? run.before * view.kept + channel : channel * total + run.before;
  }
};

}  // namespace normkit::detail
