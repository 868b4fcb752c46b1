// A BatchNorm folded into its neighbour: the layer alone gives what both gave, in either order and any place of the axes.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <vector>

#include "support/configs.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::BatchNorm;

template <class C>
class Fold : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  template <int Rank>
  using Tensor = typename C::template Tensor<Rank>;
  static constexpr Real u = std::numeric_limits<Scalar>::epsilon() / 2;

  static BatchNorm<Scalar> made(Index channels) {
    BatchNorm<Scalar> norm(channels);
    set_parameters(norm, 3);
    for (Index c = 0; c < channels; ++c) {
      norm.running_mean()(c) = Scalar(c) - Scalar(1.5);
      norm.running_var()(c) = Scalar(0.25) + Scalar(c);
    }
    norm.eval();
    return norm;
  }
  /// What evaluation makes of a value of a channel, in the oracle's arithmetic.
  static Real evaluated(const BatchNorm<Scalar>& norm, Index c, Real value) {
    const Real rstd = 1 / std::sqrt(static_cast<Real>(norm.running_var()(c)) + static_cast<Real>(norm.options().eps));
    return (value - static_cast<Real>(norm.running_mean()(c))) * rstd * static_cast<Real>(norm.weight()(c)) +
           static_cast<Real>(norm.bias()(c));
  }
  /// The magnitudes of what evaluation adds up, for a value.
  static Real parts(const BatchNorm<Scalar>& norm, Index c, Real value) {
    const Real rstd = 1 / std::sqrt(static_cast<Real>(norm.running_var()(c)) + static_cast<Real>(norm.options().eps));
    const Real scale = std::abs(rstd * static_cast<Real>(norm.weight()(c)));
    return (std::abs(value) + std::abs(static_cast<Real>(norm.running_mean()(c)))) * scale +
           std::abs(static_cast<Real>(norm.bias()(c)));
  }
  /// What each term may err by. In double scale takes 4 roundings (var + eps, the root, 1 / it, * weight), shift 2 more, a
  /// term 2 more, and a sum of so many terms as many. A float is rounded once beside that.
  static Real bound(int terms) {
    const Real of_double = std::ldexp(Real(8 + terms), -53);
    return std::is_same_v<Scalar, float> ? u + of_double : of_double;
  }
};
TYPED_TEST_SUITE(Fold, ScalarsAndLayouts, ConfigName);

TYPED_TEST(Fold, BeforeGivesTheNormOfTheLayer) {
  const auto norm = this->made(3);
  const auto w = random<typename TestFixture::template Tensor<4>>({3, 2, 2, 2}, 1);  // (O, I, kH, kW)
  const auto b = random<Eigen::Tensor<typename TestFixture::Scalar, 1>>({3}, 2);
  auto folded = w;
  auto folded_b = b;
  normkit::fold_before(norm, folded, 0, folded_b);
  const auto x = bell<typename TestFixture::Scalar>(8, 5);
  for (Index o = 0; o < 3; ++o) {
    Real before = static_cast<Real>(b(o)), after = static_cast<Real>(folded_b(o)), size = 0;
    for (Index i = 0; i < 8; ++i) {
      const Real value = static_cast<Real>(x[static_cast<std::size_t>(i)]);
      before += static_cast<Real>(w(o, i / 4, i / 2 % 2, i % 2)) * value;
      after += static_cast<Real>(folded(o, i / 4, i / 2 % 2, i % 2)) * value;
      size += std::abs(static_cast<Real>(folded(o, i / 4, i / 2 % 2, i % 2)) * value);
    }
    const Real terms = size + std::abs(static_cast<Real>(folded_b(o))) + this->parts(norm, o, static_cast<Real>(b(o)));
    EXPECT_LE(std::abs(after - this->evaluated(norm, o, before)), this->bound(0) * terms);
  }
}

TYPED_TEST(Fold, BeforeKnowsTheAxisOfTheChannels) {
  const auto norm = this->made(3);
  const auto w = random<typename TestFixture::template Tensor<2>>({3, 5}, 1);
  typename TestFixture::template Tensor<2> turned(5, 3);
  for (Index o = 0; o < 3; ++o)
    for (Index i = 0; i < 5; ++i) turned(i, o) = w(o, i);
  auto folded = w, folded_turned = turned;
  Eigen::Tensor<typename TestFixture::Scalar, 1> b(3), b_turned(3);
  b.setZero();
  b_turned.setZero();
  normkit::fold_before(norm, folded, 0, b);
  normkit::fold_before(norm, folded_turned, -1, b_turned);
  for (Index o = 0; o < 3; ++o) {
    EXPECT_EQ(b(o), b_turned(o));
    for (Index i = 0; i < 5; ++i) EXPECT_EQ(folded(o, i), folded_turned(i, o));
  }
}

