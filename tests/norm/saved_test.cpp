// What a forward saved is taken for what it is: no other layer's, nothing moved away, and no new memory for a shape seen.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <limits>
#include <utility>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::LayerNorm;
using normkit::state_error;
using Matrix = Eigen::Tensor<float, 2, Eigen::RowMajor>;

TEST(Saved, OfAnotherLayerIsRefused) {
  const auto x = random<Matrix>({64, 10}, 1), dy = random<Matrix>({64, 10}, 2);
  Matrix y = x, dx = x;
  BatchNorm<float> batch(10);
  LayerNorm<float> features(10), samples(64, {.axis = 0});
  normkit::Saved<float> saved;
  batch.forward(x, y, saved);
  EXPECT_THROW(features.backward(x, dy, dx, saved), state_error);
  features.forward(x, y, saved);
  EXPECT_THROW(batch.backward(x, dy, dx, saved), state_error);
  EXPECT_THROW(samples.backward(x, dy, dx, saved), state_error);
  EXPECT_NO_THROW(features.backward(x, dy, dx, saved));
}

TEST(Saved, OfAnotherRankOrKindIsRefused) {
  const auto x = random<Matrix>({64, 10}, 1), dy = random<Matrix>({64, 10}, 2);
  Matrix y = x, dx = x;
  LayerNorm<float> norm(10);
  norm.forward(x, y);
  normkit::RMSNorm<float> squares(10);
  EXPECT_THROW(squares.backward(x, dy, dx, norm.saved()), state_error) << "about the mean";
  const auto volume = random<Eigen::Tensor<float, 3, Eigen::RowMajor>>({8, 8, 10}, 1);
  auto volume_dx = volume;
  EXPECT_THROW(norm.backward(volume, volume, volume_dx), state_error);
  const auto damaged = [&](auto part) {
    normkit::Saved<float> saved = norm.saved();
    (saved.*part).resize(3);
    EXPECT_THROW(norm.backward(x, dy, dx, saved), state_error);
  };
  damaged(&normkit::Saved<float>::mean);
  damaged(&normkit::Saved<float>::mean_lo);
  damaged(&normkit::Saved<float>::rstd);
  damaged(&normkit::Saved<float>::exponent);
}

TEST(Saved, OfRunningStatisticsFitsNoLayerNorm) {
  // One column: LayerNorm over axis 0 and BatchNorm then have the same view.
  const auto x = random<Matrix>({64, 3}, 1), dy = random<Matrix>({64, 3}, 2);
  Matrix y = x, dx = x;
  BatchNorm<float> batch(3);
  LayerNorm<float> samples(64, {.axis = 0});
  normkit::Saved<float> saved;
  batch.eval();
  batch.forward(x, y, saved);
  EXPECT_THROW(samples.backward(x, dy, dx, saved), state_error);
}

TEST(Saved, MovedAwayIsRefused) {
  const auto x = random<Matrix>({6, 10}, 1), dy = random<Matrix>({6, 10}, 2);
  Matrix y = x, dx = x;
  LayerNorm<float> norm(10);
  normkit::Saved<float> saved;
  norm.forward(x, y, saved);
  const normkit::Saved<float> taken = std::move(saved);
  EXPECT_THROW(norm.backward(x, dy, dx, saved), state_error);
  EXPECT_NO_THROW(norm.backward(x, dy, dx, taken));
}

TEST(Assigned, ALayerIsTheOther) {
  normkit::RMSNorm<float> norm(4), other(2);
  norm.weight()(3) = 5;
  other = norm;
  EXPECT_EQ(other.weight()(3), 5);
  other = normkit::RMSNorm<float>(2);
  EXPECT_EQ(other.weight().size(), 2);
}

TEST(Moved, ALayerMayTakeItsValueBack) {
  const auto x = random<Matrix>({300, 10}, 1), dy = random<Matrix>({300, 10}, 2);
  Matrix y = x, dx = x, expected = x;
  LayerNorm<float> norm(10);
  norm.forward(x, y);
  norm.backward(x, dy, expected);
  LayerNorm<float> other = std::move(norm);
  norm = other;
  norm.forward(x, y);
  norm.backward(x, dy, dx);
  EXPECT_TRUE(same_bits(dx, expected));
}

TEST(Memory, GoingBackToAShapeSeenAllocatesNothing) {
  const auto large = random<Matrix>({70, 10}, 1), small = random<Matrix>({7, 10}, 2);
  Matrix y_large = large, y_small = small;
  LayerNorm<float> norm(10);
  const auto train = [&](const Matrix& x, Matrix& y) {
    norm.forward(x, y);
    norm.backward(x, x, y);
  };
  train(large, y_large);
  train(small, y_small);
  EXPECT_EQ(allocations_of([&] {
              train(large, y_large);
              train(small, y_small);
            }),
            0);
}

TEST(Axis, AtTheEndOfTheIntegersIsOutOfRange) {
  const auto x = random<Matrix>({3, 4}, 1);
  Matrix y = x;
  constexpr Eigen::Index last = std::numeric_limits<Eigen::Index>::max();
  EXPECT_THROW(LayerNorm<float>(4, {.axis = last}).forward(x, y), normkit::argument_error);
  EXPECT_THROW(LayerNorm<float>(4, {.axis = -last}).forward(x, y), normkit::argument_error);
}

TEST(Infinity, InARunningStatisticReachesItsChannelWithItsSign) {
  const auto x = random<Eigen::Tensor<double, 2, Eigen::RowMajor>>({5, 3}, 1);
  auto y = x;
  BatchNorm<double> norm(3);
  norm.running_mean()(0) = std::numeric_limits<double>::infinity();
  norm.running_var()(1) = std::numeric_limits<double>::infinity();
  norm.eval();
  norm.forward(x, y);
  EXPECT_EQ(y(0, 0), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(y(0, 1), 0.0);
  EXPECT_TRUE(std::isfinite(y(0, 2)));
}

}  // namespace
