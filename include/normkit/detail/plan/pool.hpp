#pragma once

#include <normkit/detail/plan/reduce.hpp>

// Groups that share a statistic, as the channels of a GroupNorm's group do within one sample. Each is reduced on its own,
// since each has its own parameters; then those of a pool are merged from left to right, and all of them go on with what
// came out. `Channels` says which they are.
namespace normkit::detail {

/// The groups from a multiple of this on are `run` pools.
inline Index pool_unit(const Channels& c) noexcept { return c.pooled * c.run; }

/// Whether tiles can be made of whole pools.
inline bool tiles_hold_pools(const StatView& view) noexcept {
  const Index unit = pool_unit(view.channels);
  return unit <= max_groups && view.kept % unit == 0;
}

/// A plan for it.
inline Plan pool_plan(const StatView& view) noexcept {
  return tiles_hold_pools(view) ? Plan(view, pool_unit(view.channels)) : Plan(view);
}

/// All groups of a tile, each on its own.
template <Pools Op>
void reduce_groups(const Plan& plan, const Op& op, const Tile& tile, typename Op::Partial all) noexcept {
  for (Index g = 0; g < tile.groups; g += plan.part()) {
    const Index left = tile.groups - g;
    reduce_tile(plan, op, plan.groups_at(tile.first + g, left < plan.part() ? left : plan.part()), all.from(g));
  }
  op.prepare(tile, all);
}

/// All pools of a tile of whole ones.
template <Pools Op>
void pool_tile(const Plan& plan, const Op& op, const Tile& tile, typename Op::Partial all) noexcept {
  const Channels& c = plan.view().channels;
  const Index count = plan.view().count();
  reduce_groups(plan, op, tile, all);
  if (c.pooled == 1) return;
  for (Index base = 0; base < tile.groups; base += pool_unit(c)) {
    const typename Op::Partial into = all.from(base);
    for (Index m = 1; m < c.pooled; ++m) op.merge(c.run, into, m * count, into.from(m * c.run), count);
    for (Index m = 1; m < c.pooled; ++m) copy(c.run, into, into.from(m * c.run));
  }
}

/// Neighbouring pools that no tile holds, `width` of them from group `base` on: reduced in pieces, then mapped in pieces.
template <Pools Op>
void run_pools(const Plan& plan, const Op& op, Index base, Index width) noexcept {
  using Partial = typename Op::Partial;
  const Channels& c = plan.view().channels;
  const Index count = plan.view().count(), members = width == c.run ? max_groups / width : 1;
  const auto piece = [&](Index member) noexcept {
    const Index left = c.pooled - member;
    return plan.groups_at(base + member * c.run, (left < members ? left : members) * width);
  };
  PartialStore<Partial> all_store, piece_store;
  const Partial all = all_store.view(), some = piece_store.view();
  for (Index m = 0; m < c.pooled;) {
    const Tile tile = piece(m);
    reduce_groups(plan, op, tile, some);
    for (Index g = 0; g < tile.groups; g += width, ++m) {
      if (m == 0)
        copy(width, some, all);
      else
        op.merge(width, all, m * count, some.from(g), count);
    }
  }
  for (Index m = 0; m < c.pooled;) {
    const Tile tile = piece(m);
    for (Index g = 0; g < tile.groups; g += width, ++m) copy(width, all, some.from(g));
    finish_tile(plan, op, tile, some, 0);
  }
}

/// Tiles of whole pools, or where none holds a pool, pool by pool. Both give the same bits.
template <Pools Op>
void run_by_pool(const Plan& plan, const Op& op, const Executor& execute) noexcept {
  const StatView& view = plan.view();
  if (tiles_hold_pools(view)) return run_by_tile(plan, op, execute);
  const Index run = view.channels.run, unit = pool_unit(view.channels);
  const Index width = run < max_groups ? run : max_groups, parts = ceil_div(run, width);
  execute(view.stats() / unit * parts, [&](Index number) noexcept {
    const Index first = number % parts * width, left = run - first;
    run_pools(plan, op, number / parts * unit + first, left < width ? left : width);
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
