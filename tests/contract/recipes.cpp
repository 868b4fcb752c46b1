// The code of docs/recipes.md, as it stands there, and what the page says of it.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <vector>

namespace {

TEST(Recipes, Residual) {
#include "residual.inl"
  Eigen::Tensor<float, 2, Eigen::RowMajor> added = x + residual, alone(32, 768), gradient(32, 768);
  norm.forward(added, alone);
  norm.backward(added, dy, gradient);
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    ASSERT_EQ(sum.data()[i], added.data()[i]);
    ASSERT_EQ(y.data()[i], alone.data()[i]);
    ASSERT_EQ(dx.data()[i], dsum.data()[i] + gradient.data()[i]);
  }
}

TEST(Recipes, SixteenBits) {
#include "sixteen_bits.inl"
  Eigen::Tensor<float, 4, Eigen::RowMajor> wide = x.cast<float>(), of_float(8, 64, 14, 14);
  normkit::BatchNorm2d<float>(64).forward(wide, of_float);
  for (Eigen::Index i = 0; i < x.size(); ++i) ASSERT_EQ(y.data()[i], Eigen::bfloat16(of_float.data()[i]));
  EXPECT_NE(norm.weight_grad()(0), 0.0f);
}

TEST(Recipes, FromOutput) {
#include "from_output.inl"
  double sum = 0;  // a gradient of the input has the mean 0 in each channel
  for (Eigen::Index n = 0; n < 8; ++n)
    for (Eigen::Index h = 0; h < 14; ++h)
      for (Eigen::Index w = 0; w < 14; ++w) sum += static_cast<double>(dy(n, 5, h, w));
  EXPECT_TRUE(norm.recovers());
  EXPECT_LE(std::abs(sum), 8 * 14 * 14 * 16 * std::ldexp(1.0, -24) * 8);  // 16 roundings of terms below 8 in each
}

TEST(Recipes, Checkpointing) {
#include "checkpointing.inl"
  normkit::BatchNorm1d<float> once(10);
  once.forward(x, y);
  EXPECT_EQ(norm.num_batches_tracked(), 1);
  for (Eigen::Index c = 0; c < 10; ++c) EXPECT_EQ(norm.running_var()(c), once.running_var()(c));
}

TEST(Recipes, Rejected) {
#include "rejected.inl"
  EXPECT_EQ(norm.num_batches_rejected(), 1);
  EXPECT_EQ(norm.num_batches_tracked(), 0);
  for (Eigen::Index c = 0; c < 10; ++c) EXPECT_EQ(norm.running_mean()(c), 0.0f);
  EXPECT_TRUE(std::isnan(y(0, 4)));
}

TEST(Recipes, Frozen) {
#include "frozen.inl"
  EXPECT_EQ(norm.num_batches_tracked(), 0);
  EXPECT_NE(norm.weight_grad()(0), 0.0f);
  EXPECT_EQ(dx(0, 0) > 0, dy(0, 0) > 0);  // dy times a positive constant
}

TEST(Recipes, Recalibrated) {
#include "recalibrated.inl"
  EXPECT_FALSE(norm.is_training());
  EXPECT_EQ(norm.num_batches_tracked(), 5);
  double total = 0;
  for (const auto& batch : batches)
    for (Eigen::Index n = 0; n < 16; ++n) total += static_cast<double>(batch(n, 7));
  // Five times a mean rounded to float and a running mean moved by two more roundings, of numbers below 1.
  EXPECT_NEAR(norm.running_mean()(7), total / 80, 15 * std::ldexp(1.0, -24));
}

TEST(Recipes, Diagnosed) {
#include "diagnosed.inl"
  EXPECT_EQ(found.dead, std::vector<Eigen::Index>{1});
  EXPECT_LT(worst, 1.0) << "numbers in [-1, 1] or [0, 1] beside a running variance of 1";
}

TEST(Recipes, Conventions) {
#include "conventions.inl"
  EXPECT_EQ(of_keras.options().channel_axis, -1);
  EXPECT_EQ(of_keras.options().eps, 1e-3);
  EXPECT_EQ(*of_keras.options().momentum, 1 - 0.9);
}

TEST(Recipes, Folded) {
#include "folded.inl"
  // (0 - 1) / sqrt(1 + 1e-5), in double and rounded once.
  EXPECT_NEAR(bias(5), -1 / std::sqrt(1 + 1e-5), std::ldexp(1.0, -24));
}

}  // namespace
