// Data on which normalization goes wrong elsewhere: far means, constants, tiny and huge values, NaN and infinity.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support/configs.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::LayerNorm;

template <class C>
class HardData : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  using Volume = typename C::template Tensor<3>;

  static Grouping channels(const Extents& extents) { return reference::per_channel(extents, 1); }
  static Grouping tokens(const Extents& extents) { return reference::per_token(extents, 2, 1); }

  /// Both norms, forward and backward, by the rule.
  void check(const Volume& x, double eps = 1e-5) {
    const Extents extents = extents_of(x);
    const auto dy = random<Volume>(extents, 77);
    BatchNorm<Scalar> batch(extents[1], {.eps = eps});
    LayerNorm<Scalar> layer(extents[2], {.eps = eps});
    set_parameters(batch, 3);
    set_parameters(layer, 4);
    const Grouping channel = channels(extents), token = tokens(extents);
    expect_step(batch, device_, x, dy, channel, reference::moments(reals(x), channel), Statistics::of_batch);
    expect_step(layer, device_, x, dy, token, reference::moments(reals(x), token), Statistics::of_batch);
  }

  Eigen::DefaultDevice device_;
};
TYPED_TEST_SUITE(HardData, ScalarsAndLayouts, ConfigName);

TYPED_TEST(HardData, FarMeans) {
  using Tensor = typename TestFixture::Volume;
  for (const double mean : {1e2, 1e4, -1e4, 3e6})
    for (const double deviation : {1.0, 1e-2}) {
      SCOPED_TRACE(::testing::Message() << "mean " << mean << ", deviation " << deviation);
      this->check(random<Tensor>({8, 3, 133}, 1, mean, deviation));
    }
}

/// The figure that is promised: mean 1e4, standard deviation 1e-2, y within 1e-6 of the exact value.
TYPED_TEST(HardData, FarMeanIsWithinAMillionth) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  const Extents extents{16, 2, 1000};
  const auto x = random<Tensor>(extents, 1, 1e4, 1e-2);
  BatchNorm<T> norm(2);
  const Tensor y = norm(x);
  const Grouping g = this->channels(extents);
  const Reals exact = reference::forward(reals(x), g, reference::moments(reals(x), g), eps_of(norm), {});
  const std::vector<T> got = values(y);
  Real farthest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) farthest = std::max(farthest, std::abs(Real(got[i]) - exact[i]));
  EXPECT_LT(farthest, 1e-6L);
}

TYPED_TEST(HardData, SmallAndLargeDeviations) {
  using Tensor = typename TestFixture::Volume;
  for (const double deviation : {1e-12, 1e-6, 1e-3, 1e3, 1e6, 1e12}) {
    SCOPED_TRACE(::testing::Message() << "deviation " << deviation);
    this->check(random<Tensor>({4, 3, 50}, 1, 0, deviation));
    this->check(random<Tensor>({4, 3, 50}, 1, 0, deviation), 0);
  }
}

TYPED_TEST(HardData, OneOutlier) {
  for (const int place : {0, 7, 49}) {  // the first element of a group is where sums may begin
    auto x = random<typename TestFixture::Volume>({4, 3, 50}, 1);
    x(0, 1, place) = 1e6f;
    this->check(x);
  }
}

TYPED_TEST(HardData, GroupsOfVeryDifferentScale) {
  using T = typename TypeParam::Scalar;
  auto x = random<typename TestFixture::Volume>({6, 3, 50}, 1);
  for (int n = 0; n < 6; ++n)
    for (int i = 0; i < 50; ++i) {
      x(n, 0, i) *= T(1e-8);
      x(n, 2, i) *= T(1e8);
    }
  this->check(x);
}

TYPED_TEST(HardData, AlternatingSignsAndRamps) {
  using T = typename TypeParam::Scalar;
  auto x = constant<typename TestFixture::Volume>({5, 3, 64}, 0);
  for (int n = 0; n < 5; ++n)
    for (int i = 0; i < 64; ++i) {
      x(n, 0, i) = i % 2 == 0 ? T(1) : T(-1);
      x(n, 1, i) = T(i + 64 * n);
      x(n, 2, i) = i % 13 == 0 ? T(1) : T(0);
    }
  this->check(x);
}

/// Blocks of a group of which one holds nothing but zeros, beside one at an end of the range.
TYPED_TEST(HardData, ZerosBesideTheEndsOfTheRange) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  for (const T number : {std::numeric_limits<T>::denorm_min(), std::numeric_limits<T>::max()}) {
    auto x = random<Tensor>({1, 2, 9000}, 1);
    for (int i = 0; i < 9000; ++i) {
      x(0, 0, i) = i < 4500 ? T(0) : i % 2 ? number : -number;
      x(0, 1, i) = i < 4500 ? number : T(0);
    }
    this->check(x, 0);
  }
}

