// How a view is cut: every element once, in blocks and chunks that depend on nothing but the shape.
#include <gtest/gtest.h>

#include <algorithm>
#include <normkit/detail/plan/plan.hpp>
#include <vector>

namespace {

using normkit::Index;
using normkit::detail::lanes;
using normkit::detail::max_groups;
using normkit::detail::Pieces;
using normkit::detail::Plan;
using normkit::detail::runs;
using normkit::detail::StatView;
using normkit::detail::Tile;
using normkit::detail::TileBlock;

std::vector<StatView> views() {
  return {{1, 1, 1, 2},     {1, 1, 100, 10},  {1, 1, 7, 4095},   {1, 1, 3, 4096},  {1, 1, 2, 4097},
          {1, 1, 2, 70001}, {1, 32, 5, 49},   {1, 3, 4, 10007},  {1, 300, 2, 64},  {2, 3, 5, 7},
          {1, 1, 9, 1},     {1, 20, 100, 1},  {1, 7001, 3, 1},   {1, 100, 257, 1}, {1, 33, 2050, 1},
          {4, 5, 100, 1},   {3, 130, 300, 1}, {1, 200000, 2, 1}, {1, 5000, 3, 33}, {1, 1, 1, 1000003}};
}

/// Calls visit(statistic, element of the group, offset) for everything that a block covers.
template <class Visit>
void each_element(const Tile& tile, const TileBlock& at, const Visit& visit) {
  for (Index g = 0; g < at.block.groups; ++g)
    for (Index p = 0; p < at.block.planes; ++p)
      for (Index i = 0; i < at.block.length; ++i)
        visit(tile.first + g, at.element + p * at.block.plane_elements + i,
              tile.offset + at.offset + g * at.block.group_stride + p * at.block.plane_stride + i);
}

/// Every element of the view stands in one block, under its own statistic and number.
void expect_covered_once(const Plan& plan) {
  const StatView& v = plan.view();
  std::vector<char> seen(static_cast<std::size_t>(v.size()), 0);
  for (Index t = 0; t < plan.tiles(); ++t)
    for (Index b = 0; b < plan.blocks(); ++b)
      each_element(plan.tile(t), plan.block(plan.tile(t), b), [&](Index stat, Index element, Index offset) {
        const Index s = stat / v.kept, k = stat % v.kept, o = element / v.inner, i = element % v.inner;
        ASSERT_EQ(offset, ((s * v.outer + o) * v.kept + k) * v.inner + i);
        ++seen[static_cast<std::size_t>(offset)];
      });
  for (const char times : seen) ASSERT_EQ(times, 1) << "kept " << v.kept << " inner " << v.inner;
}

TEST(Plan, CoversEveryElementOnceAndNamesItRight) {
  for (const StatView& v : views()) expect_covered_once(Plan(v));
}

/// Short runs side by side, walked across: whole groups in each tile, so many columns as a kernel takes.
TEST(Plan, RunsThatAreWalkedAcrossAreCoveredOnceAsWell) {
  for (const StatView& v : {StatView{3, 7, 4, 8}, StatView{2, 100, 33, 64}, StatView{1, 200, 5, 1000}}) {
    const Plan plan(v, lanes);
    EXPECT_EQ(plan.walk(), lanes);
    for (Index t = 0; t < plan.tiles(); ++t) EXPECT_LE(plan.tile(t).groups * v.inner, max_groups);
    expect_covered_once(plan);
  }
}

TEST(Pieces, CoverEveryElementOnceAndLeaveSomeForEachThread) {
  std::vector<StatView> all = views();
  for (const StatView& v : {StatView{1, 700, 1100, 1}, StatView{1, 2, 3, 70001}, StatView{5, 40, 600, 1},
                            StatView{1, 10, 512, 49}, StatView{1, 1, 9, 300000}, StatView{3, 7, 20, 7}})
    all.push_back(v);
  for (const StatView& v : all)
    for (const Index threads : {1, 2, 16}) {
      const Pieces pieces(v, threads);
      std::vector<char> seen(static_cast<std::size_t>(v.size()), 0);
      for (Index n = 0; n < pieces.size(); ++n) {
        const Tile tile = pieces.tile(n);
        const TileBlock at = pieces.block(tile, n);
        EXPECT_LE(tile.groups, max_groups);
        EXPECT_LE(tile.groups * at.block.elements(), 262144);
        each_element(tile, at, [&](Index stat, Index element, Index offset) {
          const Index s = stat / v.kept, k = stat % v.kept, o = element / v.inner, i = element % v.inner;
          ASSERT_EQ(offset, ((s * v.outer + o) * v.kept + k) * v.inner + i);
          ++seen[static_cast<std::size_t>(offset)];
        });
      }
      for (const char times : seen) ASSERT_EQ(times, 1) << "kept " << v.kept << " inner " << v.inner;
      EXPECT_GE(pieces.size(), std::min<Index>(threads, v.size() / 131072)) << "kept " << v.kept;
    }
}

TEST(Plan, ChunksAreRunsOfBlocksThatAddUp) {
  for (const StatView& v : views()) {
    const Plan plan(v);
    Index next = 0, elements = 0;
    for (Index c = 0; c < plan.chunks(); ++c) {
      EXPECT_EQ(plan.chunk_begin(c), next);
      next = plan.chunk_end(c);
      Index in_blocks = 0;
      for (Index b = plan.chunk_begin(c); b < next; ++b) in_blocks += plan.block(plan.tile(0), b).block.elements();
      EXPECT_EQ(plan.chunk_count(c), in_blocks);
      elements += in_blocks;
    }
    EXPECT_EQ(next, plan.blocks());
    EXPECT_EQ(elements, v.count());
  }
}

TEST(Plan, BlocksFitTheCacheAndKernelsAndChunksBoundTheScratch) {
  for (const StatView& v : views()) {
    const Plan plan(v);
    EXPECT_EQ(plan.walk(), v.inner > 1 ? runs : lanes);
    EXPECT_LE(plan.chunks(), 64);
    for (Index t = 0; t < plan.tiles(); ++t) {
      EXPECT_GE(plan.tile(t).groups, 1);
      EXPECT_LE(plan.tile(t).groups, max_groups);
      for (Index b = 0; b < plan.blocks(); ++b) {
        EXPECT_GE(plan.block(plan.tile(t), b).block.elements(), 1);
        EXPECT_LE(plan.block(plan.tile(t), b).block.elements(), 4096);
      }
    }
  }
}

TEST(Plan, ChainsInALaneAreShortAndShorterWhereFewLanesAreFilled) {
  for (Index inner = 2; inner < 4096; ++inner) {
    const Plan plan(StatView{1, 4096, 2, inner});
    const Index planes = plan.block(plan.tile(0), 0).block.planes;
    ASSERT_GE(planes, 1) << inner;
    ASSERT_LE(planes * ((inner + 31) / 32), inner < 16 ? 8 * inner : 128) << inner;
  }
}

TEST(Plan, TheLastSegmentOfALongRunIsNotMuchShorterThanTheOthers) {
  const Plan plan(StatView{1, 1, 1, 4097});  // not 4096 and 1
  ASSERT_EQ(plan.blocks(), 2);
  EXPECT_EQ(plan.block(plan.tile(0), 0).block.length, 2112);
  EXPECT_EQ(plan.block(plan.tile(0), 1).block.length, 1985);
}

TEST(Plan, ShortRowsShareATileAndLongOnesHaveTheirOwn) {
  EXPECT_EQ(Plan(StatView{1, 1, 100, 64}).tile(0).groups, 32);
  EXPECT_EQ(Plan(StatView{1, 1, 100, 64}).tile(3).groups, 4);
  EXPECT_EQ(Plan(StatView{1, 1, 100, 4096}).tile(0).groups, 1);
}

TEST(Plan, ShortPlanesShareATileAndLeaveEnoughForThreads) {
  EXPECT_EQ(Plan(StatView{1, 32, 2048, 49}).tile(0).groups, 32);
  for (const StatView& v : {StatView{1, 32, 2048, 49}, StatView{1, 32, 64, 196}, StatView{1, 32, 512, 49},
                            StatView{1, 32, 256, 196}, StatView{1, 32, 512, 784}})
    EXPECT_GE(Plan(v).tiles(), 64) << v.kept << " planes of " << v.inner;
}

}  // namespace
