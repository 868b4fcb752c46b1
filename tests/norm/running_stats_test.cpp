// BatchNorm's running statistics and options: what moves, by how much, and what does not.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <limits>
#include <vector>

#include "support/configs.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::BatchNormOptions;

template <class C>
class RunningStats : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  using Volume = typename C::template Tensor<3>;

  void train_on(BatchNorm<Scalar>& norm, const Volume& x) {
    Volume y = sized<Volume>(extents_of(x));
    norm.train();
    norm.forward(x, y);
  }

  /// Forward and backward in both modes, and the running statistics between, by the rule.
  void check_options(const BatchNormOptions& options) {
    BatchNorm<Scalar> norm(3, options);
    set_parameters(norm, 3);
    const auto x = random<Volume>(extents_, 1, 2, 3), dy = random<Volume>(extents_, 2);
    const Moments batch = reference::moments(reals(x), grouping_);
    const bool tracks = options.track_running_stats;
    const auto old = tracks ? running_of(norm) : reference::Running(3);
    expect_step(norm, device_, x, dy, grouping_, batch, Statistics::of_batch);
    if (tracks) expect_running(norm, old, x, grouping_);
    norm.eval();
    expect_step(norm, device_, x, dy, grouping_, tracks ? running_moments(norm) : batch,
                tracks ? Statistics::running : Statistics::of_batch);
  }

  Eigen::DefaultDevice device_;
  const Extents extents_{4, 3, 5};
  const Grouping grouping_ = reference::per_channel({4, 3, 5}, 1);
};
TYPED_TEST_SUITE(RunningStats, ScalarsAndLayouts, ConfigName);

TYPED_TEST(RunningStats, StartAtZeroAndOne) {
  const BatchNorm<typename TypeParam::Scalar> norm(3);
  for (int c = 0; c < 3; ++c) {
    EXPECT_EQ(norm.running_mean()(c), 0);
    EXPECT_EQ(norm.running_var()(c), 1);
  }
  EXPECT_EQ(norm.num_batches_tracked(), 0);
}

TYPED_TEST(RunningStats, FollowTheOracleOverManyBatches) {
  using Tensor = typename TestFixture::Volume;
  BatchNorm<typename TypeParam::Scalar> norm(3, {.momentum = 0.25});
  for (std::uint64_t batch = 1; batch <= 9; ++batch) {
    const auto x = random<Tensor>(this->extents_, batch, double(batch), 1.0 / double(batch));
    const reference::Running old = running_of(norm);
    this->train_on(norm, x);
    expect_running(norm, old, x, this->grouping_);
  }
}

TYPED_TEST(RunningStats, WithoutMomentumAreThePlainAverage) {
  using Tensor = typename TestFixture::Volume;
  BatchNorm<typename TypeParam::Scalar> norm(3, {.momentum = std::nullopt});
  Reals mean(3), var(3), size(3);
  constexpr int batches = 7;
  for (int batch = 1; batch <= batches; ++batch) {
    const auto x = random<Tensor>(this->extents_, static_cast<std::uint64_t>(batch), batch);
    this->train_on(norm, x);
    const auto exact = expected_moments(reals(x), this->grouping_);
    for (std::size_t c = 0; c < 3; ++c) {
      mean[c] += exact.mean.exact[c] / batches;
      size[c] += exact.mean.cond[c] / batches;
      var[c] += exact.var.exact[c] * 20 / 19 / batches;  // 20 values in a channel: divided by 19
    }
  }
  EXPECT_TRUE(keeps_rule(values(norm.running_mean()), {mean, size}, batches * roundings::running));
  EXPECT_TRUE(keeps_rule(values(norm.running_var()), {var, var}, batches * roundings::running));
}

TYPED_TEST(RunningStats, WithoutMomentumGoOnFromTheCounterThatWasSet) {
  using Tensor = typename TestFixture::Volume;
  BatchNorm<typename TypeParam::Scalar> norm(3, {.momentum = std::nullopt});
  norm.set_num_batches_tracked(9);
  norm.running_mean().setConstant(4);
  const auto x = random<Tensor>(this->extents_, 1);
  const reference::Running old = running_of(norm);
  ASSERT_EQ(old.batches, 9);
  this->train_on(norm, x);
  expect_running(norm, old, x, this->grouping_);  // a tenth of the batch, nine tenths of the old
}

TYPED_TEST(RunningStats, DoNotMoveWithMomentumZero) {
  using Tensor = typename TestFixture::Volume;
  BatchNorm<typename TypeParam::Scalar> norm(3, {.momentum = 0});
  this->train_on(norm, random<Tensor>(this->extents_, 1, 100));
  for (int c = 0; c < 3; ++c) {
    EXPECT_EQ(norm.running_mean()(c), 0);
    EXPECT_EQ(norm.running_var()(c), 1);
  }
  EXPECT_EQ(norm.num_batches_tracked(), 1);
}

