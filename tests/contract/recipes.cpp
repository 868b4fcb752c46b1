// The code of docs/recipes.md, as it stands there, and what the page says of it.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#if __has_include(<nlohmann/json.hpp>)
#include <normkit/safetensors.hpp>
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <limits>
#include <vector>

#include "support/rule.hpp"

namespace {

TEST(Recipes, Residual) {
#include "recipes/residual.inl"
  Eigen::Tensor<float, 2, Eigen::RowMajor> added = x + residual, alone(32, 768), gradient(32, 768);
  norm.forward(added, alone);
  norm.backward(added, dy, gradient);
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    ASSERT_EQ(sum.data()[i], added.data()[i]);
    ASSERT_EQ(y.data()[i], alone.data()[i]);
    ASSERT_EQ(dx.data()[i], dsum.data()[i] + gradient.data()[i]);
  }
}

TEST(Recipes, Relu) {
#include "recipes/relu.inl"
  Eigen::Tensor<float, 4, Eigen::RowMajor> alone = x, masked = dy, gradient = x;
  norm.forward(x, alone);
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    const float sum = alone.data()[i] + residual.data()[i];
    ASSERT_EQ(y.data()[i], sum > 0 ? sum : 0);
    if (!(sum > 0)) masked.data()[i] = 0;
    ASSERT_EQ(dresidual.data()[i], masked.data()[i]);
  }
  norm.backward(x, masked, gradient);
  for (Eigen::Index i = 0; i < x.size(); ++i) ASSERT_EQ(dx.data()[i], gradient.data()[i]);
}

TEST(Recipes, SixteenBits) {
#include "recipes/sixteen_bits.inl"
  Eigen::Tensor<float, 4, Eigen::RowMajor> wide = x.cast<float>(), of_float(8, 64, 14, 14);
  normkit::BatchNorm2d<float>(64).forward(wide, of_float);
  for (Eigen::Index i = 0; i < x.size(); ++i) ASSERT_EQ(y.data()[i], Eigen::bfloat16(of_float.data()[i]));
  EXPECT_NE(norm.weight_grad()(0), 0.0f);
}

// With weight 1 and bias 0 the output, which lies in x, is xhat: dx of one channel by the formula, within k u cond.
TEST(Recipes, FromOutput) {
#include "recipes/from_output.inl"
  EXPECT_TRUE(norm.recovers());
  const auto each = [&](auto&& visit) {
    for (Eigen::Index n = 0; n < 8; ++n)
      for (Eigen::Index h = 0; h < 14; ++h)
        for (Eigen::Index w = 0; w < 14; ++w)
          visit(static_cast<double>(x(n, 5, h, w)), static_cast<double>(dy(n, 5, h, w)), dx(n, 5, h, w));
  };
  const double count = 8 * 14 * 14, rstd = norm.saved().rstd(5);
  double mean_dy = 0, mean_dy_xhat = 0, size_dy = 0, size_dy_xhat = 0;
  each([&](double xhat, double d, float) {
    mean_dy += d / count, size_dy += std::abs(d) / count;
    mean_dy_xhat += d * xhat / count, size_dy_xhat += std::abs(d * xhat) / count;
  });
  each([&](double xhat, double d, float got) {
    const double cond = rstd * (std::abs(d) + size_dy + std::abs(xhat) * size_dy_xhat);
    const double bound = std::ldexp(support::roundings::dx * cond, -24);
    ASSERT_NEAR(static_cast<double>(got), rstd * (d - mean_dy - xhat * mean_dy_xhat), bound);
  });
}

