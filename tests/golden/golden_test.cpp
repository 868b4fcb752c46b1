// The library gives what PyTorch gives.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <array>
#include <stdexcept>

#include "golden/expected.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using Eigen::Index;

template <class T, int Rank, int Layout>
using Tensor = Eigen::Tensor<T, Rank, Layout>;

/// Forward and backward of one case, compared with PyTorch's.
template <class T, int Rank, int Layout, class Norm>
void expect_outputs(const golden::Case& c, Norm& norm) {
  auto x = sized<Tensor<T, Rank, Layout>>(c.extents()), dy = x, y = x, dx = x;
  assign(x, c.values("x"));
  assign(dy, c.values("dy"));
  if (c.has("weight")) assign(norm.weight(), c.values("weight"));
  if (c.has("bias")) assign(norm.bias(), c.values("bias"));
  norm.forward(x, y);
  norm.backward(x, dy, dx);
  const auto gradients = golden::expected_gradients<T>(c);
  EXPECT_TRUE(keeps_rule(values(y), golden::expected_y<T>(c), roundings::y)) << "y";
  EXPECT_TRUE(keeps_rule(values(dx), gradients.dx, roundings::dx)) << "dx";
  EXPECT_TRUE(keeps_rule(values(norm.weight_grad()), gradients.dweight, roundings::dweight)) << "dweight";
  EXPECT_TRUE(keeps_rule(values(norm.bias_grad()), gradients.dbias, roundings::dbias)) << "dbias";
}

template <class T, int Rank, int Layout>
void expect_batch_norm(const golden::Case& c) {
  const bool tracks = c.has("running_mean"), training = c.number("training") != 0;
  const auto axis = static_cast<Index>(c.index("axis"));
  normkit::BatchNorm<T> norm(c.extents()[c.index("axis")], {.eps = c.number("eps"),
                                                            .momentum = c.optional("momentum"),
                                                            .track_running_stats = tracks,
                                                            .weight = c.has("weight"),
                                                            .bias = c.has("bias"),
                                                            .channel_axis = axis});
  if (tracks) {
    assign(norm.running_mean(), c.values("running_mean"));
    assign(norm.running_var(), c.values("running_var"));
    norm.set_num_batches_tracked(static_cast<std::int64_t>(c.number("batches")));
  }
  if (!training) norm.eval();
  expect_outputs<T, Rank, Layout>(c, norm);
  if (!tracks) return;
  EXPECT_EQ(norm.num_batches_tracked(), static_cast<std::int64_t>(c.number("batches_after")));
  const auto after = golden::expected_running<T>(c);
  const int k = training ? roundings::running : 0;  // evaluation moves nothing
  EXPECT_TRUE(keeps_rule(values(norm.running_mean()), after.mean, k)) << "running mean";
  EXPECT_TRUE(keeps_rule(values(norm.running_var()), after.var, k)) << "running variance";
}

template <class T, int Rank, int Layout>
void expect_group_norm(const golden::Case& c) {
  const auto axis = static_cast<Index>(c.index("axis")), channels = c.extents()[c.index("axis")];
  if (c.is_instance_norm()) {
    if constexpr (Rank >= 3) {
      normkit::InstanceNorm<T> norm(channels, {.eps = c.number("eps"),
                                               .affine = true,
                                               .weight = c.has("weight"),
                                               .bias = c.has("bias"),
                                               .channel_axis = axis});
      return expect_outputs<T, Rank, Layout>(c, norm);
    }
  }
  normkit::GroupNorm<T> norm(
      static_cast<Index>(c.index("groups")), channels,
      {.eps = c.number("eps"), .weight = c.has("weight"), .bias = c.has("bias"), .channel_axis = axis});
  expect_outputs<T, Rank, Layout>(c, norm);
}

template <class T, int Axes, int Rank, int Layout>
void expect_token_norm(const golden::Case& c) {
  std::array<Index, Axes> shape;
  for (std::size_t i = 0; i < Axes; ++i) shape[i] = c.extents()[c.index("axis") + i];
  const auto axis = static_cast<Index>(c.index("axis"));
  if (c.is_rms_norm()) {
    normkit::RMSNorm<T, Axes, Layout> norm(
        shape, {.eps = c.number("eps"), .elementwise_affine = c.has("weight"), .axis = axis});
    return expect_outputs<T, Rank, Layout>(c, norm);
  }
  normkit::LayerNorm<T, Axes, Layout> norm(
      shape, {.eps = c.number("eps"), .weight = c.has("weight"), .bias = c.has("bias"), .axis = axis});
  expect_outputs<T, Rank, Layout>(c, norm);
}

template <class T, int Rank, int Layout>
void expect_case(const golden::Case& c) {
  if (c.is_batch_norm()) {
    if constexpr (Rank >= 2) return expect_batch_norm<T, Rank, Layout>(c);
  }
  if (c.has_groups()) return expect_group_norm<T, Rank, Layout>(c);
  switch (c.index("axes")) {
    case 1:
      return expect_token_norm<T, 1, Rank, Layout>(c);
    case 2:
      return expect_token_norm<T, 2, Rank, Layout>(c);
    case 3:
      if constexpr (Rank >= 3) return expect_token_norm<T, 3, Rank, Layout>(c);
  }
  throw std::logic_error("golden_test knows no case like " + c.name);
}

template <class T, int Layout>
void expect_case(const golden::Case& c) {
  switch (c.extents().size()) {
    case 2:
      return expect_case<T, 2, Layout>(c);
    case 3:
      return expect_case<T, 3, Layout>(c);
    case 4:
      return expect_case<T, 4, Layout>(c);
    case 5:
      return expect_case<T, 5, Layout>(c);
  }
  throw std::logic_error("golden_test knows no rank like that of " + c.name);
}

class Golden : public ::testing::TestWithParam<golden::Case> {};

TEST_P(Golden, InDoubleRowMajor) { expect_case<double, Eigen::RowMajor>(GetParam()); }
TEST_P(Golden, InDoubleColMajor) { expect_case<double, Eigen::ColMajor>(GetParam()); }
TEST_P(Golden, InFloatRowMajor) { expect_case<float, Eigen::RowMajor>(GetParam()); }
TEST_P(Golden, InFloatColMajor) { expect_case<float, Eigen::ColMajor>(GetParam()); }

INSTANTIATE_TEST_SUITE_P(PyTorch, Golden, ::testing::ValuesIn(golden::read_cases()),
                         [](const auto& test) { return golden::test_name(test.param); });

}  // namespace