TYPED_TEST(Fold, AfterGivesTheLayerOfTheNorm) {
  const auto norm = this->made(3);
  const auto w = random<typename TestFixture::template Tensor<3>>({2, 3, 4}, 1);  // (O, I, k)
  const auto b = random<Eigen::Tensor<typename TestFixture::Scalar, 1>>({2}, 2);
  auto folded = w;
  auto folded_b = b;
  normkit::fold_after(norm, folded, 1, 0, folded_b);
  const auto x = bell<typename TestFixture::Scalar>(12, 5);
  for (Index o = 0; o < 2; ++o) {
    Real before = static_cast<Real>(b(o)), after = static_cast<Real>(folded_b(o)), size = std::abs(before);
    for (Index i = 0; i < 3; ++i)
      for (Index k = 0; k < 4; ++k) {
        const Real value = static_cast<Real>(x[static_cast<std::size_t>(i * 4 + k)]);
        before += static_cast<Real>(w(o, i, k)) * this->evaluated(norm, i, value);
        after += static_cast<Real>(folded(o, i, k)) * value;
        size += std::abs(static_cast<Real>(folded(o, i, k)) * value) +
                std::abs(static_cast<Real>(w(o, i, k))) * this->parts(norm, i, 0);
      }
    EXPECT_LE(std::abs(after - before), this->bound(12) * size);
  }
}

TYPED_TEST(Fold, RefusesWhatDoesNotFitAndChangesNothing) {
  auto norm = this->made(3);
  const auto w = random<typename TestFixture::template Tensor<2>>({3, 5}, 1);
  const auto b = random<Eigen::Tensor<typename TestFixture::Scalar, 1>>({3}, 2);
  auto folded = w;
  auto folded_b = b;
  EXPECT_THROW(normkit::fold_before(norm, folded, 1, folded_b), normkit::shape_error);
  EXPECT_THROW(normkit::fold_before(norm, folded, 2, folded_b), normkit::argument_error);
  EXPECT_THROW(normkit::fold_before(norm, folded, -3, folded_b), normkit::argument_error);
  EXPECT_THROW(normkit::fold_after(norm, folded, 0, 0, folded_b), normkit::argument_error);
  EXPECT_THROW(normkit::fold_after(norm, folded, 0, 1, folded_b), normkit::shape_error) << "5 outputs, 3 biases";
  EXPECT_THROW(normkit::fold_before(BatchNorm<typename TestFixture::Scalar>(3, {.track_running_stats = false}), folded,
                                    0, folded_b),
               normkit::state_error);
  norm.running_var()(1) = static_cast<typename TestFixture::Scalar>(-1);
  EXPECT_THROW(normkit::fold_before(norm, folded, 0, folded_b), normkit::argument_error);
  EXPECT_TRUE(same_bits(folded, w) && same_bits(folded_b, b));
}

TYPED_TEST(Fold, RefusesAWeightThatIsTheBiasToo) {
  const auto norm = this->made(3);
  auto both = random<Eigen::Tensor<typename TestFixture::Scalar, 1>>({3}, 1);
  const auto before = both;
  EXPECT_THROW(normkit::fold_before(norm, both, 0, both), normkit::argument_error);
  EXPECT_TRUE(same_bits(both, before));
}

TYPED_TEST(Fold, OfANormWithoutParametersAndOfNegativeAxes) {
  using Number = typename TestFixture::Scalar;
  BatchNorm<Number> bare(3, {.affine = false}), full(3);
  for (Index c = 0; c < 3; ++c) {
    bare.running_mean()(c) = full.running_mean()(c) = static_cast<Number>(c);
    bare.running_var()(c) = full.running_var()(c) = static_cast<Number>(c + 2);
  }
  const auto w = random<typename TestFixture::template Tensor<2>>({5, 3}, 1);
  const auto b = random<Eigen::Tensor<Number, 1>>({5}, 2);
  auto one = w, other = w;
  auto one_b = b, other_b = b;
  normkit::fold_after(bare, one, -1, -2, one_b);
  normkit::fold_after(full, other, 1, 0, other_b);
  EXPECT_TRUE(same_bits(one, other) && same_bits(one_b, other_b));
  EXPECT_FALSE(same_bits(one, w));
  for (BatchNorm<Number> half : {BatchNorm<Number>(3, {.weight = false}), BatchNorm<Number>(3, {.bias = false})}) {
    half.running_mean() = bare.running_mean();
    half.running_var() = bare.running_var();
    auto folded = w;
    auto folded_b = b;
    normkit::fold_after(half, folded, 1, 0, folded_b);
    EXPECT_TRUE(same_bits(folded, other) && same_bits(folded_b, other_b)) << half;
  }
}

TYPED_TEST(Fold, AChannelWithoutVarianceAndEpsGivesItsBias) {
  BatchNorm<typename TestFixture::Scalar> norm(1, {.eps = 0});
  norm.running_var()(0) = static_cast<typename TestFixture::Scalar>(0);
  norm.running_mean()(0) = static_cast<typename TestFixture::Scalar>(3);
  norm.bias()(0) = static_cast<typename TestFixture::Scalar>(0.5);
  Eigen::Tensor<typename TestFixture::Scalar, 2> w(1, 2);
  Eigen::Tensor<typename TestFixture::Scalar, 1> b(1);
  w.setConstant(static_cast<typename TestFixture::Scalar>(7));
  b.setConstant(static_cast<typename TestFixture::Scalar>(1));
  normkit::fold_before(norm, w, 0, b);
  EXPECT_EQ(w(0, 0), static_cast<typename TestFixture::Scalar>(0));
  EXPECT_EQ(b(0), static_cast<typename TestFixture::Scalar>(0.5));
}

}  // namespace
