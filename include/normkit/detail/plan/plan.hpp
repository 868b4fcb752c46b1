#pragma once

#include <bit>

#include <normkit/detail/kernel/table.hpp>
#include <normkit/detail/view/stat_view.hpp>

namespace normkit::detail {

inline constexpr Index ceil_div(Index a, Index b) noexcept { return (a + b - 1) / b; }

/// Neighbouring groups that are handled together: `first` counts statistics, `offset` elements of x.
struct Tile {
  Index first, groups, offset;
};

/// One block of a tile: where it lies relative to the tile, and the number of its first element in its group.
struct TileBlock {
  Block block;
  Index offset, element;
};

/// What ways of cutting a view have in common.
class Cut {
 public:
  static constexpr Index chunk_elements = 65536;  // what is worth handing to a thread, about 10 us

  const StatView& view() const noexcept { return view_; }
  Walk walk() const noexcept { return walk_; }
  /// Elements that are written one after the other.
  Index run() const noexcept { return run_; }

 protected:
  Cut(const StatView& view, Walk walk) noexcept : view_(view), walk_(walk) {}

  static constexpr Index min(Index a, Index b) noexcept { return a < b ? a : b; }
  static constexpr Index max(Index a, Index b) noexcept { return a < b ? b : a; }
  static constexpr Index clamp(Index a, Index low, Index high) noexcept { return min(max(a, low), high); }

  /// The groups of a slab from `first` on, `most` of them where there are so many.
  Tile groups_from(Index slab, Index first, Index most) const noexcept {
    return {slab * view_.kept + first, min(most, view_.kept - first),
            slab * view_.count() * view_.kept + first * view_.inner};
  }
  /// Of their planes from `plane` on, and of the elements of each from `start` on, so many where there are so many.
  TileBlock part_of(const Tile& tile, Index plane, Index planes, Index start, Index length) const noexcept {
    const Index row = view_.kept * view_.inner;
    return {{tile.groups, view_.inner, min(planes, view_.outer - plane), row, view_.inner,
             min(length, view_.inner - start)},
            plane * row + start,
            plane * view_.inner + start};
  }

  /// As memory has it: runs, where a group has any.
  static Walk walk_of(const StatView& view) noexcept { return view.inner > 1 ? runs : lanes; }
  /// Neighbouring elements of a row that are walked across.
  Index columns() const noexcept { return view_.kept * view_.inner; }

  StatView view_;
  Walk walk_;
  Index run_ = 1;
};

/// How a view is cut: tiles of groups across, blocks of elements along, chunks of blocks for threads. Which elements
/// form a block and a chunk decides how sums are rounded, so it depends on the shape alone and on constants, never on
/// this machine's caches or the number of threads. How many groups a tile has decides nothing but speed.
class Plan : public Cut {
 public:
  /// 512 kB of float: what is surely in L2 after a first pass.
  static constexpr Index cached_elements = 131072;

  static constexpr Index max_chunks = 64;  // bounds the scratch: 64 partial results for each statistic

  /// The most elements that a block has of each group, but where runs are walked across.
  static constexpr Index block_elements = 4096;

  /// Tiles of a multiple of `unit` groups, of which a tile can have at least one, and of `most` groups at most.
  explicit Plan(const StatView& view, Index unit = 1, Index most = max_groups) noexcept
      : Plan(view, walk_of(view), unit, most) {}

