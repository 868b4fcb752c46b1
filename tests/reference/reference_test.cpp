// The oracle is tested by what others computed: PyTorch's golden values, and numbers small enough for paper.
#include <gtest/gtest.h>

#include "golden/expected.hpp"
#include "reference/normalization.hpp"
#include "support/rule.hpp"

namespace {

using namespace reference;

TEST(Grouping, CountsTheLastAxisFastest) {
  EXPECT_EQ(index_over({2, 3}, {true, true}), (Indices{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(index_over({2, 3}, {true, false}), (Indices{0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(index_over({2, 3}, {false, true}), (Indices{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(index_over({2, 2, 2}, {true, false, true}), (Indices{0, 1, 0, 1, 2, 3, 2, 3}));
}

TEST(Grouping, HasAStatisticPerChannelAndPerToken) {
  const Grouping batch = per_channel({2, 3, 4, 4}, 1);
  EXPECT_EQ(batch.groups, 3u);
  EXPECT_EQ(batch.params, 3u);
  EXPECT_EQ(batch.count, 32u);
  const Grouping layer = per_token({20, 5, 10}, 2, 1);
  EXPECT_EQ(layer.groups, 100u);
  EXPECT_EQ(layer.params, 10u);
  EXPECT_EQ(layer.count, 10u);
}

TEST(Sum, KeepsWhatAPlainSumLoses) {
  Sum sum;
  for (const Real term : {Real(1), Real(1e30), Real(1), Real(-1e30)}) sum.add(term);
  EXPECT_EQ(sum.value(), 2);
}

TEST(Sum, GoesToInfinityAndNaN) {
  Sum infinite;
  for (const Real term : {Real(1), std::numeric_limits<Real>::infinity(), Real(2)}) infinite.add(term);
  EXPECT_EQ(infinite.value(), std::numeric_limits<Real>::infinity());
  infinite.add(-std::numeric_limits<Real>::infinity());
  EXPECT_TRUE(std::isnan(infinite.value()));
}

TEST(Reference, AgreesWithPaper) {
  const Grouping g = per_channel({4, 1}, 1);
  const Reals x{1, 3, 5, 7};  // mean 4, squares around it 9 + 1 + 1 + 9
  const Moments m = moments(x, g);
  EXPECT_EQ(m.mean, Reals{4});
  EXPECT_EQ(m.var, Reals{5});
  EXPECT_EQ(forward(x, g, m, 4, {{6}, {1}}), (Reals{-5, -1, 3, 7}));  // sqrt(5 + 4) = 3
  Running running(1);
  update(running, m, g.count, Real(0.75));
  EXPECT_EQ(running.mean, Reals{3});            // 0.25 * 0 + 0.75 * 4
  EXPECT_EQ(running.var, Reals{Real(21) / 4});  // 0.25 * 1 + 0.75 * 20 / 3
  update(running, m, g.count, std::nullopt);    // the second batch: half and half
  EXPECT_EQ(running.mean, Reals{Real(7) / 2});
  EXPECT_EQ(running.batches, 2);
}

TEST(Reference, OfSquaresAgreesWithPaper) {
  const Grouping g = per_token({1, 2}, 1, 1);
  const Moments m = squares({3, 4}, g);
  EXPECT_EQ(m.var, Reals{12.5});
  const Affine affine{{1, 2}, {}};
  const Reals y = forward({3, 4}, g, m, 12.5, affine);  // over sqrt(12.5 + 12.5) = 5
  EXPECT_NEAR(static_cast<double>(y[0]), 0.6, 1e-15);
  EXPECT_NEAR(static_cast<double>(y[1]), 1.6, 1e-15);
  // d = (1, 0), xhat = (0.6, 0.8): dx = (d - xhat * 0.3) / 5
  const Gradients got = backward({3, 4}, {1, 0}, g, m, 12.5, affine, Statistics::squares_of_batch);
  EXPECT_NEAR(static_cast<double>(got.dx[0]), 0.164, 1e-15);
  EXPECT_NEAR(static_cast<double>(got.dx[1]), -0.048, 1e-15);
  EXPECT_NEAR(static_cast<double>(got.dweight[0]), 0.6, 1e-15);
}

TEST(Reference, KnowsAFarMeanBeyondItsOwnDigits) {
  const Grouping g = per_channel({3, 1}, 1);
  const Real step = std::ldexp(Real(1), -40);  // the mean is 2^20 + 4/3 steps, of which one Real keeps three bits
  const Real far = std::ldexp(Real(1), 20);
  const Moments m = moments({far, far + step, far + 3 * step}, g);
  EXPECT_NEAR(static_cast<double>(m.centred(far, 0) / step), -4.0 / 3, 1e-15);
  EXPECT_NEAR(static_cast<double>(m.var[0] / (step * step)), 14.0 / 9, 1e-15);
}

TEST(Reference, ConstantGroupWithoutEpsGivesItsBias) {
  const Grouping g = per_channel({3, 1}, 1);
  const Reals x{7, 7, 7};
  EXPECT_EQ(forward(x, g, moments(x, g), 0, {{2}, {5}}), (Reals{5, 5, 5}));
}

std::vector<double> doubles(const Reals& values) { return {values.begin(), values.end()}; }

class Golden : public ::testing::TestWithParam<golden::Case> {};

TEST_P(Golden, ForwardAndBackwardAgreeWithPyTorch) {
  const golden::Case& c = GetParam();
  const golden::Setting s = golden::setting_of(c);
  const Reals x = c.reals("x");
  const Gradients got = backward(x, c.reals("dy"), s.grouping, s.moments, s.eps, s.affine, s.statistics);
  const auto exact = golden::expected_gradients<double>(c);
  EXPECT_TRUE(support::keeps_rule(doubles(forward(x, s.grouping, s.moments, s.eps, s.affine)),
                                  golden::expected_y<double>(c), support::roundings::y));
  EXPECT_TRUE(support::keeps_rule(doubles(got.dx), exact.dx, support::roundings::dx));
  if (c.has("weight")) {
    EXPECT_TRUE(support::keeps_rule(doubles(got.dweight), exact.dweight, support::roundings::dweight));
  }
  if (c.has("bias")) {
    EXPECT_TRUE(support::keeps_rule(doubles(got.dbias), exact.dbias, support::roundings::dbias));
  }
}

TEST_P(Golden, RunningStatisticsAgreeWithPyTorch) {
  const golden::Case& c = GetParam();
  if (!c.has("running_mean")) return;  // LayerNorm, and BatchNorm without tracking, have none
  Running running = golden::running_before(c);
  if (golden::uses_running(c)) {
    EXPECT_EQ(c.values("running_mean_after"), doubles(running.mean)) << "evaluation moves nothing";
    return;
  }
  const golden::Setting s = golden::setting_of(c);
  update(running, s.moments, s.grouping.count, c.optional("momentum"));
  const auto exact = golden::expected_running<double>(c);
  EXPECT_TRUE(support::keeps_rule(doubles(running.mean), exact.mean, support::roundings::running));
  EXPECT_TRUE(support::keeps_rule(doubles(running.var), exact.var, support::roundings::running));
  EXPECT_EQ(running.batches, static_cast<std::int64_t>(c.number("batches_after")));
}

INSTANTIATE_TEST_SUITE_P(Reference, Golden, ::testing::ValuesIn(golden::read_cases()),
                         [](const auto& test) { return golden::test_name(test.param); });

}  // namespace
