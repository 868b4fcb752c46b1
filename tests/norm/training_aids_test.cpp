// Running statistics that move only when they should: held, with a batch rejected, recalibrated.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <array>
#include <limits>
#include <stdexcept>
#include <vector>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::InstanceNorm;

template <class C>
class TrainingAids : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  using Tensor = typename C::template Tensor<3>;
  const Extents extents{6, 3, 10};
  typename C::Device where;

  Tensor batch(std::uint64_t seed) const { return random<Tensor>(extents, seed, 2, 3); }
};
TYPED_TEST_SUITE(TrainingAids, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(TrainingAids, AForwardDoneAgainUnderHoldMovesNothing) {
  using T = typename TypeParam::Scalar;
  BatchNorm<T> norm(3), once = norm;
  const auto first = this->batch(1), second = this->batch(2);
  auto y = first, again = first, expected = first;
  norm.forward(this->where.device, first, y);
  once.forward(this->where.device, first, expected);
  norm.hold_running_stats();
  EXPECT_TRUE(norm.holds_running_stats());
  norm.forward(this->where.device, first, again);  // as checkpointing does before its backward
  EXPECT_TRUE(same_bits(again, y)) << "of the batch, as before";
  norm.hold_running_stats(false);
  norm.forward(this->where.device, second, y);
  once.forward(this->where.device, second, expected);
  EXPECT_TRUE(same_bits(norm.running_mean(), once.running_mean()) && same_bits(norm.running_var(), once.running_var()));
  EXPECT_EQ(norm.num_batches_tracked(), 2);
}

TYPED_TEST(TrainingAids, ABatchWithNanOrInfinityIsRejectedAndCounted) {
  using T = typename TypeParam::Scalar;
  const auto check = [&](auto norm) {
    const auto good = this->batch(1);
    auto y = good;
    norm.forward(this->where.device, good, y);
    const auto mean = norm.running_mean(), var = norm.running_var();
    std::int64_t rejected = 0;
    for (const T odd : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(),
                        -std::numeric_limits<T>::infinity()}) {
      auto bad = this->batch(2);
      bad(5, 2, 9) = odd;
      norm.forward(this->where.device, bad, y);
      EXPECT_TRUE(std::isnan(y(5, 2, 9))) << "the output is what it always is";
      EXPECT_TRUE(std::isfinite(y(5, 1, 9)));
      EXPECT_TRUE(same_bits(norm.running_mean(), mean) && same_bits(norm.running_var(), var)) << "all channels";
      EXPECT_EQ(norm.num_batches_tracked(), 1);
      EXPECT_EQ(norm.num_batches_rejected(), ++rejected);
    }
    norm.forward(this->where.device, this->batch(3), y);
    EXPECT_EQ(norm.num_batches_tracked(), 2);
    EXPECT_FALSE(same_bits(norm.running_mean(), mean));
    EXPECT_EQ(norm.num_batches_rejected(), rejected);
  };
  check(BatchNorm<T>(3, {.reject_nonfinite = true}));
  check(BatchNorm<T>(3, {.momentum = std::nullopt, .reject_nonfinite = true}));
  check(InstanceNorm<T>(3, {.track_running_stats = true, .reject_nonfinite = true}));
}

TYPED_TEST(TrainingAids, AtTheEndsOfTheRangeNothingIsRejected) {
  using T = typename TypeParam::Scalar;
  BatchNorm<T> norm(3, {.reject_nonfinite = true});
  for (const double deviation : {static_cast<double>(std::numeric_limits<T>::max()) / 16,
                                 static_cast<double>(std::numeric_limits<T>::min()), 0.0}) {
    const auto x = random<typename TestFixture::Tensor>(this->extents, 1, 0, deviation);
    auto y = x;
    norm.forward(this->where.device, x, y);
  }
  EXPECT_EQ(norm.num_batches_rejected(), 0);
  EXPECT_EQ(norm.num_batches_tracked(), 3);
}

TYPED_TEST(TrainingAids, WithoutTheOptionNanGoesIn) {
  using T = typename TypeParam::Scalar;
  BatchNorm<T> norm(3);
  auto x = this->batch(1), y = x;
  x(0, 1, 0) = std::numeric_limits<T>::quiet_NaN();
  norm.forward(this->where.device, x, y);
  EXPECT_TRUE(std::isnan(norm.running_mean()(1)));
  EXPECT_TRUE(std::isfinite(norm.running_mean()(0)));
}

TYPED_TEST(TrainingAids, RecalibratedStatisticsAreThePlainAverageOfThePass) {
  using T = typename TypeParam::Scalar;
  BatchNorm<T> norm(3, {.momentum = 0.25}), average(3, {.momentum = std::nullopt});
  auto y = this->batch(1);
  norm.forward(this->where.device, this->batch(9), y);
  norm.eval();
  norm.hold_running_stats();
  norm.recalibrate([&] {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) norm.forward(this->where.device, this->batch(seed), y);
  });
  for (std::uint64_t seed = 1; seed <= 3; ++seed) average.forward(this->where.device, this->batch(seed), y);
  EXPECT_TRUE(same_bits(norm.running_mean(), average.running_mean()));
  EXPECT_TRUE(same_bits(norm.running_var(), average.running_var()));
  EXPECT_EQ(norm.num_batches_tracked(), 3);
  EXPECT_FALSE(norm.is_training());
  EXPECT_TRUE(norm.holds_running_stats());
  EXPECT_EQ(norm.options().momentum, 0.25);
}

TYPED_TEST(TrainingAids, APassThatThrowsLeavesModeAndMomentum) {
  BatchNorm<typename TypeParam::Scalar> norm(3, {.momentum = 0.25});
  norm.eval();
  EXPECT_THROW(norm.recalibrate([] { throw std::runtime_error("no more data"); }), std::runtime_error);
  EXPECT_FALSE(norm.is_training());
  EXPECT_EQ(norm.options().momentum, 0.25);
  BatchNorm<typename TypeParam::Scalar> without(3, {.track_running_stats = false});
  EXPECT_THROW(without.recalibrate([] {}), normkit::state_error);
  EXPECT_THROW(norm.set_momentum(1.5), normkit::argument_error);
  EXPECT_EQ(norm.options().momentum, 0.25);
  norm.set_momentum(std::nullopt);
  EXPECT_FALSE(norm.options().momentum);
}

TEST(TrainingAidsMemory, RejectingAllocatesNothing) {
  using Tensor = Eigen::Tensor<float, 3, Eigen::RowMajor>;
  auto x = random<Tensor>({6, 3, 10}, 1), y = x;
  BatchNorm<float> norm(3, {.reject_nonfinite = true});
  norm.forward(x, y);
  x(0, 0, 0) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(allocations_of([&] { norm.forward(x, y); }), 0);
  EXPECT_EQ(norm.num_batches_rejected(), 1);
}

}  // namespace
