// LayerNorm and RMSNorm of rows of different lengths: each row the bits of a layer of its own length, gradients of parameters by the
// rule.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/fixed_pool.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::LayerNorm;
using normkit::RMSNorm;

template <class C>
class RaggedRows : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  using Packed = typename C::template Tensor<1>;

  template <class Integer>
  static Eigen::Tensor<Integer, 1> offsets_of(const std::vector<Index>& lengths) {
    Eigen::Tensor<Integer, 1> offsets(static_cast<Index>(lengths.size()) + 1);
    offsets(0) = 0;
    for (std::size_t r = 0; r < lengths.size(); ++r)
      offsets(static_cast<Index>(r) + 1) =
          static_cast<Integer>(offsets(static_cast<Index>(r)) + static_cast<Integer>(lengths[r]));
    return offsets;
  }

  /// `alone(length)` is the same norm of that length; about_mean or not.
  template <class Norm, class Alone>
  void check(Norm norm, const std::vector<Index>& lengths, const Alone& alone, Statistics statistics) {
    SCOPED_TRACE(::testing::Message() << norm << " " << lengths.size() << " rows");
    const auto offsets = offsets_of<std::int64_t>(lengths);
    const std::int64_t size = offsets(offsets.size() - 1);
    set_parameters(norm, 3);
    const auto x = random<Packed>({size}, 1, 0.5, 2), dy = random<Packed>({size}, 2, 0.25);
    Packed y = constant<Packed>({size}, -77), dx = y, inferred = y;
    norm.forward(where_.device, x, offsets, y);
    norm.backward(where_.device, x, offsets, dy, dx);
    norm.infer(where_.device, x, offsets, inferred);
    EXPECT_TRUE(same_bits(inferred, y));

    const auto width = static_cast<std::size_t>(norm.normalized_shape()[0]);
    Expected dweight{Reals(width), Reals(width)}, dbias = dweight;
    for (std::size_t r = 0; r < lengths.size(); ++r) {
      const Index n = lengths[r];
      if (n == 0) continue;
      const Index begin = offsets(static_cast<Index>(r));
      Packed row_x(n), row_dy(n), row_y(n), row_dx(n), got_y(n), got_dx(n);
      for (Index i = 0; i < n; ++i) {
        row_x(i) = x(begin + i), row_dy(i) = dy(begin + i);
        got_y(i) = y(begin + i), got_dx(i) = dx(begin + i);
      }
      auto row = alone(n);
      if (row.weight().size() > 0) std::copy_n(norm.weight().data(), n, row.weight().data());
      if (row.bias().size() > 0) std::copy_n(norm.bias().data(), n, row.bias().data());
      row.forward(row_x, row_y);
      row.backward(row_x, row_dy, row_dx);
      ASSERT_TRUE(same_bits(got_y, row_y)) << "row " << r;
      ASSERT_TRUE(same_bits(got_dx, row_dx)) << "row " << r;
      const Grouping g = reference::per_token({n}, 0, 1);
      const Moments m = statistics == Statistics::of_batch ? reference::moments(reals(row_x), g)
                                                           : reference::squares(reals(row_x), g);
      const auto expected =
          expected_gradients(reals(row_x), reals(row_dy), g, m, eps_of(norm), affine_of(row), statistics);
      for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
        dweight.exact[i] += expected.dweight.exact[i], dweight.cond[i] += expected.dweight.cond[i];
        dbias.exact[i] += expected.dbias.exact[i], dbias.cond[i] += expected.dbias.cond[i];
      }
    }
    if (norm.weight().size() > 0) {
      EXPECT_TRUE(keeps_rule(values(norm.weight_grad()), dweight, roundings::dweight));
    }
    if (norm.bias().size() > 0) {
      EXPECT_TRUE(keeps_rule(values(norm.bias_grad()), dbias, roundings::dbias));
    }

    Norm other = norm;
    other.zero_grad();
    Packed a = dy, b = x;
    other.backward(x, offsets, a, a, norm.saved());
    EXPECT_TRUE(same_bits(a, dx) && same_bits(other.weight_grad(), norm.weight_grad())) << "over dy, on one thread";
    other.backward(b, offsets, dy, b, norm.saved());
    EXPECT_TRUE(same_bits(b, dx)) << "over x";
    b = x;
    other.forward(b, offsets, b);
    EXPECT_TRUE(same_bits(b, y)) << "in place";
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(RaggedRows, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(RaggedRows, AreRowsOfTheirLengths) {
  using T = typename TypeParam::Scalar;
  std::vector<Index> many;
  for (Index r = 0; r < 301; ++r) many.push_back(r * 37 % 258);
  for (const auto& lengths : {std::vector<Index>{5}, {0, 7, 1, 0, 257, 64, 0}, many}) {
    this->check(
        LayerNorm<T>(257), lengths, [](Index n) { return LayerNorm<T>(n); }, Statistics::of_batch);
    this->check(
        LayerNorm<T>(257, {.eps = 0.5, .bias = false}), lengths,
        [](Index n) { return LayerNorm<T>(n, {.eps = 0.5, .bias = false}); }, Statistics::of_batch);
    this->check(
        LayerNorm<T>(300, {.elementwise_affine = false}), lengths,
        [](Index n) { return LayerNorm<T>(n, {.elementwise_affine = false}); }, Statistics::of_batch);
    this->check(
        RMSNorm<T>(257, {.zero_centred = true}), lengths, [](Index n) { return RMSNorm<T>(n, {.zero_centred = true}); },
        Statistics::squares_of_batch);
  }
}

TYPED_TEST(RaggedRows, OfAnyIntegerAndOfNothing) {
  using T = typename TypeParam::Scalar;
  using Values = typename TestFixture::Packed;
  LayerNorm<T> norm(8);
  const auto x = random<Values>({9}, 1);
  Values y = x, expected = x;
  norm.forward(x, this->template offsets_of<std::uint8_t>({4, 5}), y);
  norm.forward(x, this->template offsets_of<int>({4, 5}), expected);
  EXPECT_TRUE(same_bits(y, expected));
  Values nothing(0), none(0);
  norm.forward(this->where_.device, nothing, this->template offsets_of<int>({0, 0}), none);
  norm.backward(this->where_.device, nothing, this->template offsets_of<int>({0, 0}), nothing, none);
  norm.forward(nothing, this->template offsets_of<int>({}), none);
  EXPECT_EQ(norm.weight_grad()(0), T(0));
}

TYPED_TEST(RaggedRows, HaveTheGradientsThatAreAskedFor) {
  using Values = typename TestFixture::Packed;
  using Norm = LayerNorm<typename TypeParam::Scalar>;
  const auto x = random<Values>({9}, 1), dy = random<Values>({9}, 2);
  const auto offsets = this->template offsets_of<int>({4, 5});
  Values y = x, dx = x, other = x, small(1);
  Norm all(8), weight(8), bias(8);
  for (Norm* norm : {&all, &weight, &bias}) norm->forward(x, offsets, y);
  all.backward(x, offsets, dy, dx);
  weight.backward(x, offsets, dy, small, {.input = false, .bias = false});
  bias.backward(x, offsets, dy, other, {.weight = false});
  EXPECT_TRUE(same_bits(weight.weight_grad(), all.weight_grad()) && same_bits(bias.bias_grad(), all.bias_grad()));
  EXPECT_TRUE(same_bits(other, dx));
  EXPECT_EQ(weight.bias_grad()(1), 0);
  EXPECT_EQ(bias.weight_grad()(1), 0);
}

TYPED_TEST(RaggedRows, OfTheGreatestNumbersHaveGradients) {
  using T = typename TypeParam::Scalar;
  using Values = typename TestFixture::Packed;
  const T most = std::numeric_limits<T>::max();
  Values x(4), y(4), dx(4), dy(4);
  x.setValues({most, -most, -most, -most});
  dy.setConstant(T(1));
  LayerNorm<T> norm(4), plain(4);
  const auto offsets = this->template offsets_of<int>({4});
  norm.forward(x, offsets, y);
  norm.backward(x, offsets, dy, dx);
  plain.forward(x, y);
  plain.backward(x, dy, dx);
  for (Index p = 0; p < 4; ++p)  // xhat, 1.7 or -0.6, each within 4 roundings of its own, of sum |dy| xi below 4
    EXPECT_NEAR(norm.weight_grad()(p), plain.weight_grad()(p),
                8 * 4 * std::ldexp(1.0, -std::numeric_limits<T>::digits));
}

TYPED_TEST(RaggedRows, RefuseWhatDoesNotFit) {
  using T = typename TypeParam::Scalar;
  using Values = typename TestFixture::Packed;
  LayerNorm<T> norm(5);
  const auto x = random<Values>({9}, 1);
  Values y = x, dx = x;
  const auto refuse = [&](const std::vector<int>& numbers, const char* what) {
    Eigen::Tensor<int, 1> offsets(static_cast<Index>(numbers.size()));
    std::copy(numbers.begin(), numbers.end(), offsets.data());
    expect_error<normkit::argument_error>([&] { norm.forward(x, offsets, y); }, {"expected offsets", what});
  };
  refuse({}, "at least 1 element");
  refuse({1, 5, 9}, "begin with 0, got 1");
  refuse({0, 5, 4, 9}, "do not fall, got 4 after 5");
  refuse({0, 1, std::numeric_limits<int>::min()}, "do not fall");
  refuse({0, 5, 8}, "end with the size of x, 9, got 8");
  refuse({0, 5, 10}, "end with the size of x, 9, got 10");
  expect_error<normkit::shape_error>(
      [&] {
        norm.infer(x, this->template offsets_of<int>({3, 6}), y);
      },
      {"rows of at most 5", "got 6 in row 1"});
  EXPECT_TRUE(same_bits(y, x)) << "untouched";
  const auto offsets = this->template offsets_of<int>({4, 5}), others = this->template offsets_of<int>({4, 4, 1});
  expect_error<normkit::state_error>([&] { norm.backward(x, offsets, y, dx); }, {"none has filled"});
  norm.forward(x, offsets, y);
  expect_error<normkit::state_error>([&] { norm.backward(x, others, y, dx); }, {"that of another"});
  expect_error<normkit::shape_error>([&] { norm.backward(x, offsets, Values(8), dx); }, {"dy"});
  EXPECT_TRUE(same_bits(dx, x));
  norm.forward(y, offsets, y);
  expect_error<normkit::state_error>([&] { norm.backward(y, offsets, x, dx); }, {"in place"});
}

TEST(RaggedRowsMemory, IsNotAllocatedAfterTheFirstCall) {
  using Packed = Eigen::Tensor<float, 1>;
  const auto x = random<Packed>({60000}, 1);
  Eigen::Tensor<int, 1> offsets(301);
  for (Index r = 0; r <= 300; ++r) offsets(r) = static_cast<int>(200 * r);
  FixedPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  LayerNorm<float> norm(200);
  Packed y = x, dx = x;
  const auto step = [&] {
    norm.forward(device, x, offsets, y);
    norm.backward(device, x, offsets, y, dx);
    norm.infer(device, x, offsets, y);
  };
  step();
  EXPECT_EQ(allocations_of(step), 0);
}

TEST(RaggedRowsOfSixteenBits, AreThoseOfFloatRounded) {
  using Packed = Eigen::Tensor<Eigen::bfloat16, 1>;
  using Wide = Eigen::Tensor<float, 1>;
  const Packed x = random<Wide>({90}, 1).cast<Eigen::bfloat16>();
  const Wide wide_x = x.cast<float>();
  Eigen::Tensor<int, 1> offsets(3);
  offsets.setValues({0, 30, 90});
  LayerNorm<float> norm(60), wide(60);
  Packed y = x, dx = x;
  Wide wide_y = wide_x, wide_dx = wide_x;
  norm.forward(x, offsets, y);
  wide.forward(wide_x, offsets, wide_y);
  norm.backward(x, offsets, x, dx);
  wide.backward(wide_x, offsets, wide_x, wide_dx);
  const Packed expected_y = wide_y.cast<Eigen::bfloat16>(), expected_dx = wide_dx.cast<Eigen::bfloat16>();
  EXPECT_TRUE(same_bits(y, expected_y) && same_bits(dx, expected_dx));
  EXPECT_TRUE(same_bits(norm.weight_grad(), wide.weight_grad()));
}

}  // namespace
