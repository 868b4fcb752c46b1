// Running statistics that move once for several forwards, as one forward of the whole batch would move them.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <array>
#include <limits>
#include <vector>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::BatchNorm;
using normkit::BatchNormOptions;

template <class C>
class MicroBatches : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  using Volume = typename C::template Tensor<3>;

  /// The samples [begin, end).
  static Volume part_of(const Volume& x, Index begin, Index end) {
    const std::array<Index, 3> from{begin, 0, 0}, extents{end - begin, x.dimension(1), x.dimension(2)};
    return x.slice(from, extents);
  }
  /// Forwards of the parts between these samples.
  void forward(BatchNorm<Scalar>& norm, const Volume& x, const std::vector<Index>& ends) {
    Index begin = 0;
    for (const Index end : ends) {
      const Volume part = part_of(x, begin, end);
      Volume y = part;
      norm.forward(where_.device, part, y);
      begin = end;
    }
  }
  void check(const BatchNormOptions& options, const Volume& x, const std::vector<Index>& ends) {
    BatchNorm<Scalar> norm(x.dimension(1), options);
    norm.running_mean().setConstant(2);
    norm.set_num_batches_tracked(3);
    const reference::Running old = running_of(norm);
    norm.gather_running_stats();
    for (int round = 0; round < 2; ++round) {  // what was gathered before is forgotten
      if (round == 1) {
        norm.running_mean().setConstant(2);
        norm.running_var().setConstant(1);
        norm.set_num_batches_tracked(3);
      }
      forward(norm, x, ends);
      EXPECT_EQ(norm.running_mean()(0), Scalar(2)) << "nothing moves before";
      EXPECT_EQ(norm.num_batches_tracked(), 3);
      norm.move_running_stats();
      expect_running(norm, old, x, reference::per_channel(extents_of(x), 1));
    }
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(MicroBatches, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(MicroBatches, AddUpToTheWholeBatch) {
  using Tensor = typename TestFixture::Volume;
  const auto x = random<Tensor>({8, 19, 7}, 1, 0.5, 2);
  this->check({}, x, {1, 4, 8});
  this->check({}, x, {8});
  this->check({}, x, {1, 2, 3, 4, 5, 6, 7, 8});
  this->check({.momentum = std::nullopt}, x, {2, 8});
  this->check({.momentum = 1}, random<Tensor>({7, 3, 900}, 1, 1e4, 1e-2), {1, 2, 7});  // far from zero
  this->check({.momentum = 1}, random<Tensor>({3, 2, 40'009}, 1, 3), {1, 3});          // chunks
}

TYPED_TEST(MicroBatches, DivideByAllValuesWhereAsked) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  const auto x = random<Tensor>({8, 3, 7}, 1, 0.5, 2);
  BatchNorm<T> norm(3, {.momentum = 1, .unbiased_running_var = false});
  norm.gather_running_stats();
  this->forward(norm, x, {2, 8});
  norm.move_running_stats();
  const auto exact = expected_moments(reals(x), reference::per_channel(extents_of(x), 1));
  EXPECT_TRUE(keeps_rule(values(norm.running_var()), exact.var, roundings::running));
}

TYPED_TEST(MicroBatches, AtTheEndsOfTheRange) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  auto x = random<Tensor>({6, 3, 7}, 1);
  for (Index n = 0; n < 6; ++n)
    for (Index l = 0; l < 7; ++l) {
      x(n, 1, l) *= std::numeric_limits<T>::max() / 8;
      x(n, 2, l) *= std::numeric_limits<T>::min();
    }
  BatchNorm<T> whole(3, {.momentum = 1}), norm = whole;
  Tensor y = x;
  whole.forward(x, y);
  norm.gather_running_stats();
  this->forward(norm, x, {1, 3, 6});
  norm.move_running_stats();
  for (Index c = 0; c < 3; ++c) {
    EXPECT_NEAR(static_cast<double>(norm.running_mean()(c) / whole.running_mean()(c)), 1,
                2 * roundings::running * static_cast<double>(std::numeric_limits<T>::epsilon()));
    if (c != 1)
      EXPECT_EQ(norm.running_var()(c) == 0, whole.running_var()(c) == 0);
    else
      EXPECT_EQ(norm.running_var()(c), std::numeric_limits<T>::infinity());
  }
}

TYPED_TEST(MicroBatches, HeldRejectedAndEvaluatedOnesAreNotAmongThem) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  const auto x = random<Tensor>({4, 3, 5}, 1, 2, 3);
  Tensor bad = x, y = x;
  bad(1, 1, 1) = std::numeric_limits<T>::quiet_NaN();
  BatchNorm<T> norm(3, {.reject_nonfinite = true});
  const reference::Running old = running_of(norm);
  norm.gather_running_stats();
  norm.forward(bad, y);
  EXPECT_EQ(norm.num_batches_rejected(), 1);
  EXPECT_THROW(norm.move_running_stats(), normkit::state_error);
  norm.forward(x, y);
  norm.hold_running_stats();
  norm.forward(random<Tensor>({4, 3, 5}, 7), y);
  norm.hold_running_stats(false);
  norm.eval();
  norm.forward(random<Tensor>({4, 3, 5}, 8), y);
  norm.move_running_stats();
  expect_running(norm, old, x, reference::per_channel(extents_of(x), 1));
}

TYPED_TEST(MicroBatches, OfPaddedSamplesCountWhatIsValid) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  const auto x = random<Tensor>({2, 3, 6}, 1, 2, 3);
  // One sample alone, and five of the six positions of the other beside one of another batch: together as a tensor of 11.
  Eigen::Tensor<int, 1> lengths(2);
  lengths.setValues({6, 5});
  Tensor y = x, valid(1, 3, 11), y_valid(1, 3, 11);
  for (Index c = 0; c < 3; ++c)
    for (Index l = 0; l < 11; ++l) valid(0, c, l) = x(l / 6, c, l % 6);
  BatchNorm<T> norm(3);
  const reference::Running old = running_of(norm);
  norm.gather_running_stats();
  norm.forward(this->where_.device, x, lengths, y);
  lengths.setValues({3, 0});
  norm.forward(this->where_.device, x, lengths, y);
  norm.move_running_stats();
  Tensor all(1, 3, 14);
  for (Index c = 0; c < 3; ++c)
    for (Index l = 0; l < 14; ++l) all(0, c, l) = l < 11 ? valid(0, c, l) : x(0, c, l - 11);
  expect_running(norm, old, all, reference::per_channel(extents_of(all), 1));
}

TYPED_TEST(MicroBatches, AreCopiedForgottenAndRefused) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  const auto x = random<Tensor>({4, 3, 5}, 1, 2, 3);
  BatchNorm<T> norm(3);
  EXPECT_THROW(norm.move_running_stats(), normkit::state_error) << "not turned on";
  EXPECT_FALSE(norm.gathers_running_stats());
  norm.gather_running_stats();
  EXPECT_TRUE(norm.gathers_running_stats());
  EXPECT_THROW(norm.move_running_stats(), normkit::state_error) << "nothing yet";
  const reference::Running old = running_of(norm);
  this->forward(norm, x, {2});
  BatchNorm<T> copy = norm;
  norm.reset_running_stats();
  EXPECT_THROW(norm.move_running_stats(), normkit::state_error) << "reset";
  const Tensor rest = this->part_of(x, 2, 4);
  Tensor y = rest;
  copy.forward(rest, y);
  copy.move_running_stats();
  expect_running(copy, old, x, reference::per_channel(extents_of(x), 1));
  copy.gather_running_stats(false);
  const reference::Running moved = running_of(copy);
  y = x;
  copy.forward(x, y);
  expect_running(copy, moved, x, reference::per_channel(extents_of(x), 1));
  EXPECT_THROW(BatchNorm<T>(3, {.track_running_stats = false}).gather_running_stats(), normkit::state_error);
  norm.forward(x, y);
  norm.set_num_batches_tracked(0);
  norm.gather_running_stats(false);
  norm.recalibrate([&] { norm.forward(x, y); });
  EXPECT_EQ(norm.num_batches_tracked(), 1);
  norm.gather_running_stats();
  norm.recalibrate([&] { norm.forward(x, y); });
  EXPECT_EQ(norm.num_batches_tracked(), 1) << "recalibrated as if nothing were gathered";
  EXPECT_TRUE(norm.gathers_running_stats());
}

TYPED_TEST(MicroBatches, AreNotAllocatedFor) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  const auto x = random<Tensor>({4, 3, 5}, 1);
  Tensor y = x;
  BatchNorm<T> norm(3, {.reject_nonfinite = true});
  norm.gather_running_stats();
  const auto step = [&] {
    norm.forward(this->where_.device, x, y);
    norm.forward(this->where_.device, x, y);
    norm.move_running_stats();
  };
  step();
  EXPECT_EQ(allocations_of(step), 0);
}

}  // namespace
