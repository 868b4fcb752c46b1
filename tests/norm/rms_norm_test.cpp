// RMSNorm against the oracle: axes, layouts, scalars, devices, options; hard data; what it refuses.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <sstream>

#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"
#include "support/lengths.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::RMSNorm;
using normkit::RMSNormOptions;

template <class C>
class RMSNormOracle : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;

  template <class Norm, class Tensor>
  void check(Norm norm, const Tensor& x, std::size_t first, std::size_t axes) {
    const Extents extents = extents_of(x);
    SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents) << ' ' << norm);
    const Grouping g = reference::per_token(extents, first, axes);
    const auto dy = random<Tensor>(extents, 10);
    for (int step = 0; step < 2; ++step) {  // gradients add up; evaluation changes nothing
      expect_step(norm, where_.device, x, dy, g, reference::squares(reals(x), g), Statistics::squares_of_batch);
      norm.eval();
    }
  }
  template <int Rank, class Norm>
  void check(Norm norm, const Extents& extents, std::size_t first, std::size_t axes) {
    set_parameters(norm, 3);
    check(norm, random<typename C::template Tensor<Rank>>(extents, 1, 0.5, 2), first, axes);
  }
  /// Over `Axes` axes of a tensor of rank 4 from `first` on.
  template <int Axes>
  void check_range(const Extents& extents, std::size_t first) {
    std::array<Index, Axes> shape;
    for (std::size_t axis = 0; axis < Axes; ++axis) shape[axis] = extents[first + axis];
    check<4>(RMSNorm<Scalar, Axes, C::layout>(shape, {.axis = static_cast<Index>(first)}), extents, first, Axes);
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(RMSNormOracle, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(RMSNormOracle, Tokens) {
  using T = typename TypeParam::Scalar;
  for (const std::int64_t features : seams()) this->template check<2>(RMSNorm<T>(features), {5, features}, 1, 1);
  for (const std::int64_t tokens : seams()) this->template check<2>(RMSNorm<T>(10), {tokens, 10}, 1, 1);
  for (const std::int64_t features : block_seams()) this->template check<2>(RMSNorm<T>(features), {2, features}, 1, 1);
  for (const std::int64_t tokens : block_seams()) this->template check<2>(RMSNorm<T>(3), {tokens, 3}, 1, 1);
  this->template check<1>(RMSNorm<T>(37), {37}, 0, 1);
  this->template check<3>(RMSNorm<T>(20011), {2, 1, 20011}, 2, 1);
}

TYPED_TEST(RMSNormOracle, AnyAxes) {
  for (std::size_t first = 0; first < 4; ++first) this->template check_range<1>({3, 4, 5, 7}, first);
  for (std::size_t first = 0; first < 3; ++first) this->template check_range<2>({3, 4, 5, 7}, first);
  this->template check_range<1>({2, 67, 31, 37}, 1);
  this->template check_range<3>({20, 5, 10, 10}, 1);
}

TYPED_TEST(RMSNormOracle, Options) {
  using T = typename TypeParam::Scalar;
  this->template check<2>(RMSNorm<T>(13, {.eps = 0}), {6, 13}, 1, 1);
  this->template check<2>(RMSNorm<T>(13, {.eps = 0.25}), {6, 13}, 1, 1);
  this->template check<2>(RMSNorm<T>(13, {.elementwise_affine = false}), {6, 13}, 1, 1);
  EXPECT_EQ(RMSNorm<T>(13).eps(), std::numeric_limits<T>::epsilon()) << "as in PyTorch";
}

/// Also where a row is longer than a block, and where blocks go across lanes.
TYPED_TEST(RMSNormOracle, ZeroCentredWeights) {
  using T = typename TypeParam::Scalar;
  for (const Index features : {1, 13, 768, 4096, 9001})
    this->template check<2>(RMSNorm<T>(features, {.zero_centred = true}), {7, features}, 1, 1);
  this->template check<3>(RMSNorm<T>(70, {.zero_centred = true, .axis = 1}), {3, 70, 11}, 1, 1);
}

TYPED_TEST(RMSNormOracle, ZeroCentredWeightsBeginAtZeroAndMeanOne) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TypeParam::template Tensor<2>;
  RMSNorm<T> centred(50, {.zero_centred = true}), plain(50);
  const auto x = random<Tensor>({4, 50}, 1);
  centred.weight().setConstant(T(3));
  centred.reset_parameters();
  EXPECT_EQ(centred.weight()(7), T(0));
  EXPECT_TRUE(same_bits(centred(x), plain(x)));
}

TYPED_TEST(RMSNormOracle, HardData) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TypeParam::template Tensor<2>;
  using Limits = std::numeric_limits<T>;
  const Extents extents{5, 4099};  // two blocks, which are merged
  const auto check = [&](const Tensor& x, double eps) {
    RMSNorm<T> norm(extents[1], {.eps = eps});
    set_parameters(norm, 3);
    this->check(norm, x, 1, 1);
    RMSNorm<T> centred(extents[1], {.eps = eps, .zero_centred = true});
    set_parameters(centred, 3);
    this->check(centred, x, 1, 1);
  };
  const double far = std::is_same_v<T, float> ? 1e18 : 1e150;
  for (const double scale : {1 / far / far, 1 / far, 1e-6, 1e4, far, far * far})  // squares under- and overflow
    for (const double eps : {1e-5, 0.0}) check(random<Tensor>(extents, 1, 0, scale), eps);
  for (const double mean : {1e4, -3e6}) check(random<Tensor>(extents, 1, mean, 1e-2), 1e-5);
  auto scales = random<Tensor>(extents, 1);
  for (Index i = 0; i < 4096; ++i) scales(2, i) *= static_cast<T>(far);  // a block of each kind in one row
  check(scales, 1e-5);
  for (const T bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
    auto x = random<Tensor>(extents, 1);
    x(3, 77) = bad;
    check(x, 1e-5);
  }
}

