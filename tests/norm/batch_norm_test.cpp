// BatchNorm against the oracle: every rank, channel axis, layout, scalar and device, in training and in evaluation.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include "support/configs.hpp"
#include "support/judge.hpp"
#include "support/lengths.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;

template <class C>
class BatchNormOracle : public ::testing::Test {
 protected:
  /// Two batches in training, so that statistics and gradients add up, then one in evaluation.
  template <int Rank, class Norm>
  void check(Norm norm, const Extents& extents, std::size_t axis) {
    using Tensor = typename C::template Tensor<Rank>;
    SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents) << ", channels on axis " << axis);
    const Grouping g = reference::per_channel(extents, axis);
    set_parameters(norm, 3);
    for (const std::uint64_t batch : {1u, 2u}) {
      // The second dy is mostly of one sign: roundings of its sum show there.
      const auto x = random<Tensor>(extents, batch, 0.5, 2),
                 dy = random<Tensor>(extents, 10 + batch, batch == 2 ? 3 : 0);
      const reference::Running old = running_of(norm);
      expect_step(norm, where_.device, x, dy, g, reference::moments(reals(x), g), Statistics::of_batch);
      expect_running(norm, old, x, g);
    }
    norm.eval();
    const auto x = random<Tensor>(extents, 5, -0.5), dy = random<Tensor>(extents, 15);
    expect_step(norm, where_.device, x, dy, g, running_moments(norm), Statistics::running);
    EXPECT_EQ(norm.num_batches_tracked(), 2) << "evaluation does not count";
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(BatchNormOracle, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(BatchNormOracle, Columns) {
  using T = typename TypeParam::Scalar;
  for (const std::int64_t channels : seams())
    this->template check<2>(normkit::BatchNorm1d<T>(channels), {5, channels}, 1);
  for (const std::int64_t rows : seams())
    if (rows > 1) this->template check<2>(normkit::BatchNorm1d<T>(3), {rows, 3}, 1);
  for (const std::int64_t rows : block_seams()) this->template check<2>(normkit::BatchNorm1d<T>(2), {rows, 2}, 1);
  this->template check<2>(normkit::BatchNorm1d<T>(67), {1031, 67}, 1);
  this->template check<2>(normkit::BatchNorm1d<T>(256), {64, 256}, 1);  // one block of the most rows
}

TYPED_TEST(BatchNormOracle, Signals) {
  using T = typename TypeParam::Scalar;
  for (const std::int64_t length : seams()) this->template check<3>(normkit::BatchNorm1d<T>(3), {2, 3, length}, 1);
  for (const std::int64_t length : block_seams())
    this->template check<3>(normkit::BatchNorm1d<T>(2), {1, 2, length}, 1);
  this->template check<3>(normkit::BatchNorm1d<T>(13), {1031, 13, 3}, 1);
  this->template check<3>(normkit::BatchNorm1d<T>(8), {4096, 8, 2}, 1);  // runs that fill 2 of 32 lanes
  this->template check<3>(normkit::BatchNorm1d<T>(2), {3, 2, 8009}, 1);
}

TYPED_TEST(BatchNormOracle, Images) {
  using T = typename TypeParam::Scalar;
  this->template check<4>(normkit::BatchNorm2d<T>(3), {2, 3, 4, 4}, 1);
  this->template check<4>(normkit::BatchNorm2d<T>(100), {2, 100, 5, 7}, 1);
  this->template check<4>(normkit::BatchNorm2d<T>(17), {4, 17, 7, 7}, 1);
  this->template check<4>(normkit::BatchNorm2d<T>(33), {8, 33, 13, 13}, 1);
  this->template check<4>(normkit::BatchNorm2d<T>(1), {3, 1, 1, 5}, 1);
}

TYPED_TEST(BatchNormOracle, Volumes) {
  using T = typename TypeParam::Scalar;
  this->template check<5>(normkit::BatchNorm3d<T>(3), {2, 3, 2, 3, 5}, 1);
  this->template check<5>(normkit::BatchNorm3d<T>(9), {3, 9, 1, 4, 1}, 1);
}

TYPED_TEST(BatchNormOracle, ChannelsOnAnyAxis) {
  using T = typename TypeParam::Scalar;
  for (const int axis : {0, 1, 2, 3, -1, -2, -3, -4}) {
    const Extents extents{3, 4, 5, 7};
    const std::size_t from_front = static_cast<std::size_t>(axis < 0 ? axis + 4 : axis);
    this->template check<4>(BatchNorm<T>(extents[from_front], {.channel_axis = axis}), extents, from_front);
  }
  this->template check<5>(BatchNorm<T>(3, {.channel_axis = -1}), {2, 3, 1, 5, 3}, 4);
  this->template check<5>(BatchNorm<T>(5, {.channel_axis = 3}), {2, 3, 1, 5, 3}, 3);
  this->template check<2>(BatchNorm<T>(6, {.channel_axis = 0}), {6, 9}, 0);
}

TYPED_TEST(BatchNormOracle, ChannelsLast) {
  using T = typename TypeParam::Scalar;
  for (const std::int64_t channels : seams())
    this->template check<3>(BatchNorm<T>(channels, {.channel_axis = -1}), {3, 5, channels}, 2);
  this->template check<3>(BatchNorm<T>(131, {.channel_axis = -1}), {7, 61, 131}, 2);
}

template <class C>
class BatchNormWorked : public BatchNormOracle<C> {};
using FloatOnly = ::testing::Types<Config<float, Eigen::RowMajor, Alone>, Config<float, Eigen::RowMajor, Pooled>>;
TYPED_TEST_SUITE(BatchNormWorked, FloatOnly, ConfigName);

TYPED_TEST(BatchNormWorked, AHundredChannels) {
  this->template check<4>(normkit::BatchNorm2d<float>(100), {20, 100, 35, 45}, 1);
}

TYPED_TEST(BatchNormWorked, AHundredChannelsNotAffine) {
  this->template check<4>(normkit::BatchNorm2d<float>(100, {.affine = false}), {20, 100, 35, 45}, 1);
}

TYPED_TEST(BatchNormWorked, AMillionRows) { this->template check<2>(BatchNorm<float>(2), {1'000'003, 2}, 1); }

}  // namespace
