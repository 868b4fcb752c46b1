// LayerNorm against the oracle: every contiguous range of axes, layout, scalar and device.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <array>

#include "support/configs.hpp"
#include "support/judge.hpp"
#include "support/lengths.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::LayerNorm;
using normkit::LayerNormOptions;

template <class C>
class LayerNormOracle : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;

  /// Two steps, so that gradients add up; the second in evaluation mode, which changes nothing for LayerNorm.
  template <int Rank, class Norm>
  void check(Norm norm, const Extents& extents, std::size_t first, std::size_t axes) {
    using Tensor = typename C::template Tensor<Rank>;
    SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents) << ", " << axes << " axes from " << first);
    const Grouping g = reference::per_token(extents, first, axes);
    set_parameters(norm, 3);
    for (const std::uint64_t batch : {1u, 2u}) {
      const auto x = random<Tensor>(extents, batch, 0.5, 2), dy = random<Tensor>(extents, 10 + batch);
      expect_step(norm, where_.device, x, dy, g, reference::moments(reals(x), g), Statistics::of_batch);
      norm.eval();
    }
  }

  /// LayerNorm over `Axes` axes of a tensor of rank 4 from `first` on.
  template <int Axes>
  void check_range(const Extents& extents, std::size_t first) {
    std::array<Index, Axes> shape;
    for (std::size_t axis = 0; axis < Axes; ++axis) shape[axis] = extents[first + axis];
    LayerNormOptions options;
    if (first + Axes < extents.size()) options.axis = static_cast<Index>(first);
    check<4>(LayerNorm<Scalar, Axes, C::layout>(shape, options), extents, first, Axes);
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(LayerNormOracle, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(LayerNormOracle, Tokens) {
  using T = typename TypeParam::Scalar;
  for (const std::int64_t features : seams()) this->template check<2>(LayerNorm<T>(features), {5, features}, 1, 1);
  for (const std::int64_t tokens : seams()) this->template check<2>(LayerNorm<T>(10), {tokens, 10}, 1, 1);
  for (const std::int64_t features : block_seams())
    this->template check<2>(LayerNorm<T>(features), {2, features}, 1, 1);
  for (const std::int64_t tokens : block_seams()) this->template check<2>(LayerNorm<T>(3), {tokens, 3}, 1, 1);
}

TYPED_TEST(LayerNormOracle, Sequences) {
  using T = typename TypeParam::Scalar;
  this->template check<3>(LayerNorm<T>(5), {2, 5, 5}, 2, 1);
  this->template check<3>(LayerNorm<T>(10), {20, 5, 10}, 2, 1);
  this->template check<3>(LayerNorm<T>(257), {13, 11, 257}, 2, 1);
  this->template check<3>(LayerNorm<T>(20011), {2, 1, 20011}, 2, 1);
  this->template check<5>(LayerNorm<T>(5), {2, 3, 1, 4, 5}, 4, 1);
}

TYPED_TEST(LayerNormOracle, OneVector) {
  this->template check<1>(LayerNorm<typename TypeParam::Scalar>(37), {37}, 0, 1);
}

TYPED_TEST(LayerNormOracle, OneAxis) {
  for (std::size_t first = 0; first < 4; ++first) this->template check_range<1>({3, 4, 5, 7}, first);
  for (const std::int64_t channels : seams()) this->template check_range<1>({2, channels, 3, 3}, 1);
  for (const std::int64_t width : seams()) this->template check_range<1>({2, 6, 1, width}, 1);
  this->template check_range<1>({2, 67, 31, 37}, 1);
}

TYPED_TEST(LayerNormOracle, TwoAxes) {
  for (std::size_t first = 0; first < 3; ++first) this->template check_range<2>({3, 4, 5, 7}, first);
  this->template check_range<2>({1, 4, 1, 9}, 1);
}

TYPED_TEST(LayerNormOracle, ThreeAxes) {
  for (std::size_t first = 0; first < 2; ++first) this->template check_range<3>({3, 4, 5, 7}, first);
  this->template check_range<3>({20, 5, 10, 10}, 1);
}

TYPED_TEST(LayerNormOracle, FourAxes) { this->template check_range<4>({3, 4, 5, 7}, 0); }

TYPED_TEST(LayerNormOracle, NegativeAxis) {
  using T = typename TypeParam::Scalar;
  this->template check<3>(LayerNorm<T>(4, {.axis = -2}), {3, 4, 5}, 1, 1);
  this->template check<3>(LayerNorm<T, 2, TypeParam::layout>({3, 4}, {.axis = -3}), {3, 4, 5}, 0, 2);
}

TYPED_TEST(LayerNormOracle, Options) {
  using T = typename TypeParam::Scalar;
  const Extents extents{6, 13};
  this->template check<2>(LayerNorm<T>(13, {.eps = 0}), extents, 1, 1);
  this->template check<2>(LayerNorm<T>(13, {.eps = 0.25}), extents, 1, 1);
  this->template check<2>(LayerNorm<T>(13, {.elementwise_affine = false}), extents, 1, 1);
  this->template check<2>(LayerNorm<T>(13, {.weight = false}), extents, 1, 1);
  this->template check<2>(LayerNorm<T>(13, {.bias = false}), extents, 1, 1);
}

TYPED_TEST(LayerNormOracle, NoRowsGiveNothing) {
  using Tensor = typename TypeParam::template Tensor<3>;
  for (const Extents& extents : {Extents{0, 5, 4}, Extents{5, 0, 4}, Extents{0, 0, 4}}) {
    LayerNorm<typename TypeParam::Scalar> norm(4);
    const auto x = sized<Tensor>(extents);
    Tensor y = x, dx = x;
    norm.forward(this->where_.device, x, y);
    norm.backward(this->where_.device, x, y, dx);
    norm.infer(this->where_.device, x, y);
    EXPECT_EQ(norm(x).size(), 0);
    EXPECT_EQ(norm.saved().mean.size(), 0);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(norm.weight_grad()(i), 0);
      EXPECT_EQ(norm.bias_grad()(i), 0);
    }
  }
}

template <class C>
class LayerNormLarge : public LayerNormOracle<C> {};
using FloatOnly = ::testing::Types<Config<float, Eigen::RowMajor, Alone>, Config<float, Eigen::RowMajor, Pooled>>;
TYPED_TEST_SUITE(LayerNormLarge, FloatOnly, ConfigName);

TYPED_TEST(LayerNormLarge, AMillionRows) { this->template check<2>(LayerNorm<float>(2), {1'000'003, 2}, 1, 1); }

TYPED_TEST(LayerNormLarge, AMillionFeatures) {
  this->template check<2>(LayerNorm<float>(1'000'003), {2, 1'000'003}, 1, 1);
}

}  // namespace
