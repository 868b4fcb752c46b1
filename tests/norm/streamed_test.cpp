// Outputs so large that they are written past the caches: the same bits on a pool, and as in place, where they are not.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include "support/configs.hpp"
#include "support/tensors.hpp"

namespace {

using namespace support;
namespace nk = normkit::detail;

template <class Layer>
bool same_gradients(Layer& a, Layer& b) {
  return same_bits(a.weight_grad(), b.weight_grad()) && same_bits(a.bias_grad(), b.bias_grad());
}

/// Forward and backward of layers made alike; `view` is the one that the layer sees in x.
template <class Tensor, class Make>
void expect_same_bits(const Extents& extents, const nk::StatView& view, const Make& make) {
  const auto x = random<Tensor>(extents, 1, 2), dy = random<Tensor>(extents, 2);
  Tensor y = x, dx = x;
  ASSERT_EQ(view.size(), x.size());
  ASSERT_EQ(nk::output_of(nk::Plan(view), y.data(), x.data()), nk::Output::streamed);
  ASSERT_NE(nk::output_of(nk::Plan(view), x.data(), x.data()), nk::Output::streamed);
  auto alone = make();
  alone.forward(x, y);
  alone.backward(x, dy, dx);

  auto pooled = make();
  Pooled where;
  Tensor other = x, other_dx = x;
  pooled.forward(where.device, x, other);
  pooled.backward(where.device, x, dy, other_dx);
  EXPECT_TRUE(same_bits(other, y) && same_bits(other_dx, dx) && same_gradients(pooled, alone)) << "on a pool";

  auto in_place = make();
  in_place.forward(x, other);
  other_dx = dy;
  in_place.backward(x, other_dx, other_dx);
  EXPECT_TRUE(same_bits(other_dx, dx) && same_gradients(in_place, alone)) << "dx in place of dy";
  other = x;
  in_place.forward(other, other);
  EXPECT_TRUE(same_bits(other, y)) << "y in place of x";

  for (auto* layer : {&alone, &pooled, &in_place}) layer->eval();
  alone.infer(x, y);
  pooled.infer(where.device, x, other);
  EXPECT_TRUE(same_bits(other, y)) << "evaluation on a pool";
  if constexpr (requires { alone.running_mean(); }) {  // the layers have seen different numbers of batches
    in_place.running_mean() = alone.running_mean();
    in_place.running_var() = alone.running_var();
  }
  other = x;
  in_place.infer(other, other);
  EXPECT_TRUE(same_bits(other, y)) << "evaluation in place";
  alone.forward(x, y);
  pooled.forward(where.device, x, y);
  in_place.forward(x, y);
  alone.backward(x, dy, dx);
  pooled.backward(where.device, x, dy, other_dx);
  EXPECT_TRUE(same_bits(other_dx, dx)) << "backward of evaluation on a pool";
  other_dx = dy;
  in_place.backward(x, other_dx, other_dx);
  EXPECT_TRUE(same_bits(other_dx, dx)) << "backward of evaluation in place";
}

TEST(Streamed, OutputsThatAreAlignedAlike) {
  const nk::Plan plan(nk::StatView{1, 11, 64, 6480});
  alignas(64) static float memory[5 * 16];  // no more than addresses
  const float *const x = memory, *const dy = memory + 16;
  float *const dx = memory + 32, *const passed = memory + 48;
  EXPECT_EQ(nk::output_for(plan, nk::Masked<float>{dy, {}, passed}, dx, x), nk::Output::streamed);
  EXPECT_NE(nk::output_for(plan, nk::Masked<float>{dy, {}, passed + 1}, dx, x), nk::Output::streamed);
  EXPECT_NE(nk::output_for(plan, nk::Masked<float>{passed, {}, passed}, dx, x), nk::Output::streamed) << "in place";
  EXPECT_EQ(nk::output_for(plan, nk::Masked<float>{dy, {}, nullptr}, dx, x), nk::Output::streamed);
  EXPECT_NE(nk::output_of(plan, reinterpret_cast<float*>(reinterpret_cast<std::uintptr_t>(dx) + 1), x),
            nk::Output::streamed)
      << "of a float that is cut by a line";
}

TEST(Streamed, BatchNormOfImages) {
  expect_same_bits<Eigen::Tensor<float, 4, Eigen::RowMajor>>({11, 64, 80, 81}, {1, 11, 64, 6480},
                                                             [] { return normkit::BatchNorm<float>(64); });
}

TEST(Streamed, BatchNormWithChannelsLast) {
  for (const Eigen::Index channels : {70, 600})  // a part of a tile, and more than one
    expect_same_bits<Eigen::Tensor<float, 2, Eigen::RowMajor>>(
        {4300000 / channels, channels}, {1, 4300000 / channels, channels, 1},
        [channels] { return normkit::BatchNorm<float>(channels); });
}

TEST(Streamed, LayerNormInOnePassAndInTwo) {
  for (const Eigen::Index features : {771, 9000}) {
    const nk::StatView view{1, 1, 2200000 / features, features};
    ASSERT_EQ(nk::fits_rows<double>(nk::Plan(view), nk::Plan(view.dual())), features == 771);
    expect_same_bits<Eigen::Tensor<double, 2, Eigen::RowMajor>>(
        {2200000 / features, features}, view, [features] { return normkit::LayerNorm<double>(features); });
  }
}

TEST(Streamed, LayerNormOverAMiddleAxis) {
  expect_same_bits<Eigen::Tensor<float, 3, Eigen::RowMajor>>(
      {14, 96, 3192}, {14, 96, 3192, 1}, [] { return normkit::LayerNorm<float, 1, Eigen::RowMajor>(96, {.axis = 1}); });
}

}  // namespace
