// Which statistic and which parameter belong to each element of a tensor: all that the oracle knows of shapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace reference {

using Extents = std::vector<std::int64_t>;
using Indices = std::vector<std::size_t>;

std::size_t product(const Extents& extents);

/// The extents that `chosen` marks, in their order.
Extents select(const Extents& extents, const std::vector<bool>& chosen);

/// For each element, in row-major order, its row-major index among the axes that `chosen` marks alone.
Indices index_over(const Extents& extents, const std::vector<bool>& chosen);

/// Element i takes the statistic group[i] of `groups`, each over `count` elements, and the parameter param[i] of
/// `params`.
struct Grouping {
  Indices group, param;
  std::size_t groups, params, count;
};

/// BatchNorm: the statistics run over every axis but the channel's; a parameter for each channel.
Grouping per_channel(const Extents& extents, std::size_t channel_axis);

/// GroupNorm, and with as many groups as channels InstanceNorm: the statistics run over the channels of a group and every axis
/// but the first, the samples'; a parameter for each channel.
Grouping per_channel_group(const Extents& extents, std::size_t channel_axis, std::size_t groups);

/// LayerNorm: the statistics run over the marked axes; a parameter for each position on them.
Grouping per_token(const Extents& extents, const std::vector<bool>& reduced);

/// LayerNorm over `axes` neighbouring axes from `first` on.
Grouping per_token(const Extents& extents, std::size_t first, std::size_t axes);

}  // namespace reference