  /// Walked so: across lanes also groups of short runs, `max_groups` elements at most, each element a column of its own.
  Plan(const StatView& view, Walk walk, Index unit = 1, Index most = max_groups) noexcept : Cut(view, walk) {
    if (walk == runs && view.inner >= block_elements) {
      segments_ = ceil_div(view.inner, block_elements);
      // Even segments of whole cache lines: no block of a few elements at the end.
      segment_ = ceil_div(ceil_div(view.inner, segments_), 64) * 64;
      segments_ = ceil_div(view.inner, segment_);
      planes_ = 1;
    } else {
      segment_ = view.inner;
      planes_ = view.outer == 1 ? 1 : walk == runs ? run_planes(view.inner) : lane_rows(columns());
    }
    if (planes_ > view.outer) planes_ = view.outer;
    blocks_ = planes_ == view.outer ? segments_ : ceil_div(view.outer, planes_) * segments_;
    if (blocks_ > 1) {  // a short row would notice the divisions
      const Index across = walk == runs ? 1 : max(1, min(columns(), chunk_columns) / view.inner);
      blocks_per_chunk_ = max(ceil_div(chunk_elements, planes_ * segment_ * across), ceil_div(blocks_, max_chunks));
      chunks_ = ceil_div(blocks_, blocks_per_chunk_);
    }
    tile_ =
        walk == lanes ? max(1, most / view.inner) : power_of_two(clamp(run_elements() / view.count(), 1, run_groups));
    part_ = tile_;
    if (unit > 1) tile_ = max(unit, tile_ / unit * unit);
    tiles_per_slab_ = tile_ < view.kept ? ceil_div(view.kept, tile_) : 1;
    run_ = walk == runs ? segment_ : min(view.kept, tile_) * view.inner;
  }

  Index tiles() const noexcept { return view_.slabs * tiles_per_slab_; }
  /// As many as are worth handing to a thread, where enough are left for the others.
  Index tiles_per_task(Index threads) const noexcept {
    return threads == 1
               ? tiles()
               : clamp(chunk_elements / (min(tile_, view_.kept) * view_.count()), 1, ceil_div(tiles(), 4 * threads));
  }
  Index blocks() const noexcept { return blocks_; }
  Index chunks() const noexcept { return chunks_; }
  Index chunk_begin(Index chunk) const noexcept { return chunk * blocks_per_chunk_; }
  Index chunk_end(Index chunk) const noexcept { return min(blocks_, (chunk + 1) * blocks_per_chunk_); }
  /// Elements that a chunk has of each group.
  Index chunk_count(Index chunk) const noexcept {
    return elements_before(chunk_end(chunk)) - elements_before(chunk_begin(chunk));
  }

  // The usual cases go without divisions, which short rows would notice.
  Tile tile(Index number) const noexcept {
    const Index slab = view_.slabs == 1 ? 0 : number / tiles_per_slab_;
    return groups_from(slab, (number - slab * tiles_per_slab_) * tile_, tile_);
  }

  /// A tile of as many of these groups as one has, of a view with one slab.
  Tile some_groups(Index first, Index most) const noexcept { return groups_from(0, first, min(tile_, most)); }

  /// How many groups of a tile are reduced together, so that a block of them is in cache for its second pass.
  Index part() const noexcept { return part_; }

  /// A tile of the groups from number `first` on, `most` of them where its slab has so many.
  Tile groups_at(Index first, Index most) const noexcept {
    return groups_from(first / view_.kept, first % view_.kept, most);
  }

  /// How far in memory a thread's next read is from the block that it maps, with blocks taken last to first: the block
  /// before, or where this tile is near, in L2 or mostly so, the next tile's, `step` tiles on. What leaves L2 for that stays
  /// in L3: with images of 200704 floats LayerNorm took 0.84 to 0.94 of the time of asking for the block before; with
  /// 401408 elements BatchNorm took 0.86 to 1.17.
  Index ahead(Index number, Index step) const noexcept {
    const Tile here = tile(number);
    const Index next = number + step;
    const bool is_near = here.groups * view_.count() <= 2 * cached_elements;
    if (is_near && next >= 0 && next < tiles()) return tile(next).offset - here.offset;
    return block(here, 0).offset - block(here, min(1, blocks_ - 1)).offset;
  }

  TileBlock block(const Tile& tile, Index number) const noexcept {
    const Index above = segments_ == 1 ? number : number / segments_;
    return part_of(tile, above * planes_, planes_, (number - above * segments_) * segment_, segment_);
  }

 private:
  // A block of runs: 128 additions in each of 32 virtual lanes, 16 kB of float, two passes from L1. Shorter blocks would
  // mean more merging, longer ones longer chains of roundings.
  static constexpr Index lane_count = 32, lane_chain = block_elements / lane_count;
  static constexpr Index chunk_columns = 256;  // of a view across lanes, that count for it
  // Short runs at a time: their steps share registers, and their latencies overlap.
  static constexpr Index run_groups = 32;

