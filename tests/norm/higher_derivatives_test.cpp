// Derivatives of a forward in a direction, and the gradients of its backward: by the rule, and as each other's transposes.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <cmath>

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

/// Numbers for the parameters of a layer, none where it has none.
template <class Norm>
struct OwnDirections {
  typename Norm::Tensor weight, bias;

  explicit OwnDirections(const Norm& norm) : weight(norm.weight()), bias(norm.bias()) {
    Numbers numbers(7);
    for (auto* tensor : {&weight, &bias})
      for (Index i = 0; i < tensor->size(); ++i)
        tensor->data()[i] = numbers.uniform<typename Norm::Tensor::Scalar>() * 2;
  }
  typename Norm::Directions both() const {
    return {weight.size() > 0 ? &weight : nullptr, bias.size() > 0 ? &bias : nullptr};
  }
};

template <class C>
class HigherDerivatives : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  template <int Rank>
  using Tensor = typename C::template Tensor<Rank>;

  template <int Rank, class Norm>
  void check(Norm norm, const Extents& extents, const Grouping& g) {
    SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents) << ' ' << norm);
    using T = Tensor<Rank>;
    set_parameters(norm, 3);
    const OwnDirections<Norm> directions(norm);
    const Affine along{reals(directions.weight), reals(directions.bias)};
    const T x = random<T>(extents, 1, 0.5, 2), dy = random<T>(extents, 2, 0.25), v = random<T>(extents, 4, -0.5);
    T y_v = constant<T>(extents, -77), dy_grad = y_v, x_grad = y_v, y = y_v;
    norm.forward(where_.device, x, y);
    auto statistics = Statistics::of_batch;
    Moments m = reference::moments(reals(x), g);
    if constexpr (requires { norm.running_mean(); }) {
      if (!norm.is_training()) statistics = Statistics::running, m = running_moments(norm);
    } else if constexpr (requires { norm.options().zero_centred; }) {
      statistics = Statistics::squares_of_batch, m = reference::squares(reals(x), g);
    }
    const auto expected =
        expected_second(reals(x), reals(dy), reals(v), g, m, eps_of(norm), affine_of(norm), along, statistics);
    const Reals old = reals(norm.weight_grad());
    norm.jvp(where_.device, x, v, y_v, directions.both());
    EXPECT_TRUE(keeps_rule(values(y_v), expected.y_v, roundings::y_v)) << "y_v";
    EXPECT_EQ(reals(norm.weight_grad()), old);
    norm.double_backward(where_.device, x, dy, v, dy_grad, x_grad, directions.both());
    EXPECT_TRUE(same_bits(dy_grad, y_v));
    EXPECT_TRUE(keeps_rule(values(x_grad), expected.x_grad, roundings::x_grad)) << "x_grad";
    if (norm.weight().size() > 0) {
      EXPECT_TRUE(keeps_rule(values(norm.weight_grad()), added(expected.w_grad, old), roundings::w_grad)) << "weight";
    }

    // The same bits on one thread, and over the inputs, whichever way round.
    T a = x, b = dy, c = v, d = v;
    Norm other = norm;
    other.zero_grad();
    norm.zero_grad();
    norm.double_backward(where_.device, x, dy, v, dy_grad, x_grad, directions.both());
    other.double_backward(a, b, v, a, b, norm.saved(), directions.both());
    EXPECT_TRUE(same_bits(a, dy_grad) && same_bits(b, x_grad) && same_bits(norm.weight_grad(), other.weight_grad()));
    a = x;
    other.double_backward(a, dy, c, c, a, norm.saved(), directions.both());
    EXPECT_TRUE(same_bits(c, dy_grad) && same_bits(a, x_grad));
    other.jvp(x, d, d, norm.saved(), directions.both());
    EXPECT_TRUE(same_bits(d, y_v));
  }

  template <int Rank>
  void check_batch_norm(BatchNorm<Scalar> norm, const Extents& extents, std::size_t axis) {
    const Grouping g = reference::per_channel(extents, axis);
    check<Rank>(norm, extents, g);
    Numbers numbers(5);
    for (Index c = 0; c < norm.num_features(); ++c) {
      norm.running_mean()(c) = numbers.uniform<Scalar>();
      norm.running_var()(c) = numbers.uniform<Scalar>() + 2;
    }
    norm.eval();
    check<Rank>(norm, extents, g);
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(HigherDerivatives, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(HigherDerivatives, OfBatchNorm) {
  using T = typename TypeParam::Scalar;
  this->template check_batch_norm<2>(BatchNorm<T>(300), {129, 300}, 1);
  this->template check_batch_norm<4>(BatchNorm<T>(17), {4, 17, 7, 7}, 1);
  this->template check_batch_norm<3>(BatchNorm<T>(33, {.channel_axis = -1}), {7, 61, 33}, 2);
  this->template check_batch_norm<3>(BatchNorm<T>(2), {3, 2, 8009}, 1);
}

TYPED_TEST(HigherDerivatives, OfBatchNormThatLacksParameters) {
  using T = typename TypeParam::Scalar;
  this->template check_batch_norm<3>(BatchNorm<T>(5, {.affine = false}), {3, 5, 9}, 1);
  this->template check_batch_norm<3>(BatchNorm<T>(5, {.weight = false}), {3, 5, 9}, 1);
  this->template check_batch_norm<3>(BatchNorm<T>(5, {.eps = 0.5, .bias = false}), {3, 5, 9}, 1);
}

TYPED_TEST(HigherDerivatives, OfLayerNorm) {
  using T = typename TypeParam::Scalar;
  const auto tokens = [](const Extents& extents, std::size_t first, std::size_t axes) {
    return reference::per_token(extents, first, axes);
  };
  this->template check<2>(LayerNorm<T>(257), {70, 257}, tokens({70, 257}, 1, 1));
  this->template check<2>(LayerNorm<T>(40009), {3, 40009}, tokens({3, 40009}, 1, 1));
  this->template check<2>(LayerNorm<T>(9, {.elementwise_affine = false}), {7, 9}, tokens({7, 9}, 1, 1));
  this->template check<2>(LayerNorm<T>(9, {.weight = false}), {7, 9}, tokens({7, 9}, 1, 1));
  this->template check<4>(LayerNorm<T>(6, {.axis = 1}), {3, 6, 5, 7}, tokens({3, 6, 5, 7}, 1, 1));
  this->template check<4>(LayerNorm<T, 2, TypeParam::layout>({5, 7}), {3, 6, 5, 7}, tokens({3, 6, 5, 7}, 2, 2));
}

TYPED_TEST(HigherDerivatives, OfRMSNorm) {
  using T = typename TypeParam::Scalar;
  this->template check<2>(RMSNorm<T>(257), {30, 257}, reference::per_token({30, 257}, 1, 1));
  this->template check<2>(RMSNorm<T>(9, {.zero_centred = true}), {7, 9}, reference::per_token({7, 9}, 1, 1));
}

TYPED_TEST(HigherDerivatives, AreNothingOfNothingAndRefusedWhereBackwardIs) {
  using T = typename TypeParam::Scalar;
  using Rows = typename TypeParam::template Tensor<2>;
  const auto x = random<Rows>({7, 9}, 1);
  const auto wrong = random<Rows>({9, 7}, 1);
  LayerNorm<T> norm(9);
  Rows y = x, a = x, b = x, small = wrong;
  EXPECT_THROW(norm.jvp(x, x, a), normkit::state_error) << "no forward before it";
  norm.forward(x, y);
  EXPECT_THROW(norm.jvp(x, wrong, a), normkit::shape_error);
  EXPECT_THROW(norm.jvp(x, x, small), normkit::shape_error);
  EXPECT_THROW(norm.double_backward(x, wrong, x, a, b), normkit::shape_error);
  EXPECT_THROW(norm.double_backward(x, x, wrong, a, b), normkit::shape_error);
  EXPECT_THROW(norm.double_backward(x, x, x, a, small), normkit::shape_error);
  expect_error<normkit::argument_error>([&] { norm.double_backward(x, x, x, a, a); }, {"x_grad apart from dy_grad"});
  const typename LayerNorm<T>::Tensor few(3);
  expect_error<normkit::shape_error>([&] { norm.jvp(x, x, a, {.weight = &few}); }, {"direction of weight", "(3,)"});
  expect_error<normkit::shape_error>([&] { norm.jvp(x, x, a, {.bias = &few}); }, {"direction of bias", "(3,)"});
  expect_error<normkit::argument_error>([&] { norm.double_backward(x, x, x, a, b, {.weight = &norm.weight_grad()}); },
                                        {"apart from the gradient"});
  EXPECT_TRUE(same_bits(a, x) && same_bits(b, x)) << "untouched";
  norm.forward(y, y);
  expect_error<normkit::state_error>([&] { norm.jvp(x, x, a); }, {"in place"});
  Rows nothing = sized<Rows>({0, 9}), none = nothing;
  norm.forward(nothing, none);
  norm.double_backward(nothing, nothing, nothing, nothing, none);
}

TEST(HigherDerivativesMemory, IsNotAllocatedAfterTheFirstCall) {
  using Rows = Eigen::Tensor<float, 2, Eigen::RowMajor>;
  const auto x = random<Rows>({3, 40009}, 1);
  Rows y = x, a = x, b = x;
  FixedPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  LayerNorm<float> norm(40009);
  norm.forward(device, x, y);
  const auto step = [&] {
    norm.jvp(device, x, y, a);
    norm.double_backward(device, x, y, x, a, b);
  };
  step();
  EXPECT_EQ(allocations_of(step), 0);
}

TEST(HigherDerivativesOfSixteenBits, AreThoseOfFloatRounded) {
  using Rows = Eigen::Tensor<Eigen::bfloat16, 2, Eigen::RowMajor>;
  using Wide = Eigen::Tensor<float, 2, Eigen::RowMajor>;
  const auto made = [](std::uint64_t seed) { return Rows(random<Wide>({30, 65}, seed).cast<Eigen::bfloat16>()); };
  const Rows x = made(1), dy = made(2), v = made(3);
  const Wide wide_x = x.cast<float>(), wide_dy = dy.cast<float>(), wide_v = v.cast<float>();
  BatchNorm<float> norm(65), wide(65);
  Rows y = x, dy_grad = x, x_grad = x;
  Wide wide_y = wide_x, wide_dy_grad = wide_x, wide_x_grad = wide_x;
  norm.forward(x, y);
  wide.forward(wide_x, wide_y);
  norm.double_backward(x, dy, v, dy_grad, x_grad);
  wide.double_backward(wide_x, wide_dy, wide_v, wide_dy_grad, wide_x_grad);
  const Rows expected_dy_grad = wide_dy_grad.cast<Eigen::bfloat16>(), expected = wide_x_grad.cast<Eigen::bfloat16>();
  EXPECT_TRUE(same_bits(dy_grad, expected_dy_grad));
  EXPECT_TRUE(same_bits(x_grad, expected));
  EXPECT_TRUE(same_bits(norm.weight_grad(), wide.weight_grad()));
}

// What moves y by moving x, weight and bias, and what backward makes of a gradient, are transposes:
//   sum(w * jvp(v, directions)) = sum(backward(w) * v) + sum(dweight * dir weight) + sum(dbias * dir bias)
// Each side is a sum of products of numbers that keep the rule, so that they are as near as the sums of their conds.
TEST(HigherDerivativesIdentity, JvpIsTheTransposeOfBackward) {
  using Images = Eigen::Tensor<double, 3, Eigen::RowMajor>;
  const Extents extents{4, 6, 35};
  const auto x = random<Images>(extents, 1), v = random<Images>(extents, 2), w = random<Images>(extents, 3);
  const auto check = [&](auto norm, const Grouping& g, const Moments& m, Statistics statistics) {
    SCOPED_TRACE(::testing::Message() << norm);
    set_parameters(norm, 3);
    const OwnDirections<decltype(norm)> directions(norm);
    Images y = x, y_v = x, dx = x;
    norm.forward(x, y);
    norm.jvp(x, v, y_v, directions.both());
    norm.zero_grad();
    norm.backward(x, w, dx);
    const Affine along{reals(directions.weight), reals(directions.bias)};
    const auto first = expected_gradients(reals(x), reals(w), g, m, eps_of(norm), affine_of(norm), statistics);
    const auto second =
        expected_second(reals(x), reals(w), reals(v), g, m, eps_of(norm), affine_of(norm), along, statistics);
    Real left = 0, right = 0, allowed = 0;
    for (Index i = 0; i < x.size(); ++i) {
      left += Real(w.data()[i]) * Real(y_v.data()[i]);
      right += Real(dx.data()[i]) * Real(v.data()[i]);
      const auto at = static_cast<std::size_t>(i);
      allowed += roundings::y_v * std::abs(Real(w.data()[i])) * second.y_v.cond[at] +
                 roundings::dx * std::abs(Real(v.data()[i])) * first.dx.cond[at];
    }
    for (Index p = 0; p < directions.weight.size(); ++p) {
      const auto at = static_cast<std::size_t>(p);
      right +=
          Real(norm.weight_grad().data()[p]) * along.weight[at] + Real(norm.bias_grad().data()[p]) * along.bias[at];
      allowed += roundings::dweight * std::abs(along.weight[at]) * first.dweight.cond[at] +
                 roundings::dbias * std::abs(along.bias[at]) * first.dbias.cond[at];
    }
    EXPECT_LE(std::abs(left - right), allowed * unit_roundoff<double>());
    EXPECT_GT(std::abs(left), 1) << "no agreement of nothing with nothing";
  };
  BatchNorm<double> batch_norm(6);
  const Grouping channels = reference::per_channel(extents, 1), tokens = reference::per_token(extents, 2, 1);
  check(batch_norm, channels, reference::moments(reals(x), channels), Statistics::of_batch);
  batch_norm.running_mean().setConstant(0.5);
  batch_norm.eval();
  check(batch_norm, channels, running_moments(batch_norm), Statistics::running);
  check(LayerNorm<double>(35), tokens, reference::moments(reals(x), tokens), Statistics::of_batch);
}

}  // namespace
