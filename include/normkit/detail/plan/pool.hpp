#pragma once

#include <algorithm>

#include <normkit/detail/plan/reduce.hpp>

// Pools: groups that share a statistic, as the channels of a GroupNorm's group do within one sample. `Channels` says which
// they are. Where pools are groups of a view of their own (StatView::joined) they may be reduced as such. Else, and where
// each group's own sums are asked for, groups are reduced alone and then merged, from left to right. What is worked out for
// a pool is spread over its groups, which go on with parameters of their own.
namespace normkit::detail {

/// Pools that are done together: of `units` neighbouring units, or of one the `width` pools from `base` on.
struct PoolSet {
  Index base, units, width;  // base: the number of the first group
  Index pools() const noexcept { return units * width; }
};

/// Which of a set's pools the groups of a tile are of: `unit` groups of the next `width` pools, and so on.
struct Members {
  Index unit, width;

  template <class T>
  void spread(Index groups, const T* of_pools, T* out) const noexcept {
    if (unit == width) std::copy_n(of_pools, groups, out);
    for (Index g = 0; unit > width && g < groups; of_pools += width) {
      const Index end = groups - g < unit ? groups : g + unit;
      if (width == 1)
        for (const T of_pool = *of_pools; g < end;) out[g++] = of_pool;
      else
        for (; g < end; g += width) std::copy_n(of_pools, width, out + g);
    }
  }
};

/// The groups from a multiple of this on are `pool_width` pools.
inline Index pool_unit(const Channels& c) noexcept { return c.pooled == 1 ? 1 : c.pooled * c.run; }
inline Index pool_width(const Channels& c) noexcept { return c.pooled == 1 ? 1 : c.run; }

/// Whether tiles can be made of whole pools.
inline bool tiles_hold_pools(const StatView& view) noexcept {
  const Index unit = pool_unit(view.channels);
  return unit <= max_groups && view.kept % unit == 0;
}

/// A plan for groups, of whole pools where tiles can hold them.
inline Plan member_plan(const StatView& view) noexcept {
  return tiles_hold_pools(view) ? Plan(view, pool_unit(view.channels)) : Plan(view);
}

/// A plan for pools, where they are groups of a view. Short runs that do not follow each other in memory are walked across.
inline Plan joined_plan(const StatView& view) noexcept {
  const StatView joined = view.joined();
  const bool side_by_side = view.inner == 1 && joined.outer > 1 && joined.inner <= max_groups;
  return Plan(joined, side_by_side ? lanes : runs);
}

/// Calls each(tile, members, first of a pool's groups, how many) for the groups of a set in tiles, in order.
template <class Each>
void each_piece(const Plan& plan, const PoolSet& set, const Each& each) noexcept {
  const Channels& c = plan.view().channels;
  const Index unit = pool_unit(c), groups = set.units * unit;
  if (set.width == pool_width(c)) {
    const Tile whole = plan.groups_at(set.base, groups < max_groups ? groups : max_groups);
    if (whole.groups == groups) return each(whole, Members{unit, set.width}, Index(0), c.pooled);
  }
  const Index most = set.width == c.run ? max_groups / set.width : 1;
  for (Index m = 0, some = 0; m < c.pooled; m += some) {
    const Tile tile = plan.groups_at(set.base + m * c.run, (c.pooled - m < most ? c.pooled - m : most) * set.width);
    some = tile.groups / set.width;  // of neighbours in one slab
    each(tile, Members{max_groups, set.width}, m, some);
  }
}

/// All groups of a tile, each on its own.
template <Pools Op>
void reduce_groups(const Plan& plan, const Op& op, const Tile& tile, typename Op::Partial all) noexcept {
  for (Index g = 0; g < tile.groups; g += plan.part()) {
    const Index left = tile.groups - g;
    reduce_tile(plan, op, plan.groups_at(tile.first + g, left < plan.part() ? left : plan.part()), all.from(g));
  }
}

/// The pools of a set, from their groups.
template <Pools Op>
void reduce_set(const Plan& plan, const Op& op, const PoolSet& set, typename Op::Partial all) noexcept {
  PartialStore<typename Op::Partial> store;
  const Index count = plan.view().count(), pooled = plan.view().channels.pooled;
  const typename Op::Partial own = pooled == 1 ? all : store.view();
  each_piece(plan, set, [&](const Tile& tile, const Members& members, Index first, Index some) noexcept {
    reduce_groups(plan, op, tile, own);
    op.prepare(tile, own);
    if (pooled == 1) return;
    if constexpr (requires { op.merge_neighbours(set.units, some, own, all); })
      if (set.width == 1 && some == pooled) return op.merge_neighbours(set.units, some, own, all);
    for (Index unit = 0, pool = 0; pool < set.pools(); unit += members.unit, pool += set.width)
      for (Index m = 0; m < some; ++m) {
        const typename Op::Partial more = own.from(unit + m * set.width);
        if (first + m == 0)
          copy(set.width, more, all.from(pool));
        else
          op.merge(set.width, all.from(pool), (first + m) * count, more, count);
      }
  });
}

/// What follows when the pools of a set have been reduced; `plan` is of groups.
template <Pools Op>
void finish_set(const Plan& plan, const Op& op, const PoolSet& set, typename Op::Partial all, Index ahead) noexcept {
  typename Op::Shared shared;
  op.share(set, all, shared);
  each_piece(plan, set, [&](const Tile& tile, const Members& members, Index, Index) noexcept {
    typename Op::Coefficients coefficients;
    op.coefficients(tile, members, shared, coefficients);
    map_blocks(plan, op, tile, 0, plan.blocks(), coefficients, ahead);
  });
}

/// A tile of whole pools, of groups or of the joined view.
template <Pools Op>
void run_tile(const Plan& plan, const Op& op, const Tile& tile, Index ahead) noexcept {
  const Channels& c = op.groups().view().channels;
  const Index unit = pool_unit(c), most = unit < max_groups ? max_groups / unit : 1;
  PartialStore<typename Op::Partial> store;
  const typename Op::Partial all = store.view();
  if (plan.view().channels.count) {
    const PoolSet set{tile.first, tile.groups / unit, pool_width(c)};
    reduce_set(plan, op, set, all);
    return finish_set(plan, op, set, all, ahead);
  }
  reduce_tile(plan, op, tile, all);
  for (Index p = 0, units = 0; p < tile.groups; p += units) {
    const Index left = tile.groups - p, base = (tile.first + p) * unit;
    units = unit < max_groups ? op.groups().groups_at(base, (left < most ? left : most) * unit).groups / unit : 1;
    finish_set(op.groups(), op, {base, units, 1}, all.from(p), ahead);
  }
}

/// Tiles of whole pools, or where none holds a pool, sets of neighbouring pools. Both give the same bits.
template <Pools Op>
void run_by_pool(const Plan& plan, const Op& op, const Executor& execute) noexcept {
  if (!plan.view().channels.count || tiles_hold_pools(plan.view())) return run_by_tile(plan, op, execute);
  const Channels& c = plan.view().channels;
  const Index width = c.run < max_groups ? c.run : max_groups, parts = ceil_div(c.run, width);
  execute(plan.view().stats() / pool_unit(c) * parts, [&](Index number) noexcept {
    const Index first = number % parts * width, left = c.run - first;
    const PoolSet set{number / parts * pool_unit(c) + first, 1, left < width ? left : width};
    PartialStore<typename Op::Partial> store;
    reduce_set(plan, op, set, store.view());
    finish_set(plan, op, set, store.view(), 0);
    publish(op);
  });
}

/// Merges what each sample has left into one result for each channel; these stand first then.
template <class Partial, class Merge>
void fold_samples(const StatView& view, Partial all, const Merge& merge) noexcept {
  const Channels& c = view.channels;
  const Index samples = view.stats() / c.count;
  if (c.run == 1) {
    for (Index s = 1; s < samples; ++s) merge(c.count, all, s, all.from(s * c.count));
    return;
  }
  for (Index channel = 0; channel < c.count; ++channel) {
    const Partial into = all.from(channel * c.run);
    for (Index s = 1; s < samples; ++s) merge(1, into, s, into.from(s));
    copy(1, into, all.from(channel));
  }
}

}  // namespace normkit::detail
