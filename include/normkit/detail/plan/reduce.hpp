#pragma once

#include <normkit/detail/plan/executor.hpp>
#include <normkit/detail/plan/output.hpp>
#include <normkit/detail/plan/plan.hpp>
#include <normkit/detail/plan/workspace.hpp>

// The one algorithm of the library: reduce every group, then map its elements. An operation says what the steps are:
//   Partial                                   what reducing leaves of a group
//   reduce(tile, block, Partial out)          one block
//   merge(groups, into, count, other, more)   the partial results of `more` further elements
//   Coefficients, coefficients(tile, Partial, out)   from them, what mapping needs: no side effects
//   commit(tile, Partial, Coefficients)       side effects, once for each tile: statistics, gradients of parameters
//   map(tile, block, Coefficients, ahead)     the output of one block; what is `ahead` elements on is read next
//   output                                    whether that goes into the caches
// One whose groups share statistics (pool.hpp) has in the place of commit and coefficients:
//   groups()                                  the plan of its groups; another's are whole pools
//   prepare(tile, Partial)                    what is done to each group before they are merged
//   merge_neighbours(groups, each, from, into)   if there is one: the same for pools of neighbouring groups at once
//   Shared, share(set, Partial, Shared out)   from the partial results of pools, what their groups share; side effects
//   coefficients(tile, members, Shared, out)  the coefficients of groups; side effects
// An operation without a reduction has no Partial, one without an output no map.
namespace normkit::detail {

template <class Op>
concept Reduces = requires {
  typename Op::Partial;
};

template <class Op>
concept MapsBlocks = requires(const Op& op, const Tile& tile, const TileBlock& block,
                              const typename Op::Coefficients& c) {
  { op.map(tile, block, c, Index()) }
  noexcept;
  { op.output } -> std::convertible_to<Output>;
};

/// An operation whose groups may share statistics (pool.hpp).
template <class Op>
concept Pools = Reduces<Op> && requires(const Op& op) {
  op.groups();
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
                const typename Op::Coefficients& coefficients, Index ahead) noexcept {
  if constexpr (MapsBlocks<Op>) {
    for (Index b = end; b-- > begin;)
      op.map(tile, plan.block(tile, b), coefficients, ahead);  // last in, first in cache
  }
}

/// How an operation writes; as into L2 where it writes nothing.
template <class Op>
Output output_of([[maybe_unused]] const Op& op) noexcept {
  if constexpr (MapsBlocks<Op>)
    return op.output;
  else
    return Output::cached;
}

/// Ends a task: what it has streamed can be seen by all threads.
template <class Op>
void publish(const Op& op) noexcept {
  if (output_of(op) == Output::streamed) store_fence();
}

/// One tile whole: read, reduced and mapped while it is in cache.
template <class Op>
void run_tile(const Plan& plan, const Op& op, const Tile& tile, Index ahead) noexcept {
  PartialStore<typename Op::Partial> store;
  typename Op::Coefficients coefficients;
  reduce_tile(plan, op, tile, store.view());
  op.coefficients(tile, store.view(), coefficients);
  op.commit(tile, store.view(), coefficients);
  map_blocks(plan, op, tile, 0, plan.blocks(), coefficients, ahead);
}
template <Pools Op>
void run_tile(const Plan& plan, const Op& op, const Tile& tile, Index ahead) noexcept;  // pool.hpp

/// Each tile by one thread, some of them at a time.
template <class Op>
void run_by_tile(const Plan& plan, const Op& op, const Executor& execute) noexcept {
  const Index threads = execute.threads(), each = plan.tiles_per_task(threads), tiles = plan.tiles();
  execute(ceil_div(tiles, each), [&](Index task) noexcept {
    const Index end = (task + 1) * each < tiles ? (task + 1) * each : tiles;
    const bool asks = output_of(op) != Output::cached;
    for (Index t = task * each; t < end; ++t)
      run_tile(plan, op, plan.tile(t), asks ? plan.ahead(t, t + 1 < end ? 1 : (threads - 1) * each + 1) : 0);
    publish(op);
  });
}

/// The memory that run_by_chunk needs: a partial result for each chunk and group.
template <class Op>
std::size_t chunk_bytes(const Plan& plan) noexcept {
  if (plan.chunks() == 1) return 0;
  return static_cast<std::size_t>(plan.chunks()) * PartialStore<typename Op::Partial>::bytes(plan.view().stats());
}

/// The same for run_by_rows, which keeps even a single chunk.
template <class Sums>
std::size_t rows_bytes(const Plan& dual) noexcept {
  return static_cast<std::size_t>(dual.chunks()) * PartialStore<typename Sums::Partial>::bytes(dual.view().stats());
}

/// Whether run_by_rows can do a view and its dual, so that blocks of rows, x and dy of them, stay in cache: rows of 4096
/// doubles, 2 MB, took 0.76 of the time of two passes. A single block is in cache for a second pass anyway, and its sums
/// would need more memory than x itself.
template <Stored S>
bool fits_rows(const Plan& plan, const Plan& dual) noexcept {
  constexpr Index most_bytes = Index{4} << 20, size = sizeof(S);
  const Index rows = dual.block(dual.tile(0), 0).block.planes;
  return plan.walk() == runs && dual.blocks() > 1 && 2 * size * rows * plan.view().inner <= most_bytes;
}

/// Where the partial results of chunks stand until all of them are there.
template <class Op>
class Chunks {
 public:
  Chunks(const Plan& plan, std::byte* memory) noexcept : plan_(plan), memory_(memory) {}