  /// What a tile of runs has at most. Those of many planes lie apart, and read side by side they are whole lines and pages:
  /// 2048 channels of 7x7 took 0.75 to 0.8 of the time of tiles as small as those of rows. Threads find 64 tiles.
  Index run_elements() const noexcept {
    return view_.outer == 1 ? block_elements : clamp(view_.size() / 64, block_elements, cached_elements);
  }

  /// The greatest that is not more: groups fill whole registers then.
  static constexpr Index power_of_two(Index most) noexcept {
    return static_cast<Index>(std::bit_floor(static_cast<std::size_t>(most)));
  }
  /// Runs of a block that end before a lane has added up its chain. The roundings of many lanes average out; where a run
  /// fills only few, their chains are shorter.
  static constexpr Index run_planes(Index inner) noexcept {
    return min(lane_chain, 8 * inner) / ceil_div(inner, lane_count);
  }
  /// Rows of a block across lanes: 64 kB of float at most, which the second pass finds in L2.
  static constexpr Index lane_rows(Index columns) noexcept { return clamp(16384 / min(columns, 512), 32, 64); }

  Index elements_before(Index block) const noexcept {
    const Index plane = block / segments_ * planes_, start = block % segments_ * segment_;
    return min(plane, view_.outer) * view_.inner + start;
  }

  Index planes_ = 1, segment_ = 1, segments_ = 1, blocks_ = 1, blocks_per_chunk_ = 1, chunks_ = 1;
  Index tile_ = 1, part_ = 1, tiles_per_slab_ = 1;
};

/// How a view is cut where nothing is to be reduced: into pieces in the order of memory, of so many elements that all
/// threads have some, and of so many of each group that they are worth its coefficients. It decides nothing but speed.
class Pieces : public Cut {
 public:
  Pieces(const StatView& view, Index threads) noexcept : Cut(view, walk_of(view)) {
    const Index elements = clamp(view.size() / (4 * threads), chunk_elements, 4 * chunk_elements);
    const Index most = min(view.kept, walk() == lanes ? piece_groups : min(piece_groups, elements / least_elements));
    groups_ = walk() == lanes ? most : clamp(elements / view.inner, 1, most);
    segment_ = min(view.inner, elements / 64 * 64);  // whole bytes of a mask
    planes_ = clamp(elements / (groups_ * segment_), 1, view.outer);
    run_ = walk() == runs ? segment_ : groups_;
  }

  Index size() const noexcept { return view_.slabs * across() * down() * along(); }

  /// How many elements ahead of those that are written the next are asked for: 4096 to 16384 were equally good, 1024 and
  /// fewer up to 1.5 times as slow. Whole rows, where a piece is only a part of each.
  Index ahead() const noexcept {
    constexpr Index distance = 8192;
    const Index row = view_.kept * view_.inner;
    return planes_ > 1 && groups_ < view_.kept ? ceil_div(distance, row) * row : distance;
  }

  Tile tile(Index number) const noexcept {
    const Index above = number / along();
    return groups_from(above / across() / down(), above % across() * groups_, groups_);
  }
  TileBlock block(const Tile& tile, Index number) const noexcept {
    const Index plane = number / along() / across() % down() * planes_;
    return part_of(tile, plane, planes_, number % along() * segment_, segment_);
  }

 private:
  static constexpr Index least_elements = 512;  // of a group: its coefficients take as long as about 50 of them
  static constexpr Index piece_groups = 512;    // the coefficients of 1024 doubles fill L1: 1.1 to 1.2 times as long

  Index along() const noexcept { return ceil_div(view_.inner, segment_); }
  Index across() const noexcept { return ceil_div(view_.kept, groups_); }
  Index down() const noexcept { return ceil_div(view_.outer, planes_); }

  Index groups_ = 1, planes_ = 1, segment_ = 1;
};

}  // namespace normkit::detail