// Each forward has the mean 0 in each column of x, each row of columns, or each token: 6 u (2 |xhat|) of each y, by rule.hpp, with
// |xhat| below sqrt(32).
TEST(Recipes, Matrices) {
#include "recipes/matrices.inl"
  const float bound = std::ldexp(32 * 6.0f * 2 * 6, -24);
  for (Eigen::Index c = 0; c < 10; ++c) {
    EXPECT_NEAR(y.col(c).sum(), 0, bound);
    Eigen::VectorXf others = out.row(c);
    others(3) = 0;  // the token's
    EXPECT_NEAR(others.sum() + (columns(c, 3) - columns.row(c).mean()) * static_cast<float>(norm.saved().rstd(c)), 0, 2 * bound);
  }
  EXPECT_NEAR(out.col(3).sum(), 0, bound);
  EXPECT_EQ(norm.weight()(7), 0.5f);
}

// Where dy grows by the factor 1 + h the penalty grows by 1 + 2 h: sum(dy_grad * dy) = sum(dx^2). By rule.hpp, each dy_grad is
// within 19 u S rstd and each dx within 10 u S rstd, where S of numbers up to `most` and |xhat| up to `far` is at most
// 2 most + 2 far * 2 far most.
TEST(Recipes, Penalty) {
#include "recipes/penalty.inl"
  double by_dy = 0, penalty = 0, far = 0, allowed = 0;
  for (Eigen::Index i = 0; i < x.size(); ++i) far = std::max(far, std::abs(static_cast<double>(y.data()[i])));
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    const double upstream = static_cast<double>(dy.data()[i]), gradient = static_cast<double>(dx.data()[i]);
    by_dy += static_cast<double>(dy_grad.data()[i]) * upstream;
    penalty += gradient * gradient;
    const double size = (2 + 4 * far * far) * norm.saved().rstd(i / 64), largest_dx = size;
    allowed += std::ldexp(19 * size * largest_dx * std::abs(upstream) + 2 * 10 * size * std::abs(gradient), -24);
  }
  EXPECT_NEAR(by_dy, penalty, allowed);
  EXPECT_LT(allowed, penalty / 10) << "no agreement of anything with anything";
  EXPECT_NE(x_grad(3, 5), 0.0f);
}

// The padding is zero, and what is valid has the mean 0: each y within 6 u (2 |xhat| + 0) as rule.hpp says, |xhat| below 8.
TEST(Recipes, Lengths) {
#include "recipes/lengths.inl"
  double sum = 0;
  for (Eigen::Index n = 0; n < 4; ++n)
    for (Eigen::Index l = 0; l < 100; ++l) {
      if (l < lengths(n))
        sum += static_cast<double>(y(n, 5, l));
      else
        EXPECT_TRUE(y(n, 5, l) == 0.0f && dx(n, 5, l) == 0.0f);
    }
  EXPECT_NEAR(sum, 0, (100 + 31 + 7 + 64) * std::ldexp(6.0 * 16, -24));
}

TEST(Recipes, Ragged) {
#include "recipes/ragged.inl"
  Eigen::Tensor<float, 1> row(5), alone(5);
  for (Eigen::Index i = 0; i < 5; ++i) row(i) = x(i);
  normkit::LayerNorm<float>(5).forward(row, alone);
  for (Eigen::Index i = 0; i < 5; ++i) EXPECT_EQ(y(i), alone(i));
  EXPECT_EQ(y(5), 0.0f) << "a row of one is its bias";
}

TEST(Recipes, Checkpointing) {
#include "recipes/checkpointing.inl"
  Eigen::Tensor<float, 2> first(16, 10);
  normkit::BatchNorm1d<float> once(10);
  once.forward(x, first);
  EXPECT_EQ(norm.num_batches_tracked(), 1);
  for (Eigen::Index i = 0; i < y.size(); ++i) EXPECT_EQ(y.data()[i], first.data()[i]);
  for (Eigen::Index c = 0; c < 10; ++c) {
    EXPECT_EQ(norm.running_mean()(c), once.running_mean()(c));
    EXPECT_EQ(norm.running_var()(c), once.running_var()(c));
  }
}

TEST(Recipes, Rejected) {
#include "recipes/rejected.inl"
  EXPECT_EQ(norm.num_batches_rejected(), 1);
  EXPECT_EQ(norm.num_batches_tracked(), 0);
  for (Eigen::Index c = 0; c < 10; ++c) EXPECT_EQ(norm.running_mean()(c), 0.0f);
  EXPECT_TRUE(std::isnan(y(0, 4)));
}

