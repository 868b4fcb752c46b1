#include "reference/grouping.hpp"

namespace reference {

std::size_t product(const Extents& extents) {
  std::size_t result = 1;
  for (const std::int64_t extent : extents) result *= static_cast<std::size_t>(extent);
  return result;
}

Extents select(const Extents& extents, const std::vector<bool>& chosen) {
  Extents result;
  for (std::size_t axis = 0; axis < extents.size(); ++axis)
    if (chosen[axis]) result.push_back(extents[axis]);
  return result;
}

Indices index_over(const Extents& extents, const std::vector<bool>& chosen) {
  Indices result(product(extents));
  Extents at(extents.size(), 0);
  for (std::size_t& index : result) {
    index = 0;
    for (std::size_t axis = 0; axis < extents.size(); ++axis)
      if (chosen[axis]) index = index * static_cast<std::size_t>(extents[axis]) + static_cast<std::size_t>(at[axis]);
    for (std::size_t axis = extents.size(); axis-- > 0;) {  // the next element: the last axis counts fastest
      if (++at[axis] < extents[axis]) break;
      at[axis] = 0;
    }
  }
  return result;
}

Grouping per_channel(const Extents& extents, std::size_t channel_axis) {
  std::vector<bool> channel(extents.size(), false);
  channel[channel_axis] = true;
  const Indices group = index_over(extents, channel);
  const std::size_t channels = product(select(extents, channel));
  return {group, group, channels, channels, channels == 0 ? 0 : group.size() / channels};
}

Grouping per_channel_group(const Extents& extents, std::size_t channel_axis, std::size_t groups) {
  std::vector<bool> sample(extents.size(), false), channel(extents.size(), false);
  sample[0] = channel[channel_axis] = true;
  const Indices of_sample = index_over(extents, sample), param = index_over(extents, channel);
  const auto channels = static_cast<std::size_t>(extents[channel_axis]), samples = static_cast<std::size_t>(extents[0]);
  Indices group(param.size());
  for (std::size_t i = 0; i < group.size(); ++i) group[i] = of_sample[i] * groups + param[i] / (channels / groups);
  return {group, param, samples * groups, channels, samples == 0 ? 0 : group.size() / (samples * groups)};
}

Grouping per_token(const Extents& extents, const std::vector<bool>& reduced) {
  std::vector<bool> kept = reduced;
  kept.flip();
  return {index_over(extents, kept), index_over(extents, reduced), product(select(extents, kept)),
          product(select(extents, reduced)), product(select(extents, reduced))};
}

Grouping per_token(const Extents& extents, std::size_t first, std::size_t axes) {
  std::vector<bool> reduced(extents.size(), false);
  for (std::size_t axis = first; axis < first + axes; ++axis) reduced[axis] = true;
  return per_token(extents, reduced);
}

}  // namespace reference
