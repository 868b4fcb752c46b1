// Backward from the output: the gradients of the input's, by the rule, and refused where they would not be.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <cmath>
#include <limits>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/fixed_pool.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::BatchNorm;
using normkit::LayerNorm;
using normkit::RMSNorm;

// In xhat, in the place of the 4 roundings that the rule counts from x: the 6 of y, y - bias, 1 / weight and the product with
// it. In dx besides, weight^2 * rstd takes 3: two products and, of float, the store.
constexpr int dx_roundings = roundings::dx - 4 + 9 + 3, dweight_roundings = roundings::dweight - 4 + 9;

// Of LayerNorm and RMSNorm x - mean is made of y: the 6 of y, y - bias, weight * rstd, the quotient and the store; then * rstd.
constexpr int token_dx_roundings = roundings::dx - 4 + 11, token_dweight_roundings = roundings::dweight - 4 + 11;

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

  /// The same of a norm of tokens; into dy, into y, and into neither, which takes memory of another.
  template <int Rank, class Norm>
  void check_tokens(Norm norm, const Extents& extents, const Grouping& g) {
    using Tensor = typename C::template Tensor<Rank>;
    SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents) << ' ' << norm);
    set_parameters(norm, 3);
    if (norm.weight().size() > 0 && norm.bias().size() > 0)
      for (Index p = 0; p < norm.bias().size(); p += 3) norm.bias().data()[p] = Scalar(16) * norm.weight().data()[p];
    constexpr bool about_mean = !requires { norm.options().zero_centred; };
    const auto x = random<Tensor>(extents, 1, 0.5, 2), dy = random<Tensor>(extents, 2, 0.25);
    const Moments m = about_mean ? reference::moments(reals(x), g) : reference::squares(reals(x), g);
    Tensor y = x, dx = constant<Tensor>(extents, -77);
    norm.forward(where_.device, y, y);
    ASSERT_TRUE(norm.recovers());
    norm.backward_from_output(where_.device, y, dy, dx);
    const auto expected = expected_gradients(reals(x), reals(dy), g, m, eps_of(norm), affine_of(norm),
                                             about_mean ? Statistics::of_batch : Statistics::squares_of_batch, true);
    EXPECT_TRUE(keeps_rule(values(dx), expected.dx, token_dx_roundings));
    if (norm.weight().size() > 0) {
      EXPECT_TRUE(keeps_rule(values(norm.weight_grad()), expected.dweight, token_dweight_roundings));
    }
    if (norm.bias().size() > 0) {
      EXPECT_TRUE(keeps_rule(values(norm.bias_grad()), expected.dbias, roundings::dbias));
    }
    Norm other = norm;
    other.zero_grad();
    Tensor a = dy;
    other.backward_from_output(y, a, a, norm.saved());
    EXPECT_TRUE(same_bits(a, dx) && same_bits(other.weight_grad(), norm.weight_grad())) << "over dy, on one thread";
    other.zero_grad();
    other.backward_from_output(y, dy, a, norm.saved(), {.input = false});
    EXPECT_TRUE(same_bits(a, dx) && same_bits(other.weight_grad(), norm.weight_grad())) << "parameters alone";
    other.backward_from_output(y, dy, y, norm.saved());
    EXPECT_TRUE(same_bits(y, dx)) << "over y";
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(FromOutput, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(FromOutput, OfTokensKeepsTheRule) {
  using T = typename TypeParam::Scalar;
  const auto tokens = [](const Extents& extents, std::size_t first, std::size_t axes) {
    return reference::per_token(extents, first, axes);
  };
  this->template check_tokens<2>(LayerNorm<T>(257), {300, 257}, tokens({300, 257}, 1, 1));
  this->template check_tokens<2>(LayerNorm<T>(40009), {3, 40009}, tokens({3, 40009}, 1, 1));
  this->template check_tokens<2>(LayerNorm<T>(9, {.elementwise_affine = false}), {7, 9}, tokens({7, 9}, 1, 1));
  this->template check_tokens<2>(LayerNorm<T>(9, {.weight = false}), {7, 9}, tokens({7, 9}, 1, 1));
  this->template check_tokens<4>(LayerNorm<T>(6, {.bias = false, .axis = 1}), {3, 6, 5, 7}, tokens({3, 6, 5, 7}, 1, 1));
  this->template check_tokens<4>(LayerNorm<T, 2, TypeParam::layout>({5, 7}), {3, 6, 5, 7}, tokens({3, 6, 5, 7}, 2, 2));
  this->template check_tokens<2>(RMSNorm<T>(257), {30, 257}, tokens({30, 257}, 1, 1));
  this->template check_tokens<2>(RMSNorm<T>(9, {.zero_centred = true}), {7, 9}, tokens({7, 9}, 1, 1));
}

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

TYPED_TEST(Recovery, IsNotOfParametersOfAnotherSize) {
  auto norm = this->after(random<typename TestFixture::Tensor>({8, 2}, 1));
  norm.weight().resize(1);
  norm.weight().setConstant(1);
  norm.bias().resize(1);
  norm.bias().setZero();
  EXPECT_FALSE(norm.recovers());
  norm.weight().resize(2);
  norm.weight().setConstant(1);
  EXPECT_FALSE(norm.recovers()) << "a weight and a bias of different sizes";
  BatchNorm<TypeParam> biased(3, {.weight = false});
  biased.bias().resize(1);
  biased.bias().setZero();
  EXPECT_FALSE(biased.recovers());
  auto wide = this->after(random<typename TestFixture::Tensor>({8, 2}, 1));
  EXPECT_TRUE(BatchNorm<TypeParam>(1).recovers(wide.saved())) << "statistics of more channels; backward refuses them";
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

TYPED_TEST(Recovery, OfTokensIsRefusedWhereParametersOrStatisticsDoNotAllowIt) {
  using T = TypeParam;
  auto x = random<typename TestFixture::Tensor>({8, 2}, 1);
  auto y = x, dx = x;
  LayerNorm<T> norm(2);
  norm.forward(x, y);
  const auto refuse = [&] {
    EXPECT_FALSE(norm.recovers());
    const auto old = dx;
    expect_error<normkit::state_error>([&] { norm.backward_from_output(y, x, dx); }, {"LayerNorm", "16 |weight|"});
    EXPECT_TRUE(same_bits(dx, old));
  };
  norm.weight()(1) = T(0);
  refuse();
  norm.weight()(1) = T(-1);
  norm.bias()(1) = T(16.5);
  refuse();
  norm.bias()(1) = T(16);
  EXPECT_TRUE(norm.recovers());
  for (Index i = 0; i < x.size(); ++i) x.data()[i] *= std::numeric_limits<T>::min();
  LayerNorm<T> tiny(2, {.eps = 0});
  tiny.forward(x, y);
  norm = tiny;
  refuse();
  RMSNorm<T> centred(2, {.zero_centred = true});
  EXPECT_TRUE(centred.recovers()) << "a weight of 1 + 0";
  centred.weight()(0) = T(-1);
  EXPECT_FALSE(centred.recovers()) << "a weight of 1 - 1";
}

TYPED_TEST(Recovery, OfAConstantRowWithoutEpsHasNoGradient) {
  using T = TypeParam;
  auto x = constant<typename TestFixture::Tensor>({8, 2}, T(3)), y = x, dx = x;
  LayerNorm<T> norm(2, {.eps = 0});
  norm.forward(x, y);
  ASSERT_TRUE(norm.recovers());
  norm.backward_from_output(y, random<typename TestFixture::Tensor>({8, 2}, 2), dx);
  const auto zero = constant<typename TestFixture::Tensor>({8, 2}, T(0));
  for (Index i = 0; i < dx.size(); ++i) EXPECT_EQ(dx.data()[i], zero.data()[i]);
}

TEST(FromOutputMemory, IsNotAllocatedAfterTheFirstCall) {
  using Tokens = Eigen::Tensor<float, 2, Eigen::RowMajor>;
  auto x = random<Tokens>({300, 257}, 1), dy = random<Tokens>({300, 257}, 2), dx = x;
  FixedPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  LayerNorm<float> norm(257);
  norm.forward(device, x, x);
  const auto step = [&] {
    norm.backward_from_output(device, x, dy, dx);
    norm.backward_from_output(device, x, dy, dy);
  };
  step();
  EXPECT_EQ(allocations_of(step), 0);
}

TEST(FromOutputOfSixteenBits, IsRefusedBeyondTheirRange) {
  using Tokens = Eigen::Tensor<Eigen::half, 2, Eigen::RowMajor>;
  const auto recovers = [](double mean, double deviation) {
    Tokens x(2, 8);
    for (Index i = 0; i < 16; ++i) x.data()[i] = static_cast<Eigen::half>(mean + (i % 2 ? deviation : -deviation));
    LayerNorm<float> norm(8, {.eps = 1e-12});
    Tokens y = x, dx = x;
    norm.forward(x, y);
    if (!norm.recovers()) {
      expect_error<normkit::state_error>([&] { norm.backward_from_output(y, x, dx); }, {"range"});
      EXPECT_TRUE(same_bits(dx, x));
    }
    return norm.recovers();
  };
  EXPECT_TRUE(recovers(1, 0.25));
  EXPECT_TRUE(recovers(0, 20000)) << "sqrt(8) times that is a half";
  EXPECT_FALSE(recovers(0, 30000)) << "a row may have an x - mean beyond them all";
  EXPECT_FALSE(recovers(0, 0x1p-15)) << "a deviation among the subnormals";
}

// Three roundings to 16 bits: y, x - mean, and dx itself, which is at most cond; what float does besides is less than one more.
TEST(FromOutputOfSixteenBits, IsWithinTheirRoundings) {
  using Tokens = Eigen::Tensor<Eigen::bfloat16, 2, Eigen::RowMajor>;
  using Wide = Eigen::Tensor<float, 2, Eigen::RowMajor>;
  const auto made = [](std::uint64_t seed) { return Tokens(random<Wide>({30, 65}, seed).cast<Eigen::bfloat16>()); };
  const Tokens x = made(1), dy = made(2);
  LayerNorm<float> norm(65);
  Tokens y = x, dx = x;
  norm.forward(y, y);
  norm.backward_from_output(y, dy, dx);
  const Grouping g = reference::per_token({30, 65}, 1, 1);
  const Reals numbers = reals(Wide(x.cast<float>())), upstream = reals(Wide(dy.cast<float>()));
  const auto expected = expected_gradients(numbers, upstream, g, reference::moments(numbers, g), eps_of(norm),
                                           affine_of(norm), Statistics::of_batch, true);
  const Reals got = reals(Wide(dx.cast<float>()));
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_LE(std::abs(got[i] - expected.dx.exact[i]), 4 * std::ldexp(expected.dx.cond[i], -8)) << i;
}

}  // namespace