TEST(Recipes, Frozen) {
#include "recipes/frozen.inl"
  EXPECT_EQ(norm.num_batches_tracked(), 0);
  EXPECT_NE(norm.weight_grad()(0), 0.0f);
  EXPECT_EQ(dx(0, 0) > 0, dy(0, 0) > 0);  // dy times a positive constant
}

TEST(Recipes, MicroBatches) {
#include "recipes/micro_batches.inl"
  Eigen::Tensor<float, 2> whole(21, 10), y(21, 10);
  for (Eigen::Index n = 0; n < 21; ++n)
    for (Eigen::Index c = 0; c < 10; ++c) whole(n, c) = n < 16 ? parts[0](n, c) : parts[1](n - 16, c);
  normkit::BatchNorm1d<float> at_once(10);
  at_once.forward(whole, y);
  EXPECT_EQ(norm.num_batches_tracked(), 1);
  for (Eigen::Index c = 0; c < 10; ++c) {
    EXPECT_FLOAT_EQ(norm.running_mean()(c), at_once.running_mean()(c));
    EXPECT_FLOAT_EQ(norm.running_var()(c), at_once.running_var()(c));
  }
}

TEST(Recipes, DataSet) {
#include "recipes/data_set.inl"
  EXPECT_EQ(all.count(), 21);
  double sum = 0;
  for (const auto& file : files)
    for (Eigen::Index n = 0; n < file.dimension(0); ++n) sum += static_cast<double>(norm(file)(n, 3));
  EXPECT_NEAR(sum / 21, 0, 6 * 0x1p-24 * 10);  // the rule, of numbers below 5
}

TEST(Recipes, Recalibrated) {
#include "recipes/recalibrated.inl"
  EXPECT_FALSE(norm.is_training());
  EXPECT_EQ(norm.num_batches_tracked(), 5);
  double total = 0;
  for (const auto& batch : batches)
    for (Eigen::Index n = 0; n < 16; ++n) total += static_cast<double>(batch(n, 7));
  // Five times a mean rounded to float and a running mean moved by two more roundings, of numbers below 1.
  EXPECT_NEAR(norm.running_mean()(7), total / 80, 15 * std::ldexp(1.0, -24));
}

TEST(Recipes, Diagnosed) {
#include "recipes/diagnosed.inl"
  EXPECT_EQ(found.dead, std::vector<Eigen::Index>{1});
  for (const double drift : found.std_drift) EXPECT_LT(drift, 1.0) << "numbers in [-1, 1] beside a running variance of 1";
}

#if __has_include(<nlohmann/json.hpp>)
TEST(Recipes, Saving) {
#include "recipes/saving.inl"
  EXPECT_EQ(checkpoint.tensors.size(), 7u);
  EXPECT_EQ(checkpoint.tensors.at("head.weight").dtype, "BF16");
  EXPECT_EQ(file.tensors.size(), 5u);
  std::filesystem::remove("model.safetensors");
}
#endif

TEST(Recipes, Conventions) {
#include "recipes/conventions.inl"
  EXPECT_EQ(of_keras.options().channel_axis, -1);
  EXPECT_EQ(of_keras.options().eps, 1e-3);
  EXPECT_EQ(*of_keras.options().momentum, 1 - 0.9);
  EXPECT_FALSE(of_keras.options().unbiased_running_var);
}

TEST(Recipes, Folded) {
#include "recipes/folded.inl"
  // (0 - 1) / sqrt(1 + 1e-5), in double and rounded once; 0.1 is rounded too.
  EXPECT_NEAR(bias(5), -1 / std::sqrt(1 + 1e-5), std::ldexp(1.0, -24));
  EXPECT_NEAR(weight(5, 3, 1, 2), 0.1 / std::sqrt(1 + 1e-5), std::ldexp(1.0, -26));
}

}  // namespace
