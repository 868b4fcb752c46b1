// Tiles whole or chunks shared: the same bits, since both merge the same partial results in the same order.
#include <gtest/gtest.h>

#include <cstring>
#include <normkit/detail/plan/run.hpp>
#include <vector>

#include "support/numbers.hpp"

namespace {

namespace nk = normkit::detail;
using normkit::Index;

std::size_t size(Index n) { return static_cast<std::size_t>(n); }

template <class T>
struct Result {
  std::vector<T> out, mean, mean_lo;
  std::vector<double> rstd;
  std::vector<int> exponent;

  explicit Result(const nk::StatView& v)
      : out(size(v.size())), mean(size(v.stats())), mean_lo(mean.size()), rstd(mean.size()), exponent(mean.size()) {}
  friend bool operator==(const Result&, const Result&) = default;
};

/// Views of every class with several chunks, for which alone there is memory to share them.
std::vector<nk::StatView> views() {
  return {{1, 1, 3, 200001}, {1, 7, 3, 30011}, {1, 900, 5, 121}, {1, 70001, 3, 1}, {1, 3001, 300, 1}, {2, 30001, 5, 1}};
}

template <class T, class Run>
Result<T> normalize(const nk::StatView& view, const std::vector<T>& x, const Run& run) {
  Result<T> result(view);
  const nk::Plan plan(view);
  const nk::NormalizeByBatch<T> op{
      {nk::kernels<T>(), plan, {}, x.data(), result.out.data()},
      1e-5,
      {result.mean.data(), result.mean_lo.data(), result.rstd.data(), result.exponent.data()},
      {}};
  run(plan, op);
  return result;
}

template <class T>
class Reduce : public ::testing::Test {};
using Scalars = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Reduce, Scalars);

TYPED_TEST(Reduce, TilesAndChunksGiveTheSameBits) {
  using T = TypeParam;
  for (const nk::StatView& view : views()) {
    const std::vector<T> x = support::bell<T>(size(view.size()), 5, 3);
    ASSERT_GT(nk::Plan(view).chunks(), 1);
    std::vector<std::byte> memory(nk::chunk_bytes<nk::NormalizeByBatch<T>>(nk::Plan(view)));
    const auto tiles =
        normalize(view, x, [](const auto& plan, const auto& op) { nk::run_by_tile(plan, op, nk::Executor()); });
    const auto chunks = normalize(
        view, x, [&](const auto& plan, const auto& op) { nk::run_by_chunk(plan, op, nk::Executor(), memory.data()); });
    EXPECT_TRUE(tiles == chunks) << "outer " << view.outer << " kept " << view.kept << " inner " << view.inner;
    EXPECT_NE(tiles.out[0], T(0));
  }
}

TYPED_TEST(Reduce, ThePartialResultsOfEveryChunkAreAligned) {
  using T = TypeParam;
  for (const Index groups : {1, 2, 3, 7, 256})
    EXPECT_EQ(nk::PartialStore<nk::Moments<T>>::bytes(groups) % alignof(nk::Wide<T>), 0u);
}

}  // namespace