TYPED_TEST(RunningStats, AreTheBatchsWithMomentumOne) {
  using Tensor = typename TestFixture::Volume;
  BatchNorm<typename TypeParam::Scalar> norm(3, {.momentum = 1});
  const auto x = random<Tensor>(this->extents_, 1, 100);
  this->train_on(norm, x);
  auto exact = expected_moments(reals(x), this->grouping_);
  for (Real& var : exact.var.exact) var *= Real(20) / 19;
  EXPECT_TRUE(keeps_rule(values(norm.running_mean()), exact.mean, roundings::mean));
  EXPECT_TRUE(keeps_rule(values(norm.running_var()), exact.var, roundings::var));
}

TYPED_TEST(RunningStats, NaNStaysInItsChannel) {
  using Tensor = typename TestFixture::Volume;
  BatchNorm<typename TypeParam::Scalar> norm(3);
  auto x = random<Tensor>(this->extents_, 1);
  x(2, 1, 3) = std::numeric_limits<typename TypeParam::Scalar>::quiet_NaN();
  const reference::Running old = running_of(norm);
  this->train_on(norm, x);
  expect_running(norm, old, x, this->grouping_);  // the rule compares classes: NaN in channel 1 alone
  ASSERT_TRUE(std::isnan(norm.running_mean()(1)));
  norm.eval();
  Tensor y = norm(random<Tensor>(this->extents_, 2));
  for (int c = 0; c < 3; ++c) EXPECT_EQ(std::isnan(y(0, c, 0)), c == 1);
}

TYPED_TEST(RunningStats, EveryOptionAgreesWithTheOracle) {
  this->check_options({.eps = 0});
  this->check_options({.eps = 0.5});
  this->check_options({.momentum = std::nullopt});
  this->check_options({.affine = false});
  this->check_options({.weight = false});
  this->check_options({.bias = false});
  this->check_options({.track_running_stats = false});
  this->check_options({.momentum = 0.9, .affine = false, .track_running_stats = false});
}

TYPED_TEST(RunningStats, WithoutTrackingThereAreNone) {
  using Tensor = typename TestFixture::Volume;
  BatchNorm<typename TypeParam::Scalar> norm(3, {.track_running_stats = false});
  this->train_on(norm, random<Tensor>(this->extents_, 1));
  EXPECT_TRUE(norm.buffers().empty());
  EXPECT_EQ(norm.running_mean().size(), 0);
  EXPECT_EQ(norm.running_var().size(), 0);
}

TYPED_TEST(RunningStats, EmptyBatchesMoveNothing) {
  using Tensor = typename TestFixture::Volume;
  for (const Extents& extents : {Extents{0, 3, 5}, Extents{4, 3, 0}, Extents{0, 3, 0}}) {
    BatchNorm<typename TypeParam::Scalar> norm(3, {.momentum = std::nullopt});
    this->train_on(norm, random<Tensor>(this->extents_, 1));
    const auto mean = values(norm.running_mean()), var = values(norm.running_var());
    for (const bool training : {true, false}) {
      norm.train();
      if (!training) norm.eval();
      const Tensor x = sized<Tensor>(extents);
      Tensor y = sized<Tensor>(extents), dx = sized<Tensor>(extents);
      norm.forward(x, y);
      norm.backward(x, y, dx);
      EXPECT_EQ(norm(x).size(), 0);
      EXPECT_EQ(values(norm.running_mean()), mean);
      EXPECT_EQ(values(norm.running_var()), var);
      EXPECT_EQ(norm.num_batches_tracked(), 1);
      for (int c = 0; c < 3; ++c) {
        EXPECT_EQ(norm.weight_grad()(c), 0);
        EXPECT_EQ(norm.bias_grad()(c), 0);
      }
    }
  }
}

TYPED_TEST(RunningStats, InferReadsThemAndMovesNothing) {
  using Tensor = typename TestFixture::Volume;
  BatchNorm<typename TypeParam::Scalar> norm(3);
  const auto x = random<Tensor>(this->extents_, 1);
  this->train_on(norm, x);
  const auto& constant_norm = norm;  // still training: infer evaluates whatever the mode
  Tensor y = sized<Tensor>(this->extents_);
  constant_norm.infer(x, y);
  expect_y(norm, x, y, this->grouping_, running_moments(norm), Statistics::running);
  EXPECT_EQ(norm.num_batches_tracked(), 1);
}

TYPED_TEST(RunningStats, ResetMakesThemAsNew) {
  using Tensor = typename TestFixture::Volume;
  BatchNorm<typename TypeParam::Scalar> norm(3);
  this->train_on(norm, random<Tensor>(this->extents_, 1, 5));
  norm.reset_running_stats();
  for (int c = 0; c < 3; ++c) {
    EXPECT_EQ(norm.running_mean()(c), 0);
    EXPECT_EQ(norm.running_var()(c), 1);
  }
  EXPECT_EQ(norm.num_batches_tracked(), 0);
}

}  // namespace
