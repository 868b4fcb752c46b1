// Tensors of 16 bits through layers of float: each output is that of the same values as float, rounded once more; and
// it keeps the oracle's rule with half a step of its own added.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/fixed_pool.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::BatchNorm;
using normkit::GroupNorm;
using normkit::InstanceNorm;
using normkit::LayerNorm;
using normkit::RMSNorm;

template <class Tensor>
using AsFloat = Eigen::Tensor<float, Tensor::NumDimensions, Tensor::Layout>;

template <class Tensor>
AsFloat<Tensor> widened(const Tensor& tensor) {
  AsFloat<Tensor> result(tensor.dimensions());
  for (Index i = 0; i < tensor.size(); ++i) result.data()[i] = static_cast<float>(tensor.data()[i]);
  return result;
}
template <class Tensor>
Tensor rounded(const AsFloat<Tensor>& tensor) {
  Tensor result(tensor.dimensions());
  for (Index i = 0; i < tensor.size(); ++i) result.data()[i] = static_cast<ScalarOf<Tensor>>(tensor.data()[i]);
  return result;
}

template <class C>
class SixteenBits : public ::testing::Test {
 protected:
  template <int Rank>
  using Tensor = typename C::template Tensor<Rank>;

  template <int Rank>
  static Tensor<Rank> made(const Extents& extents, std::uint64_t seed, double mean = 0, double deviation = 1) {
    return rounded<Tensor<Rank>>(random<AsFloat<Tensor<Rank>>>(extents, seed, mean, deviation));
  }

  /// The same numbers; NaN is NaN.
  template <class T>
  static void expect_rounded(const T& got, const AsFloat<T>& exact, const char* what) {
    const T expected = rounded<T>(exact);
    for (Index i = 0; i < got.size(); ++i) {
      const auto a = static_cast<float>(got.data()[i]), b = static_cast<float>(expected.data()[i]);
      ASSERT_TRUE((a == b && std::signbit(a) == std::signbit(b)) || (std::isnan(a) && std::isnan(b)))
          << what << ": expected " << b << ", got " << a << " at " << i;
    }
  }

  /// Two layers alike, one on tensors of 16 bits and one on the same values as float.
  template <class Norm, class T>
  void check(Norm norm, const T& x, const T& dy) {
    SCOPED_TRACE(::testing::PrintToString(extents_of(x)));
    set_parameters(norm, 3);
    Norm twin = norm;
    const auto wide_x = widened(x), wide_dy = widened(dy);
    T y(x.dimensions()), dx(x.dimensions());
    AsFloat<T> wide_y(x.dimensions()), wide_dx(x.dimensions());
    for (const bool training : {true, false}) {
      norm.train(training);
      twin.train(training);
      norm.forward(where_.device, x, y);
      twin.forward(where_.device, wide_x, wide_y);
      expect_rounded(y, wide_y, "y");
      norm.backward(where_.device, x, dy, dx);
      twin.backward(where_.device, wide_x, wide_dy, wide_dx);
      expect_rounded(dx, wide_dx, "dx");
      EXPECT_TRUE(same_bits(norm.weight_grad(), twin.weight_grad()));
      EXPECT_TRUE(same_bits(norm.bias_grad(), twin.bias_grad()));
      if constexpr (requires { norm.backward_from_output(x, dy, dx), norm.running_mean(); }) {  // others store x - mean
        ASSERT_EQ(norm.recovers(), twin.recovers());
        if (norm.recovers()) {
          norm.backward_from_output(where_.device, y, dy, dx);
          twin.backward_from_output(where_.device, widened(y), wide_dy, wide_dx);
          expect_rounded(dx, wide_dx, "dx from the output");
          EXPECT_TRUE(same_bits(norm.weight_grad(), twin.weight_grad()));
        }
      }
      if constexpr (requires { norm.running_mean(); }) {
        EXPECT_TRUE(same_bits(norm.running_mean(), twin.running_mean()));
        EXPECT_TRUE(same_bits(norm.running_var(), twin.running_var()));
      }
    }
    norm.infer(where_.device, x, y);
    twin.infer(where_.device, wide_x, wide_y);
    expect_rounded(y, wide_y, "y of infer");
    T in_place = x;
    norm.infer(where_.device, in_place, in_place);
    expect_rounded(in_place, wide_y, "y in place");
  }

  /// All norms on x (N, C, L).
  void check_all(const Tensor<3>& x, const Tensor<3>& dy) {
    const Index channels = x.dimension(1), length = x.dimension(2);
    check(BatchNorm<float>(channels), x, dy);
    check(BatchNorm<float>(length, {.channel_axis = -1}), x, dy);
    check(LayerNorm<float>(length), x, dy);
    check(LayerNorm<float>(channels, {.axis = 1}), x, dy);
    check(RMSNorm<float>(length, {.zero_centred = true}), x, dy);
    check(GroupNorm<float>(1, channels), x, dy);
    check(GroupNorm<float>(channels, channels), x, dy);
    if (length > 1) check(InstanceNorm<float>(channels, {.affine = true, .track_running_stats = true}), x, dy);
  }

