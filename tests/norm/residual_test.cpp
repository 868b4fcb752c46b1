// Norms of a sum with a residual: forward_add and backward_add give the bits of their parts, one after the other.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <array>
#include <cmath>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/fixed_pool.hpp"
#include "support/judge.hpp"
#include "support/lengths.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::LayerNorm;
using normkit::RMSNorm;

template <class C>
class Residual : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  template <int Rank>
  using Tensor = typename C::template Tensor<Rank>;

  template <class Norm, class T>
  void check(Norm norm, const T& x, const T& residual, std::size_t first, std::size_t axes) {
    SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents_of(x)) << ' ' << norm);
    set_parameters(norm, 3);
    const Extents extents = extents_of(x);
    const T dy = random<T>(extents, 3), dsum = random<T>(extents, 4);
    Norm parts = norm;
    T sum = constant<T>(extents, -77), y = sum, dx = sum, expected_sum = x + residual, expected_y = sum;
    norm.forward_add(where_.device, x, residual, sum, y);
    EXPECT_TRUE(same_bits(sum, expected_sum)) << "sum";
    parts.forward(where_.device, expected_sum, expected_y);
    EXPECT_TRUE(same_bits(y, expected_y)) << "y";

    norm.backward_add(where_.device, sum, dy, dsum, dx);
    T expected_dx = sum;
    parts.backward(where_.device, sum, dy, expected_dx);
    expected_dx = (expected_dx + dsum).eval();
    EXPECT_TRUE(same_bits(dx, expected_dx)) << "dx";
    EXPECT_TRUE(same_bits(norm.weight_grad(), parts.weight_grad()));
    EXPECT_TRUE(same_bits(norm.bias_grad(), parts.bias_grad()));

    T again = sum, y_again = y;
    norm.infer_add(where_.device, x, residual, again, y_again);
    EXPECT_TRUE(same_bits(again, sum) && same_bits(y_again, y)) << "infer";

    // And by the rule, with the sum as the oracle sees it.
    const Grouping g = reference::per_token(extents, first, axes);
    constexpr bool about_mean = requires { norm.options().bias; };
    const auto statistics = about_mean ? Statistics::of_batch : Statistics::squares_of_batch;
    const Moments m = about_mean ? reference::moments(reals(sum), g) : reference::squares(reals(sum), g);
    Expected expected = expected_gradients(reals(sum), reals(dy), g, m, eps_of(norm), affine_of(norm), statistics).dx;
    expected = added(expected, reals(dsum));
    EXPECT_TRUE(keeps_rule(values(dx), expected, roundings::dx + 1)) << "dx";
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(Residual, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(Residual, OfTokens) {
  using T = typename TypeParam::Scalar;
  using Tokens = typename TypeParam::template Tensor<2>;
  for (const std::int64_t features : seams())
    this->check(LayerNorm<T>(features), random<Tokens>({5, features}, 1, 0.5, 2), random<Tokens>({5, features}, 2), 1,
                1);
  const auto x = random<Tokens>({300, 257}, 1, 0.5, 2), residual = random<Tokens>({300, 257}, 2);
  this->check(LayerNorm<T>(257), x, residual, 1, 1);
  this->check(LayerNorm<T>(257, {.elementwise_affine = false}), x, residual, 1, 1);
  this->check(RMSNorm<T>(257), x, residual, 1, 1);
  this->check(RMSNorm<T>(257, {.zero_centred = true}), x, residual, 1, 1);
}

TYPED_TEST(Residual, OfFewLongTokensAndOfImages) {
  using T = typename TypeParam::Scalar;
  using Tokens = typename TypeParam::template Tensor<2>;
  using Images = typename TypeParam::template Tensor<4>;
  this->check(LayerNorm<T>(40009), random<Tokens>({3, 40009}, 1), random<Tokens>({3, 40009}, 2), 1, 1);
  const auto x = random<Images>({3, 6, 5, 7}, 1), residual = random<Images>({3, 6, 5, 7}, 2);
  this->check(LayerNorm<T>(6, {.axis = 1}), x, residual, 1, 1);
  this->check(LayerNorm<T, 2, TypeParam::layout>({5, 7}), x, residual, 2, 2);
  this->check(RMSNorm<T, 3, TypeParam::layout>({6, 5, 7}), x, residual, 1, 3);
}

TYPED_TEST(Residual, AtTheEndsOfTheRange) {
  using T = typename TypeParam::Scalar;
  using Tokens = typename TypeParam::template Tensor<2>;
  const double far = std::is_same_v<T, float> ? 1e37 : 1e306;
  for (const double scale : {far, 1 / far}) {
    const auto x = random<Tokens>({7, 50}, 1, 0, scale), residual = random<Tokens>({7, 50}, 2, 0, scale);
    this->check(LayerNorm<T>(50, {.eps = 0}), x, residual, 1, 1);
    this->check(RMSNorm<T>(50, {.eps = 0.0}), x, residual, 1, 1);
  }
}

TYPED_TEST(Residual, OfWhatThreadsShareAndWhatLeavesTheCaches) {
  using T = typename TypeParam::Scalar;
  using Tokens = typename TypeParam::template Tensor<2>;
  using Sequences = typename TypeParam::template Tensor<3>;
  const auto check = [&]<class Norm, class X>(Norm norm, const X& like) {  // the bits alone: the oracle takes too long
    set_parameters(norm, 3);
    const Extents extents = extents_of(like);
    const X x = random<X>(extents, 1), residual = random<X>(extents, 2), dsum = random<X>(extents, 3);
    X sum(x.dimensions()), y(x.dimensions()), dx(x.dimensions()), expected(x.dimensions());
    Norm parts = norm;
    norm.forward_add(this->where_.device, x, residual, sum, y);
    const X expected_sum = x + residual;
    EXPECT_TRUE(same_bits(sum, expected_sum));
    parts.forward(this->where_.device, sum, expected);
    EXPECT_TRUE(same_bits(y, expected));
    norm.backward_add(this->where_.device, sum, x, dsum, dx);
    parts.backward(this->where_.device, sum, x, expected);
    expected = (expected + dsum).eval();
    EXPECT_TRUE(same_bits(dx, expected));
    EXPECT_TRUE(same_bits(norm.weight_grad(), parts.weight_grad()));
  };
  check(LayerNorm<T>(300'000), Tokens(2, 300'000));  // chunks of a row
  check(LayerNorm<T>(257), Tokens(1000, 257));       // prefetched, rows in one pass
  check(RMSNorm<T>(1024), Tokens(2100, 1024));       // streamed
  check(LayerNorm<T>(300, {.axis = 1}), Sequences(2, 300, 700));
}

TYPED_TEST(Residual, InPlaceOfItsInputs) {
  using T = typename TypeParam::Scalar;
  using Tokens = typename TypeParam::template Tensor<2>;
  const auto x = random<Tokens>({300, 257}, 1), residual = random<Tokens>({300, 257}, 2);
  auto& device = this->where_.device;
  LayerNorm<T> norm(257);
  Tokens sum = x, y = x, dx = x;
  norm.forward_add(device, x, residual, sum, y);
  norm.backward_add(device, sum, x, residual, dx);
  Tokens a = x, b = residual;
  norm.forward_add(device, a, b, a, b);
  EXPECT_TRUE(same_bits(a, sum) && same_bits(b, y)) << "sum in x, y in residual";
  a = x, b = residual;
  norm.forward_add(device, a, b, b, a);
  EXPECT_TRUE(same_bits(b, sum) && same_bits(a, y)) << "sum in residual, y in x";
  Tokens dy = x, dsum = residual;
  norm.backward_add(device, sum, dy, dsum, dsum);
  EXPECT_TRUE(same_bits(dsum, dx)) << "dx in dsum";
  norm.backward_add(device, sum, dy, residual, dy);
  EXPECT_TRUE(same_bits(dy, dx)) << "dx in dy";
  norm.backward_add(device, sum, x, residual, sum);
  EXPECT_TRUE(same_bits(sum, dx)) << "dx in sum";
}

TYPED_TEST(Residual, OfExpressionsWithACallersSaved) {
  using T = typename TypeParam::Scalar;
  using Tokens = typename TypeParam::template Tensor<2>;
  const auto x = random<Tokens>({7, 9}, 1), residual = random<Tokens>({7, 9}, 2);
  LayerNorm<T> norm(9);
  typename LayerNorm<T>::Saved saved;
  Tokens sum = x, y = x, dx = x, other = x, expected = x, twice = x + x;
  norm.forward_add(x + x, residual, sum, y, saved);
  EXPECT_EQ(norm.saved().mean.size(), 0);
  norm.forward_add(twice, residual, other, expected);
  EXPECT_TRUE(same_bits(y, expected));
  norm.backward_add(sum, y, x + x, dx, saved);
  norm.backward_add(sum, y, twice, other);
  EXPECT_TRUE(same_bits(dx, other));
}

TYPED_TEST(Residual, RefusesWhatDoesNotFit) {
  using T = typename TypeParam::Scalar;
  using Tokens = typename TypeParam::template Tensor<2>;
  const auto x = random<Tokens>({7, 9}, 1);
  const auto wrong = random<Tokens>({9, 7}, 1);
  LayerNorm<T> norm(9);
  Tokens sum = x, y = x, dx = x, small = wrong;
  EXPECT_THROW(norm.forward_add(x, wrong, sum, y), normkit::shape_error);
  EXPECT_THROW(norm.forward_add(x, x, small, y), normkit::shape_error);
  EXPECT_THROW(norm.forward_add(x, x, sum, small), normkit::shape_error);
  EXPECT_THROW(norm.forward_add(x, x, sum, sum), normkit::argument_error);
  EXPECT_THROW(norm.infer_add(x, x, y, y), normkit::argument_error);
  EXPECT_THROW(norm.backward_add(x, x, x, dx), normkit::state_error) << "no forward before it";
  norm.forward_add(x, x, sum, y);
  EXPECT_THROW(norm.backward_add(sum, y, wrong, dx), normkit::shape_error);
  EXPECT_TRUE(same_bits(dx, x)) << "untouched";
  Eigen::Tensor<T, 1> room(2 * 63);
  using Map = Eigen::TensorMap<Tokens>;
  Map low(room.data(), 7, 9), high(room.data() + 1, 7, 9);
  room.setZero();
  EXPECT_THROW(norm.forward_add(x, x, low, high), normkit::argument_error) << "y overlaps sum in part";
  EXPECT_THROW(norm.forward_add(low, x, high, y), normkit::argument_error) << "sum overlaps x in part";
  EXPECT_EQ(room(0), T(0));
  Tokens nothing = sized<Tokens>({0, 9}), none = nothing;
  norm.forward_add(nothing, nothing, nothing, none);
  norm.backward_add(nothing, none, none, none);
}

TEST(ResidualMemory, IsNotAllocatedAfterTheFirstCall) {
  using Tokens = Eigen::Tensor<float, 2, Eigen::RowMajor>;
  const auto x = random<Tokens>({300, 257}, 1), residual = random<Tokens>({300, 257}, 2);
  Tokens sum = x, y = x, dx = x;
  FixedPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  LayerNorm<float> norm(257);
  const auto step = [&] {
    norm.forward_add(device, x, residual, sum, y);
    norm.backward_add(device, sum, y, residual, dx);
  };
  step();
  EXPECT_EQ(allocations_of(step), 0);
}

TEST(ResidualOfSixteenBits, IsThatOfItsParts) {
  using Tokens = Eigen::Tensor<Eigen::bfloat16, 2, Eigen::RowMajor>;
  using Wide = Eigen::Tensor<float, 2, Eigen::RowMajor>;
  const Extents extents{30, 257};
  const auto made = [&](std::uint64_t seed) { return Tokens(random<Wide>(extents, seed).cast<Eigen::bfloat16>()); };
  const Tokens x = made(1), residual = made(2), dy = made(3), dsum = made(4);
  LayerNorm<float> norm(257), wide = norm;
  Tokens sum = x, y = x, dx = x, expected_y = x;
  norm.forward_add(x, residual, sum, y);
  const Tokens expected_sum = (x.cast<float>() + residual.cast<float>()).cast<Eigen::bfloat16>();
  EXPECT_TRUE(same_bits(sum, expected_sum));
  norm.infer(sum, expected_y);
  EXPECT_TRUE(same_bits(y, expected_y));
  norm.backward_add(sum, dy, dsum, dx);
  Wide wide_sum = sum.cast<float>(), wide_y = wide_sum, wide_dx = wide_sum;
  wide.forward(wide_sum, wide_y);
  wide.backward_add(wide_sum, dy.cast<float>(), dsum.cast<float>(), wide_dx);
  const Tokens expected_dx = wide_dx.cast<Eigen::bfloat16>();
  EXPECT_TRUE(same_bits(dx, expected_dx));
}

}  // namespace
