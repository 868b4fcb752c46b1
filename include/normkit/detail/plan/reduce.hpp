#pragma once

#include <normkit/detail/plan/executor.hpp>
#include <normkit/detail/plan/plan.hpp>
#include <normkit/detail/plan/workspace.hpp>

// The one algorithm of the library: reduce every group, then map its elements. An operation says what the steps are:
//   Partial                                   what reducing leaves of a group
//   reduce(tile, block, Partial out)          one block
//   merge(groups, into, count, other, more)   the partial results of `more` further elements
//   Coefficients, coefficients(tile, Partial, out)   from them, what mapping needs: no side effects
//   commit(tile, Partial, Coefficients)       side effects, once for each tile: statistics, gradients of parameters
//   map(tile, block, Coefficients)            the output of one block
// An operation without a reduction has no Partial, one without an output no map.
namespace normkit::detail {

template <class Op>
concept Reduces = requires {
  typename Op::Partial;
};

template <class Op>
concept Maps = requires(const Op& op, const Tile& tile, const TileBlock& block, const typename Op::Coefficients& c) {
  op.map(tile, block, c);
};

/// Blocks [begin, end) of a tile, merged from left to right. Returns the number of elements of each group.
template <Reduces Op>
Index reduce_blocks(const Plan& plan, const Op& op, const Tile& tile, Index begin, Index end,
                    typename Op::Partial into) noexcept {
  PartialStore<typename Op::Partial> store;
  Index count = 0;
  for (Index b = begin; b < end; ++b) {
    const TileBlock block = plan.block(tile, b);
    if (b == begin) {
      op.reduce(tile, block, into);
    } else {
      op.reduce(tile, block, store.view());
      op.merge(tile.groups, into, count, store.view(), block.block.elements());
    }
    count += block.block.elements();
  }
  return count;
}

/// All chunks of a tile, each reduced on its own and then merged from left to right: the same tree as when threads
/// share the chunks.
template <Reduces Op>
void reduce_tile(const Plan& plan, const Op& op, const Tile& tile, typename Op::Partial into) noexcept {
  Index count = reduce_blocks(plan, op, tile, plan.chunk_begin(0), plan.chunk_end(0), into);
  if (plan.chunks() == 1) return;
  PartialStore<typename Op::Partial> store;
  for (Index c = 1; c < plan.chunks(); ++c) {
    const Index more = reduce_blocks(plan, op, tile, plan.chunk_begin(c), plan.chunk_end(c), store.view());
    op.merge(tile.groups, into, count, store.view(), more);
    count += more;
  }
}

template <class Op>
void map_blocks(const Plan& plan, const Op& op, const Tile& tile, Index begin, Index end,
                const typename Op::Coefficients& coefficients) noexcept {
  if constexpr (Maps<Op>) {
    for (Index b = end; b-- > begin;) op.map(tile, plan.block(tile, b), coefficients);  // last in, first in cache
  }
}

/// Each tile whole, by one thread: read, reduced and mapped while it is in cache.
template <class Op>
void run_by_tile(const Plan& plan, const Op& op, const Executor& execute) noexcept {
  execute(plan.tiles(), [&](Index number) noexcept {
    const Tile tile = plan.tile(number);
    PartialStore<typename Op::Partial> store;
    reduce_tile(plan, op, tile, store.view());
    typename Op::Coefficients coefficients;
    op.coefficients(tile, store.view(), coefficients);
    op.commit(tile, store.view(), coefficients);
    map_blocks(plan, op, tile, 0, plan.blocks(), coefficients);
  });
}

/// The memory that run_by_chunk needs: a partial result for each chunk and group.
template <class Op>
std::size_t chunk_bytes(const Plan& plan) noexcept {
  if (plan.chunks() == 1) return 0;
  return static_cast<std::size_t>(plan.chunks()) * PartialStore<typename Op::Partial>::bytes(plan.view().stats());
}

/// Chunks of each tile shared among threads, for few and large groups: reduce chunks, merge them, map chunks.
template <class Op>
void run_by_chunk(const Plan& plan, const Op& op, const Executor& execute, std::byte* memory) noexcept {
  using Store = PartialStore<typename Op::Partial>;
  const Index tiles = plan.tiles(), chunks = plan.chunks(), stats = plan.view().stats();
  const auto partial = [&](Index chunk, const Tile& tile) noexcept {
    return Store::in(memory + static_cast<std::size_t>(chunk) * Store::bytes(stats), stats).from(tile.first);
  };
  // Neighbouring tiles of one chunk follow each other: memory is walked in its own order.
  execute(chunks * tiles, [&](Index number) noexcept {
    const Tile tile = plan.tile(number % tiles);
    const Index c = number / tiles;
    reduce_blocks(plan, op, tile, plan.chunk_begin(c), plan.chunk_end(c), partial(c, tile));
  });
  execute(tiles, [&](Index number) noexcept {
    const Tile tile = plan.tile(number);
    Index count = plan.chunk_count(0);
    for (Index c = 1; c < chunks; ++c) {
      op.merge(tile.groups, partial(0, tile), count, partial(c, tile), plan.chunk_count(c));
      count += plan.chunk_count(c);
    }
    typename Op::Coefficients coefficients;
    op.coefficients(tile, partial(0, tile), coefficients);
    op.commit(tile, partial(0, tile), coefficients);
  });
  if constexpr (Maps<Op>) {
    execute(chunks * tiles, [&](Index number) noexcept {
      const Index last = chunks * tiles - 1 - number, c = last / tiles;
      const Tile tile = plan.tile(last % tiles);
      typename Op::Coefficients coefficients;
      op.coefficients(tile, partial(0, tile), coefficients);
      map_blocks(plan, op, tile, plan.chunk_begin(c), plan.chunk_end(c), coefficients);
    });
  }
}

/// Tiles where there are enough of them for the threads, or no memory for partial results; chunks otherwise.
/// Both give the same bits.
template <class Op>
void reduce_and_map(const Plan& plan, const Op& op, const Executor& execute, std::byte* memory) noexcept {
  const auto threads = static_cast<Index>(execute.threads());
  if (memory && threads > 1 && plan.chunks() > 1 && plan.tiles() < 4 * threads)
    run_by_chunk(plan, op, execute, memory);
  else
    run_by_tile(plan, op, execute);
}

/// An operation without a reduction: coefficients are given, every chunk of every tile stands on its own.
template <class Op>
void map_only(const Plan& plan, const Op& op, const Executor& execute) noexcept {
  const Index tiles = plan.tiles();
  execute(plan.chunks() * tiles, [&](Index number) noexcept {
    const Tile tile = plan.tile(number % tiles);
    const Index c = number / tiles;
    typename Op::Coefficients coefficients;
    op.coefficients(tile, coefficients);
    map_blocks(plan, op, tile, plan.chunk_begin(c), plan.chunk_end(c), coefficients);
  });
}

}  // namespace normkit::detail
