// The options of other systems: running statistics and outputs by the formula that each of them documents.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <array>
#include <cmath>
#include <sstream>

#include "support/rule.hpp"

namespace {

namespace conventions = normkit::conventions;
using normkit::BatchNorm;
using normkit::InstanceNorm;
using normkit::LayerNorm;
using Rows = Eigen::Tensor<double, 2, Eigen::RowMajor>;

using support::Real;
constexpr Real u = 0x1p-53L;

/// Two batches of three values in one channel.
struct Batches {
  std::array<std::array<Real, 3>, 2> values{{{1, 2, 6}, {-3, 0, 9}}};

  static Real mean(const std::array<Real, 3>& v) { return (v[0] + v[1] + v[2]) / 3; }
  static Real mean_size(const std::array<Real, 3>& v) { return (std::abs(v[0]) + std::abs(v[1]) + std::abs(v[2])) / 3; }
  static Real squares(const std::array<Real, 3>& v) {
    const Real m = mean(v);
    return (v[0] - m) * (v[0] - m) + (v[1] - m) * (v[1] - m) + (v[2] - m) * (v[2] - m);
  }
};

/// running = keep * running + take * batch, the variance the squares / divisor. By the rule, twice for two batches.
void expect_convention(const normkit::BatchNormOptions& options, Real eps, Real keep, Real take, Real divisor) {
  const Batches batches;
  BatchNorm<double> norm(1, options);
  Real mean = 0, var = 1, size = 0;
  Rows x(3, 1), y(3, 1);
  for (const auto& batch : batches.values) {
    for (int i = 0; i < 3; ++i) x(i, 0) = static_cast<double>(batch[static_cast<std::size_t>(i)]);
    norm.forward(x, y);
    mean = keep * mean + take * Batches::mean(batch);
    size = keep * size + take * Batches::mean_size(batch);
    var = keep * var + take * Batches::squares(batch) / divisor;
    const Real rstd = 1 / std::sqrt(Batches::squares(batch) / 3 + eps);  // biased in every system
    for (int i = 0; i < 3; ++i) {
      const Real expected = (batch[static_cast<std::size_t>(i)] - Batches::mean(batch)) * rstd;
      const Real cond = std::abs(expected) + 2 * Batches::mean_size(batch) * rstd;
      EXPECT_LE(std::abs(static_cast<Real>(y(i, 0)) - expected), support::roundings::y * u * cond);
    }
  }
  const int k = 2 * support::roundings::running;
  EXPECT_LE(std::abs(static_cast<Real>(norm.running_mean()(0)) - mean), k * u * size);
  EXPECT_LE(std::abs(static_cast<Real>(norm.running_var()(0)) - var), k * u * var);
}

TEST(Conventions, OfPyTorch) {
  expect_convention({}, 1e-5L, 0.9L, 0.1L, 2);
  expect_convention(conventions::PyTorch{}, 1e-5L, 0.9L, 0.1L, 2);
  expect_convention(conventions::PyTorch{.eps = 1e-2, .momentum = 0.25}, 1e-2L, 0.75L, 0.25L, 2);
  EXPECT_FALSE(normkit::BatchNormOptions(conventions::PyTorch{.momentum = std::nullopt}).momentum);
}

TEST(Conventions, OfKeras) {
  expect_convention(conventions::Keras{}, 1e-3L, 0.99L, 0.01L, 3);
  expect_convention(conventions::Keras{.momentum = 0.75, .epsilon = 0.5}, 0.5L, 0.75L, 0.25L, 3);
}

TEST(Conventions, OfFlax) {
  expect_convention(conventions::Flax{}, 1e-5L, 0.99L, 0.01L, 3);
  expect_convention(conventions::Flax{.momentum = 0.5, .epsilon = 1e-4}, 1e-4L, 0.5L, 0.5L, 3);
}

TEST(Conventions, OfOnnx) { expect_convention(conventions::Onnx{}, 1e-5L, 0.9L, 0.1L, 3); }

TEST(Conventions, OfTensorFlowFused) {
  expect_convention(conventions::TensorFlowFused{}, 1e-3L, 0, 1, 2);
  expect_convention(conventions::TensorFlowFused{.exponential_avg_factor = 0.25}, 1e-3L, 0.75L, 0.25L, 2);
}

TEST(Conventions, OfTensorFlowFusedHaveALeastEpsilon) {
  EXPECT_EQ(normkit::BatchNormOptions(conventions::TensorFlowFused{.epsilon = 1e-7}).eps, 1.001e-5);
}

TEST(Conventions, OfCuDnnAreTheCallersAndRefusedWhereLeftOut) {
  EXPECT_THROW(BatchNorm<float>(1, conventions::CuDnn{.epsilon = 1e-4}), normkit::argument_error);
  EXPECT_THROW(BatchNorm<float>(1, conventions::CuDnn{.exponential_average_factor = 0.5}), normkit::argument_error);
}

TEST(Conventions, OfCuDnn) {
  expect_convention(conventions::CuDnn{.exponential_average_factor = 0.125, .epsilon = 1e-4}, 1e-4L, 0.875L, 0.125L, 2);
}

TEST(Conventions, SayWhereTheChannelsAre) {
  EXPECT_EQ(normkit::BatchNormOptions(conventions::Keras{}).channel_axis, -1);
  EXPECT_EQ(normkit::BatchNormOptions(conventions::Keras{.axis = 1}).channel_axis, 1);
  EXPECT_EQ(normkit::BatchNormOptions(conventions::Flax{}).channel_axis, -1);
  EXPECT_EQ(normkit::BatchNormOptions(conventions::TensorFlowFused{}).channel_axis, -1);
  EXPECT_EQ(normkit::BatchNormOptions(conventions::PyTorch{}).channel_axis, 1);
  EXPECT_EQ(normkit::BatchNormOptions(conventions::Onnx{}).channel_axis, 1);
}

TEST(Conventions, OfLayerNorm) {
  EXPECT_EQ(LayerNorm<float>(4, conventions::PyTorch{}).eps(), 1e-5);
  EXPECT_EQ(LayerNorm<float>(4, conventions::Keras{}).eps(), 1e-3);
  EXPECT_EQ(LayerNorm<float>(4, conventions::Flax{}).eps(), 1e-6);
  EXPECT_EQ(LayerNorm<float>(4, conventions::Onnx{}).eps(), 1e-5);
  EXPECT_FALSE(normkit::LayerNormOptions(conventions::Keras{}).axis);
  EXPECT_FALSE(normkit::LayerNormOptions(conventions::Flax{}).axis);
  LayerNorm<double, 2> norm({2, 3}, conventions::Onnx{.axis = 1});  // of (N, 2, 3), to the end
  Eigen::Tensor<double, 3, Eigen::RowMajor> x(5, 2, 3), y(5, 2, 3);
  x.setRandom();
  norm.forward(x, y);
  EXPECT_EQ(norm.saved().mean.size(), 5);
}

TEST(Conventions, ABiasedRunningVarianceIsShownAndIsInstanceNormsToo) {
  InstanceNorm<double> norm(1, {.track_running_stats = true, .unbiased_running_var = false});
  std::ostringstream shown;
  shown << norm;
  EXPECT_NE(shown.str().find("unbiased_running_var=False"), std::string::npos);
  Eigen::Tensor<double, 3, Eigen::RowMajor> x(2, 1, 3), y(2, 1, 3);
  const Batches batches;
  for (int n = 0; n < 2; ++n)
    for (int i = 0; i < 3; ++i)
      x(n, 0, i) = static_cast<double>(batches.values[static_cast<std::size_t>(n)][static_cast<std::size_t>(i)]);
  norm.forward(x, y);
  const Real batch = (Batches::squares(batches.values[0]) + Batches::squares(batches.values[1])) / 6;
  const Real var = 0.9L + 0.1L * batch;
  EXPECT_LE(std::abs(static_cast<Real>(norm.running_var()(0)) - var), support::roundings::running * u * var);
}

}  // namespace