/// The weight takes from the gradient what would not fit, or all of it.
TYPED_TEST(HardData, WeightsBesideGradientsAtTheEndsOfTheRange) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  using Limits = std::numeric_limits<T>;
  const Extents extents{4, 3, 50};
  const Grouping g = this->tokens(extents);
  auto x = random<Tensor>(extents, 1), dy = random<Tensor>(extents, 2);
  for (int i = 0; i < 50; ++i) x(1, 1, i) = T(3);  // no variance
  for (const T size : {Limits::min(), Limits::denorm_min(), Limits::max() / 16}) {
    LayerNorm<T> norm(50);
    set_parameters(norm, 4);
    norm.weight()(7) = T(0);
    norm.weight()(8) = 1 / Limits::min();
    for (int i = 0; i < 50; ++i) dy(1, 1, i) = dy(2, 1, i) = i % 3 ? size : -size;
    expect_step(norm, this->device_, x, dy, g, reference::moments(reals(x), g), Statistics::of_batch);
    norm.weight().setZero();
    expect_step(norm, this->device_, x, dy, g, reference::moments(reals(x), g), Statistics::of_batch);
  }
}

TYPED_TEST(HardData, ConstantGroupsGiveExactlyTheBias) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  for (const double eps : {1e-5, 0.0})
    for (const double value : {0.0, 0.1, 1.0, -3e6, 1e30}) {
      SCOPED_TRACE(::testing::Message() << "eps " << eps << ", value " << value);
      const auto x = constant<Tensor>({7, 3, 131}, static_cast<T>(value));
      BatchNorm<T> batch(3, {.eps = eps});
      LayerNorm<T> layer(131, {.eps = eps});
      set_parameters(batch, 3);
      set_parameters(layer, 4);
      const Tensor of_batch = batch(x), of_layer = layer(x);
      const auto batch_y = values(of_batch), layer_y = values(of_layer);
      for (std::size_t i = 0; i < batch_y.size(); ++i) {
        ASSERT_EQ(batch_y[i], batch.bias()(static_cast<Eigen::Index>(i / 131 % 3))) << i;
        ASSERT_EQ(layer_y[i], layer.bias()(static_cast<Eigen::Index>(i % 131))) << i;
      }
    }
}

TYPED_TEST(HardData, GroupsOfOneElementGiveTheBiasInLayerNorm) {
  using Tensor = typename TestFixture::Volume;
  LayerNorm<typename TypeParam::Scalar> norm(1);
  norm.bias().setConstant(2.5f);
  const Tensor y = norm(random<Tensor>({3, 4, 1}, 1, 1e5));
  for (const auto value : values(y)) EXPECT_EQ(value, 2.5f);
}

TYPED_TEST(HardData, RunningVarianceZeroWithoutEpsGivesTheBias) {
  using Tensor = typename TestFixture::Volume;
  BatchNorm<typename TypeParam::Scalar> norm(3, {.eps = 0});
  norm.running_var()(1) = 0;
  norm.bias().setConstant(2.5f);
  norm.eval();
  const auto x = random<Tensor>({4, 3, 5}, 1), dy = random<Tensor>({4, 3, 5}, 2);
  expect_step(norm, this->device_, x, dy, this->channels({4, 3, 5}), running_moments(norm), Statistics::running);
  const Tensor y = norm(x);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(y(2, 1, i), 2.5f);
}

TYPED_TEST(HardData, TheLeastRunningVarianceWithoutEps) {
  using Tensor = typename TestFixture::Volume;
  using T = typename TypeParam::Scalar;
  BatchNorm<T> norm(3, {.eps = 0});
  norm.running_var()(1) = std::numeric_limits<T>::min();
  norm.running_var()(2) = std::numeric_limits<T>::denorm_min();
  norm.eval();
  auto x = random<Tensor>({4, 3, 5}, 1), dy = random<Tensor>({4, 3, 5}, 2);
  expect_step(norm, this->device_, x, dy, this->channels({4, 3, 5}), running_moments(norm), Statistics::running);
}

TYPED_TEST(HardData, NaNAndInfinityStayInTheirGroup) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  using Limits = std::numeric_limits<T>;
  for (const Extents& extents : {Extents{4, 3, 5}, Extents{2, 17, 70}, Extents{3, 9, 1}, Extents{130, 3, 2}}) {
    for (const T bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
      SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents) << " with " << bad);
      auto x = random<Tensor>(extents, 1);
      x(1, 2, extents[2] - 1) = bad;
      this->check(x);
    }
  }
}

TYPED_TEST(HardData, NaNInDyReachesWhatDependsOnIt) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TestFixture::Volume;
  const Extents extents{4, 9, 35};
  const auto x = random<Tensor>(extents, 1);
  auto dy = random<Tensor>(extents, 2);
  dy(2, 5, 33) = std::numeric_limits<T>::quiet_NaN();
  BatchNorm<T> batch(9);
  LayerNorm<T> layer(35);
  const Grouping channel = this->channels(extents), token = this->tokens(extents);
  expect_step(batch, this->device_, x, dy, channel, reference::moments(reals(x), channel), Statistics::of_batch);
  expect_step(layer, this->device_, x, dy, token, reference::moments(reals(x), token), Statistics::of_batch);
  batch.zero_grad();
  batch.eval();  // here dx depends on its own dy alone
  expect_step(batch, this->device_, x, dy, channel, running_moments(batch), Statistics::running);
}

}  // namespace