/// Finite numbers beside an infinite one are 0 times its rstd.
TYPED_TEST(RMSNormOracle, AnInfiniteNumberLeavesNothingOfTheOthers) {
  using T = typename TypeParam::Scalar;
  typename TypeParam::template Tensor<2> x = random<typename TypeParam::template Tensor<2>>({2, 5}, 1);
  x(0, 3) = std::numeric_limits<T>::infinity();
  const auto y = RMSNorm<T>(5)(x);
  EXPECT_EQ(y(0, 0), T(0));
  EXPECT_TRUE(std::isnan(y(0, 3)));
  EXPECT_NE(y(1, 3), T(0));
}

TYPED_TEST(RMSNormOracle, RowsOfZerosStayZero) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TypeParam::template Tensor<2>;
  for (const double eps : {1e-5, 0.0}) {
    RMSNorm<T> norm(5000, {.eps = eps});
    set_parameters(norm, 3);
    const auto x = constant<Tensor>({3, 5000}, T(0));
    this->check(norm, x, 1, 1);
    for (const T value : values(Tensor(norm(x)))) ASSERT_EQ(value, T(0));
  }
}

TYPED_TEST(RMSNormOracle, NoRowsGiveNothing) {
  using Tensor = typename TypeParam::template Tensor<2>;
  RMSNorm<typename TypeParam::Scalar> norm(4);
  const auto x = sized<Tensor>({0, 4});
  Tensor y = x, dx = x;
  norm.forward(this->where_.device, x, y);
  norm.backward(this->where_.device, x, y, dx);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(norm.weight_grad()(i), 0);
}

TEST(RMSNorm, RefusesWhatLayerNormRefuses) {
  expect_error<normkit::argument_error>([] { RMSNorm<float>(0); }, {"RMSNorm", "normalized_shape", "0"});
  expect_error<normkit::argument_error>([] { RMSNorm<float>(3, {.eps = -0.25}); }, {"RMSNorm", "eps", "-0.25"});
  const auto x = random<Eigen::Tensor<float, 2>>({3, 4}, 1);
  expect_error<normkit::shape_error>([&] { RMSNorm<float>(5)(x); }, {"RMSNorm", "(5,)", "(3, 4)"});
}

TEST(RMSNorm, RefusesTheSavedOfALayerNorm) {
  const auto x = random<Eigen::Tensor<float, 2>>({3, 4}, 1);
  auto y = x, dx = x;
  normkit::LayerNorm<float> other(4);
  RMSNorm<float> norm(4);
  norm.forward(x, y);
  other.forward(x, y);
  expect_error<normkit::state_error>([&] { norm.backward(x, y, dx, other.saved()); }, {"RMSNorm", "another layer"});
}

TEST(RMSNorm, PrintsAsPyTorchs) {
  const auto shown = [](const auto& norm) { return (std::ostringstream() << norm).str(); };
  EXPECT_EQ(shown(RMSNorm<float>(10)), "RMSNorm((10,), eps=None, elementwise_affine=True)");
  EXPECT_EQ((shown(RMSNorm<float, 2>({5, 10}, {.eps = 1e-6, .elementwise_affine = false}))),
            "RMSNorm((5, 10), eps=1e-06, elementwise_affine=False)");
  EXPECT_EQ(shown(RMSNorm<float>(10, {.zero_centred = true})),
            "RMSNorm((10,), eps=None, elementwise_affine=True, zero_centred=True)");
}

TEST(RMSNorm, HasNoBias) {
  RMSNorm<float> norm(10);
  EXPECT_EQ(norm.bias().size(), 0);
  EXPECT_EQ(norm.parameters().size(), 1u);
  EXPECT_TRUE(norm.buffers().empty());
}

}  // namespace