  typename Op::Partial at(Index chunk, const Tile& tile) const noexcept {
    using Store = PartialStore<typename Op::Partial>;
    const Index stats = plan_.view().stats();
    return Store::in(memory_ + static_cast<std::size_t>(chunk) * Store::bytes(stats), stats).from(tile.first);
  }

  /// All chunks of a tile, merged from left to right.
  typename Op::Partial merged(const Op& op, const Tile& tile) const noexcept {
    const typename Op::Partial into = at(0, tile);
    Index count = plan_.chunk_count(0);
    for (Index c = 1; c < plan_.chunks(); ++c) {
      op.merge(tile.groups, into, count, at(c, tile), plan_.chunk_count(c));
      count += plan_.chunk_count(c);
    }
    return into;
  }

 private:
  const Plan& plan_;
  std::byte* memory_;
};

/// Chunks of each tile shared among threads, for few and large groups: reduce chunks, merge them, map chunks.
template <class Op>
void run_by_chunk(const Plan& plan, const Op& op, const Executor& execute, std::byte* memory) noexcept {
  const Index tiles = plan.tiles(), chunks = plan.chunks();
  const Chunks<Op> partial(plan, memory);
  // Neighbouring tiles of one chunk follow each other: memory is walked in its own order.
  execute(chunks * tiles, [&](Index number) noexcept {
    const Tile tile = plan.tile(number % tiles);
    const Index c = number / tiles;
    reduce_blocks(plan, op, tile, plan.chunk_begin(c), plan.chunk_end(c), partial.at(c, tile));
  });
  execute(tiles, [&](Index number) noexcept {
    const Tile tile = plan.tile(number);
    const typename Op::Partial all = partial.merged(op, tile);
    typename Op::Coefficients coefficients;
    op.coefficients(tile, all, coefficients);
    op.commit(tile, all, coefficients);
  });
  if constexpr (MapsBlocks<Op>) {
    execute(chunks * tiles, [&](Index number) noexcept {
      const Index last = chunks * tiles - 1 - number, c = last / tiles;
      const Tile tile = plan.tile(last % tiles);
      typename Op::Coefficients coefficients;
      op.coefficients(tile, partial.at(0, tile), coefficients);
      map_blocks(plan, op, tile, plan.chunk_begin(c), plan.chunk_end(c), coefficients, plan.ahead(last % tiles, -1));
      publish(op);
    });
  }
}

/// Sums over the dual view, whose rows are the groups of `op`, and `op` itself, in one pass over memory: a block of rows is
/// added to the sums, and then its groups are done while they are in cache. The same bits as one after the other.
template <class Sums, class Op>
void run_by_rows(const Plan& dual, const Sums& sums, const Plan& plan, const Op& op, const Executor& execute,
                 std::byte* memory) noexcept {
  const Chunks<Sums> partial(dual, memory);
  execute(dual.chunks(), [&](Index c) noexcept {
    PartialStore<typename Sums::Partial> store;
    Index count = 0;
    for (Index b = dual.chunk_begin(c); b < dual.chunk_end(c); ++b) {
      for (Index t = 0; t < dual.tiles(); ++t) {
        const Tile tile = dual.tile(t);
        const TileBlock block = dual.block(tile, b);
        sums.reduce(tile, block, count == 0 ? partial.at(c, tile) : store.view());
        if (count > 0) sums.merge(tile.groups, partial.at(c, tile), count, store.view(), block.block.elements());
      }
      const TileBlock rows = dual.block(dual.tile(0), b);
      for (Index done = 0; done < rows.block.planes;) {
        const Tile tile = plan.some_groups(rows.element + done, rows.block.planes - done);
        run_tile(plan, op, tile, rows.block.planes * plan.view().inner);
        done += tile.groups;
      }
      count += rows.block.elements();
    }
    publish(op);
  });
  execute(dual.tiles(), [&](Index number) noexcept {
    const Tile tile = dual.tile(number);
    sums.commit(tile, partial.merged(sums, tile), {});
  });
}

/// Tiles where there are enough of them for the threads, or no memory for partial results; chunks otherwise.
/// Both give the same bits.
template <class Op>
void reduce_and_map(const Plan& plan, const Op& op, const Executor& execute, std::byte* memory) noexcept {
  static_assert(!Pools<Op>, "run_by_pool is theirs");
  const auto threads = static_cast<Index>(execute.threads());
  if (memory && threads > 1 && plan.chunks() > 1 && plan.tiles() < 4 * threads)
    run_by_chunk(plan, op, execute, memory);
  else
    run_by_tile(plan, op, execute);
}

/// An operation without a reduction: coefficients are given, every piece stands on its own.
template <class Op>
void map_only(const Pieces& pieces, const Op& op, const Executor& execute) noexcept {
  execute(pieces.size(), [&](Index number) noexcept {
    const Tile tile = pieces.tile(number);
    typename Op::Coefficients coefficients;
    op.coefficients(tile, coefficients);
    op.map(tile, pieces.block(tile, number), coefficients, pieces.ahead());
    publish(op);
  });
}

}  // namespace normkit::detail