  /// By the rule, with half a step of 16 bits.
  template <class T>
  static void expect_rule(const T& got, const Expected& expected, int k, const char* what) {
    using Limits = std::numeric_limits<ScalarOf<T>>;
    constexpr int least = Limits::min_exponent;  // std::max would take its address
    const Reals numbers = reals(values(widened(got)));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const Real allowed = k * (std::ldexp(expected.cond[i], -24) + std::ldexp(Real(1), -150));
      int exponent = 0;
      std::frexp(std::abs(expected.exact[i]) + allowed, &exponent);
      const Real step = std::ldexp(Real(1), std::max(exponent, least) - Limits::digits);
      ASSERT_LE(std::abs(numbers[i] - expected.exact[i]), step / 2 + allowed) << what << " at " << i;
    }
  }
  template <class Norm>
  void check_rule(Norm norm, const Extents& extents, const Grouping& g) {
    set_parameters(norm, 3);
    const Tensor<3> x = made<3>(extents, 1, 0.5, 2), dy = made<3>(extents, 2);
    Tensor<3> y(x.dimensions()), dx(x.dimensions());
    norm.forward(where_.device, x, y);
    norm.backward(where_.device, x, dy, dx);
    const Reals exact_x = reals(widened(x));
    const Moments m = reference::moments(exact_x, g);
    const auto statistics = Statistics::of_batch;
    expect_rule(y, expected_y(exact_x, g, m, eps_of(norm), affine_of(norm), statistics), roundings::y, "y");
    const auto expected =
        expected_gradients(exact_x, reals(widened(dy)), g, m, eps_of(norm), affine_of(norm), statistics);
    expect_rule(dx, expected.dx, roundings::dx, "dx");
    EXPECT_TRUE(keeps_rule(values(norm.weight_grad()), expected.dweight, roundings::dweight));
    EXPECT_TRUE(keeps_rule(values(norm.bias_grad()), expected.dbias, roundings::dbias));
  }

  typename C::Device where_;
};
using Eigen::bfloat16;
using Eigen::ColMajor;
using Eigen::half;
using Eigen::RowMajor;
using Types =
    ::testing::Types<Config<half, RowMajor>, Config<half, RowMajor, Pooled>, Config<half, ColMajor>,
                     Config<bfloat16, RowMajor>, Config<bfloat16, RowMajor, Pooled>, Config<bfloat16, ColMajor>>;
TYPED_TEST_SUITE(SixteenBits, Types, ConfigName);

TYPED_TEST(SixteenBits, AreThoseOfFloatRounded) {
  for (const Extents& extents : {Extents{5, 6, 7}, Extents{3, 33, 1}, Extents{2, 3, 130}, Extents{4, 16, 64},
                                 Extents{7, 1, 49}, Extents{2, 300, 3}, Extents{2, 3, 40009}, Extents{600, 70, 2}})
    this->check_all(this->template made<3>(extents, 1, 0.5, 2), this->template made<3>(extents, 2));
}

TYPED_TEST(SixteenBits, AreThoseOfFloatRoundedOnEveryInstructionSet) {
  using normkit::Isa;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    normkit::max_isa(isa);
    this->check_all(this->template made<3>({3, 6, 77}, 1, 0.5, 2), this->template made<3>({3, 6, 77}, 2));
  }
  normkit::max_isa(Isa::avx512);
}

TYPED_TEST(SixteenBits, AreThoseOfFloatRoundedWhereOutputsAreStreamed) {
  const Extents extents{64, 64, 1030};  // 8.4 MB
  const auto x = this->template made<3>(extents, 1, 0.5, 2), dy = this->template made<3>(extents, 2);
  this->check(BatchNorm<float>(64), x, dy);
  this->check(LayerNorm<float>(1030), x, dy);
}

TYPED_TEST(SixteenBits, AreThoseOfFloatRoundedAtTheEndsOfTheRange) {
  using S = typename TypeParam::Scalar;
  const Extents extents{4, 5, 9};
  const auto dy = this->template made<3>(extents, 2);
  const auto greatest = static_cast<double>(static_cast<float>(std::numeric_limits<S>::max())) / 8;
  for (const double deviation :
       {greatest, static_cast<double>(static_cast<float>(std::numeric_limits<S>::denorm_min()))})
    this->check_all(this->template made<3>(extents, 1, 0, deviation), dy);
  for (const float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto x = this->template made<3>(extents, 1);
    x(1, 2, 3) = static_cast<S>(odd);
    this->check_all(x, dy);
  }
}

TYPED_TEST(SixteenBits, KeepTheRule) {
  const Extents extents{6, 7, 35};
  this->check_rule(BatchNorm<float>(7), extents, reference::per_channel(extents, 1));
  this->check_rule(LayerNorm<float>(35), extents, reference::per_token(extents, 2, 1));
}

TYPED_TEST(SixteenBits, OfAnExpressionAndAsAFunction) {
  const auto x = this->template made<3>({4, 5, 9}, 1);
  LayerNorm<float> norm(9);
  auto y = x;
  norm.infer(x, y);
  EXPECT_TRUE(same_bits(norm(x), y));
  auto doubled = x, expected = x;
  doubled = x + x;
  norm.infer(doubled, expected);
  norm.infer(x + x, y);
  EXPECT_TRUE(same_bits(y, expected));
}

TYPED_TEST(SixteenBits, AllocateNothingAfterTheFirstCall) {
  const auto x = this->template made<3>({8, 24, 1030}, 1), dy = this->template made<3>({8, 24, 1030}, 2);
  auto y = x, dx = x;
  FixedPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  const auto check = [&](auto norm) {
    norm.forward(device, x, y);
    norm.backward(device, x, dy, dx);
    EXPECT_EQ(allocations_of([&] {
                norm.forward(device, x, y);
                norm.backward(device, x, dy, dx);
                norm.infer(device, x, y);
              }),
              0);
  };
  check(BatchNorm<float>(24));
  check(LayerNorm<float>(1030));
  check(GroupNorm<float>(2, 24));
}

}  // namespace
