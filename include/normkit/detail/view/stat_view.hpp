#pragma once

#include <algorithm>

#include <normkit/detail/view/shape.hpp>

namespace normkit::detail {

/// Of a view whose statistics are of one channel in one sample each: how the channels go, and how many of them share.
/// Statistic j is of the channel j / run % count. Of each sample, `pooled` neighbouring channels are one group (GroupNorm),
/// and stand `run` apart. A count of 0 says that statistics are no such thing.
struct Channels {
  Index count = 0, run = 1, pooled = 1;

  /// Of `groups` statistics from `first` on, what their channels have: where it stands, or a copy in `room`.
  template <class T>
  const T* of(const T* values, Index first, Index groups, T* room) const noexcept {
    Index channel = first / run % count, left = run - first % run;
    if (run == 1 && groups <= count - channel) return values + channel;
    for (Index g = 0, some = 0; g < groups; g += some) {
      some = std::min(groups - g, run == 1 ? count - channel : left);
      if (run == 1)
        std::copy_n(values + channel, some, room + g);
      else
        std::fill_n(room + g, some, values[channel]);
      channel = run == 1 || channel + 1 == count ? 0 : channel + 1;
      left = run;
    }
    return room;
  }
  friend bool operator==(const Channels&, const Channels&) = default;
};

/// The one abstraction of the library: which axes are reduced, in memory order, slow to fast. `outer` and `inner` are
/// reduced, and there is one statistic for each (slab, kept). The element (s, o, k, i) lies at
///     ((s * outer + o) * kept + k) * inner + i   and belongs to statistic   s * kept + k.
struct StatView {
  Index slabs = 1, outer = 1, kept = 1, inner = 1;
  Channels channels = {};

  Index stats() const noexcept { return slabs * kept; }
  Index count() const noexcept { return outer * inner; }  // elements of each statistic
  Index size() const noexcept { return stats() * count(); }
  Index pool_count() const noexcept { return count() * channels.pooled; }  // elements that share, over all channels

  /// Canonical form: fewer, longer axes that mean the same.
  StatView canonical() const noexcept {
    StatView v = *this;
    if (v.kept == 1) v.inner *= v.outer, v.outer = 1;
    if (v.outer == 1) v.kept *= v.slabs, v.slabs = 1;
    return v;
  }

  /// Whether some groups share and stand side by side: then `joined` exists.
  bool joins() const noexcept { return channels.run == 1 && channels.pooled > 1; }
  /// The view whose groups are those, each with all that they have.
  StatView joined() const noexcept {
    return StatView{slabs, outer, kept / channels.pooled, channels.pooled * inner}.canonical();
  }

  /// The view of one statistic for each channel, over all samples.
  StatView by_channel() const noexcept {
    const Channels& c = channels;
    if (c.run == 1) return StatView{1, stats() / c.count * outer, c.count, inner}.canonical();
    return (slabs == 1 ? StatView{1, outer, c.count, c.run} : StatView{1, 1, c.count, outer * c.run}).canonical();
  }

  /// The view whose reduced axes are this one's kept ones: the gradients of per-element parameters are sums over it.
  /// Its statistic j is the element j of this view's groups, and its element j belongs to this view's statistic j.
  /// Exists where the result has no more than four alternating axes: slabs == 1 or inner == 1.
  StatView dual() const noexcept {
    return (inner == 1 ? StatView{1, slabs, outer, kept} : StatView{outer, kept, inner, 1}).canonical();
  }

  friend bool operator==(const StatView&, const StatView&) = default;
};

/// The view of a tensor some of whose axes are reduced (`reduced[axis]`, logical order), or nothing where kept and
/// reduced axes alternate more often than the view has room for.
inline std::optional<StatView> make_view(const Shape& shape, std::span<const bool> reduced) noexcept {
  Index extents[4] = {1, 1, 1, 1};  // inner, kept, outer, slabs: reduced at even places
  int at = 0;
  for (Index place = shape.rank - 1; place >= 0; --place) {
    const Index axis = shape.place(place);  // its own inverse
    if (shape[axis] == 1) continue;
    if (reduced[static_cast<std::size_t>(axis)] != (at % 2 == 0)) ++at;
    if (at == 4) return std::nullopt;
    extents[at] *= shape[axis];
  }
  return StatView{extents[3], extents[2], extents[1], extents[0]}.canonical();
}

/// The view of each channel in each sample: axis 0 and `axis`, which is 1 or the last, are kept. Groups of `pooled` channels
/// share.
inline StatView make_channel_view(const Shape& shape, Index axis, Index pooled) noexcept {
  std::array<bool, max_rank> reduced{};
  for (Index a = 1; a < shape.rank; ++a) reduced[static_cast<std::size_t>(a)] = a != axis;
  StatView view = *make_view(shape, reduced);
  view.channels = {shape[axis], shape.row_major ? 1 : shape[0], pooled};
  return view;
}

/// The view that reduces the axes [first, first + axes), or with `complement` all others.
inline std::optional<StatView> make_view(const Shape& shape, Index first, Index axes, bool complement) noexcept {
  std::array<bool, max_rank> reduced{};
  for (Index axis = 0; axis < shape.rank; ++axis)
    reduced[static_cast<std::size_t>(axis)] = (axis >= first && axis < first + axes) != complement;
  return make_view(shape, reduced);
}

}  // namespace normkit::detail
