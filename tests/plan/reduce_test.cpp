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
      {{nk::kernels<T>(), plan, {}, x.data(), result.out.data()}, plan.walk(), nk::About::mean},
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

template <class T>
struct Gradients {
  std::vector<T> dx, dweight, dbias;
  friend bool operator==(const Gradients&, const Gradients&) = default;
};

/// LayerNorm's backward over rows, by a function that gets the dual plan, the sums over it, the plan and the map.
template <class T, class Run>
Gradients<T> differentiate(const nk::StatView& view, const Result<T>& saved, const std::vector<T>& x,
                           const std::vector<T>& dy, const Run& run) {
  Gradients<T> result{std::vector<T>(x.size()), std::vector<T>(size(view.inner)), std::vector<T>(size(view.inner))};
  const nk::SavedStatistics<T> statistics{saved.mean.data(), saved.mean_lo.data(), saved.rstd.data(),
                                          saved.exponent.data()};
  std::vector<T> rstd(saved.rstd.begin(), saved.rstd.end());
  const std::vector<T> weight = support::bell<T>(size(view.inner), 7);
  const nk::Plan plan(view), dual(view.dual());
  const nk::GradientOfElements<T> sums{{nk::kernels<T>(), dual, statistics, x.data(), dy.data()},
                                       rstd.data(),
                                       false,
                                       {result.dweight.data(), result.dbias.data()}};
  const nk::GradientByBatch<T> op{{{nk::kernels<T>(), plan, statistics, x.data(), dy.data()}, result.dx.data()},
                                  nk::About::mean,
                                  {weight.data(), nullptr, true},
                                  {}};
  run(dual, sums, plan, op);
  return result;
}

TYPED_TEST(Reduce, RowsInOnePassGiveTheSameBitsAsInTwo) {
  using T = TypeParam;
  // One block; several; several chunks; a row that is cut into blocks itself; the last block and chunk shorter.
  for (const nk::StatView& view : std::vector<nk::StatView>{
           {1, 1, 3, 40}, {1, 1, 70, 77}, {1, 1, 2001, 300}, {1, 1, 33, 4100}, {1, 1, 3001, 17}}) {
    const std::vector<T> x = support::bell<T>(size(view.size()), 5, 3), dy = support::bell<T>(size(view.size()), 6);
    const auto saved =
        normalize(view, x, [](const auto& plan, const auto& op) { nk::run_by_tile(plan, op, nk::Executor()); });
    std::vector<std::byte> memory(nk::rows_bytes<nk::GradientOfElements<T>>(nk::Plan(view.dual())));
    const auto two =
        differentiate(view, saved, x, dy, [](const auto& dual, const auto& sums, const auto& plan, const auto& op) {
          nk::run_by_tile(dual, sums, nk::Executor());
          nk::run_by_tile(plan, op, nk::Executor());
        });
    const auto one =
        differentiate(view, saved, x, dy, [&](const auto& dual, const auto& sums, const auto& plan, const auto& op) {
          nk::run_by_rows(dual, sums, plan, op, nk::Executor(), memory.data());
        });
    EXPECT_TRUE(one == two) << view.kept << " rows of " << view.inner;
    EXPECT_NE(one.dx[0], T(0));
    EXPECT_NE(one.dweight[0], T(0));
  }
}

/// Few long rows have as many sums of features as elements: their backward does without.
TYPED_TEST(Reduce, BackwardNeedsLessMemoryThanItsInput) {
  using T = TypeParam;
  for (const nk::StatView& view : std::vector<nk::StatView>{
           {1, 1, 1, 64}, {1, 1, 1, 131072}, {1, 1, 3, 40000}, {1, 1, 32, 768}, {1, 1, 33, 768}, {1, 1, 4096, 768}}) {
    const std::size_t input = size(view.size()) * sizeof(T);
    EXPECT_LT(nk::backward_bytes<T>(view, true), input) << view.kept << " rows of " << view.inner;
    EXPECT_LE(nk::lone_backward_bytes<T>(view, true), nk::backward_bytes<T>(view, true));
  }
}

TYPED_TEST(Reduce, ThePartialResultsOfEveryChunkAreAligned) {
  using T = TypeParam;
  for (const Index groups : {1, 2, 3, 7, 256})
    EXPECT_EQ(nk::PartialStore<nk::Moments<T>>::bytes(groups) % alignof(nk::Wide<T>), 0u);
}

}  // namespace
