// BatchNorm's backward from its output: the gradients of the input's, by the rule, and refused where they would not be.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <cmath>
#include <limits>

#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::BatchNorm;

// In xhat, in the place of the 4 roundings that the rule counts from x: the 6 of y, y - bias, 1 / weight and the product with
// it. In dx besides, weight^2 * rstd takes 3: two products and, of float, the store.
constexpr int dx_roundings = roundings::dx - 4 + 9 + 3, dweight_roundings = roundings::dweight - 4 + 9;

template <class C>
class FromOutput : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;

  /// A forward in place and its backward, in training and in evaluation; weights of both signs, |bias / weight| up to the limit.
  template <int Rank>
  void check(BatchNorm<Scalar> norm, const Extents& extents, std::size_t axis) {
    using Tensor = typename C::template Tensor<Rank>;
    SCOPED_TRACE(::testing::PrintToString(extents));
    const Grouping g = reference::per_channel(extents, axis);
    set_parameters(norm, 3);
    if (norm.weight().size() > 0)
      for (Index c = 0; c < norm.bias().size(); c += 3) norm.bias()(c) = Scalar(16) * norm.weight()(c);
    for (const bool training : {true, false}) {
      norm.train(training);
      norm.zero_grad();
      const auto x = random<Tensor>(extents, 1, 0.5, 2), dy = random<Tensor>(extents, 2, 0.25);
      const Moments m = training ? reference::moments(reals(x), g) : running_moments(norm);
      Tensor y = x, dx = dy;
      norm.forward(where_.device, y, y);
      expect_error<normkit::state_error>([&] { norm.backward(where_.device, y, dy, dx); }, {"in place"});
      ASSERT_TRUE(norm.recovers());
      norm.backward_from_output(where_.device, y, dx, dx);
      const auto expected = expected_gradients(reals(x), reals(dy), g, m, eps_of(norm), affine_of(norm),
                                               training ? Statistics::of_batch : Statistics::running, true);
      EXPECT_TRUE(keeps_rule(values(dx), expected.dx, dx_roundings));
      if (norm.weight().size() > 0) {
        EXPECT_TRUE(keeps_rule(values(norm.weight_grad()), expected.dweight, dweight_roundings));
      }
      if (norm.bias().size() > 0) {
        EXPECT_TRUE(keeps_rule(values(norm.bias_grad()), expected.dbias, roundings::dbias));
      }
    }
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(FromOutput, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(FromOutput, KeepsTheRule) {
  using T = typename TypeParam::Scalar;
  this->template check<2>(BatchNorm<T>(67), {129, 67}, 1);
  this->template check<4>(BatchNorm<T>(17), {4, 17, 7, 7}, 1);
  this->template check<3>(BatchNorm<T>(33, {.channel_axis = -1}), {7, 61, 33}, 2);
  this->template check<3>(BatchNorm<T>(2), {3, 2, 8009}, 1);
}

TYPED_TEST(FromOutput, OfNormsThatLackParameters) {
  using T = typename TypeParam::Scalar;
  this->template check<3>(BatchNorm<T>(5, {.affine = false}), {3, 5, 9}, 1);
  this->template check<3>(BatchNorm<T>(5, {.weight = false}), {3, 5, 9}, 1);
  this->template check<3>(BatchNorm<T>(5, {.bias = false}), {3, 5, 9}, 1);
}

template <class T>
class Recovery : public ::testing::Test {
 protected:
  using Tensor = Eigen::Tensor<T, 2, Eigen::RowMajor>;

  /// Refused, with a message, and nothing is touched.
  static void expect_refused(BatchNorm<T>& norm) {
    const auto dy = random<Tensor>({8, 2}, 2), y = random<Tensor>({8, 2}, 3);
    Tensor dx = dy;
    const auto old = norm.weight_grad();
    EXPECT_FALSE(norm.recovers());
    expect_error<normkit::state_error>([&] { norm.backward_from_output(y, dy, dx); }, {"16 |weight|"});
    EXPECT_TRUE(same_bits(dx, dy) && same_bits(norm.weight_grad(), old));
  }
  static BatchNorm<T> after(const Tensor& x, normkit::BatchNormOptions options = {}) {
    BatchNorm<T> norm(2, options);
    Tensor y = x;
    norm.forward(y, y);
    return norm;
  }
};
TYPED_TEST_SUITE(Recovery, Scalars);

TYPED_TEST(Recovery, IsRefusedWhereTheParametersDoNotAllowIt) {
  using T = TypeParam;
  const auto x = random<typename TestFixture::Tensor>({8, 2}, 1);
  for (const auto& [weight, bias] : {std::pair{0.0, 0.0},
                                     {1.0, 16.5},
                                     {-1.0, -16.5},
                                     {0x1p-25, 0.0},
                                     {0x1p25, 0.0},
                                     {std::numeric_limits<double>::quiet_NaN(), 0.0},
                                     {1.0, std::numeric_limits<double>::quiet_NaN()}}) {
    SCOPED_TRACE(::testing::Message() << weight << " " << bias);
    auto norm = this->after(x);
    norm.weight()(1) = static_cast<T>(weight);
    norm.bias()(1) = static_cast<T>(bias);
    this->expect_refused(norm);
  }
  auto norm = this->after(x);
  norm.weight()(1) = static_cast<T>(-1);
  norm.bias()(1) = static_cast<T>(16);
  EXPECT_TRUE(norm.recovers());
}

TYPED_TEST(Recovery, IsRefusedAtTheEndsOfTheRange) {
  auto x = random<typename TestFixture::Tensor>({8, 2}, 1);
  for (Index i = 0; i < 8; ++i) x(i, 1) *= std::numeric_limits<TypeParam>::min();
  auto tiny =
      this->after(x, {.eps = 0});  // rstd is near 1 / the smallest normal number, which weight^2 takes out of the range
  tiny.weight().setConstant(static_cast<TypeParam>(0x1p10));
  this->expect_refused(tiny);
  x.setZero();
  auto constant = this->after(x, {.eps = 0});
  this->expect_refused(constant);
}

TYPED_TEST(Recovery, OfParametersIsKnownBeforeAnyForward) {
  BatchNorm<TypeParam> norm(2);
  EXPECT_TRUE(norm.recovers());
  norm.weight()(1) = TypeParam(0);
  EXPECT_FALSE(norm.recovers());
}

TYPED_TEST(Recovery, OfABatchWithNaNIsNaN) {
  auto x = random<typename TestFixture::Tensor>({8, 2}, 1);
  x(3, 1) = std::numeric_limits<TypeParam>::quiet_NaN();
  BatchNorm<TypeParam> norm(2);
  norm.forward(x, x);
  auto dx = random<typename TestFixture::Tensor>({8, 2}, 2);
  norm.backward_from_output(x, dx, dx);
  EXPECT_TRUE(std::isnan(dx(0, 1)));
  EXPECT_FALSE(std::isnan(dx(0, 0)));
}

}  // namespace
