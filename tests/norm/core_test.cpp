// The core header, on plain pointers, and the reductions alone, against the oracle.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <vector>

#include "support/configs.hpp"
#include "support/judge.hpp"
#include "support/lengths.hpp"

namespace {

using namespace support;
namespace core = normkit::core;

template <class T>
class Core : public ::testing::Test {
 protected:
  using Vector = std::vector<T>;

  /// A double for float's moments: the mean is good to double, the variance as squares of float differences are.
  static void expect_moments(const std::vector<double>& mean, const std::vector<double>& var, const Reals& x,
                             const Grouping& g) {
    const auto exact = expected_moments(x, g);
    Reals differences(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) differences[i] = std::abs(x[i] - exact.mean.exact[g.group[i]]);
    const Reals spread = reference::mean_by_group(differences, g);
    for (std::size_t s = 0; s < g.groups; ++s) {
      const Real of_mean = unit_roundoff<T>() * spread[s] + unit_roundoff<double>() * exact.mean.cond[s];
      ASSERT_LE(std::abs(mean[s] - exact.mean.exact[s]), roundings::mean * of_mean) << "mean of " << s;
      ASSERT_LE(std::abs(var[s] - exact.var.exact[s]), roundings::var * unit_roundoff<T>() * exact.var.exact[s])
          << "variance of " << s;
    }
  }

  struct Data {
    Vector x, dy, weight, bias, y, dx, dweight, dbias;
    std::vector<double> mean, var;
    Data(const Grouping& g)
        : x(bell<T>(g.group.size(), 1, 3, 2)),
          dy(bell<T>(g.group.size(), 2)),
          weight(bell<T>(g.params, 3)),
          bias(bell<T>(g.params, 4)),
          y(x.size()),
          dx(x.size()),
          dweight(g.params, T(0.5)),
          dbias(g.params, T(-0.5)),
          mean(g.groups),
          var(g.groups) {}
  };

  /// What the pointers gave, by the rule. Normalizing and backward are judged by the statistics they were handed, which
  /// are exact to double only.
  static void expect_data(const Data& d, const Grouping& g, double eps) {
    expect_moments(d.mean, d.var, reals(d.x), g);
    const Moments m{reals(d.mean), reals(d.var)};
    const Affine affine{reals(d.weight), reals(d.bias)};
    const auto y = expected_y(reals(d.x), g, m, eps, affine, Statistics::running);
    const auto gradients = expected_gradients(reals(d.x), reals(d.dy), g, m, eps, affine, Statistics::of_batch);
    EXPECT_TRUE(keeps_rule(d.y, y, roundings::y));
    EXPECT_TRUE(keeps_rule(d.dx, gradients.dx, roundings::dx));
    EXPECT_TRUE(keeps_rule(d.dweight, added(gradients.dweight, Reals(g.params, 0.5L)), roundings::dweight));
    EXPECT_TRUE(keeps_rule(d.dbias, added(gradients.dbias, Reals(g.params, -0.5L)), roundings::dbias));
  }

  static void run_channels(Data& d, const core::Channels& shape, double eps) {
    core::moments_per_channel(d.x.data(), shape, d.mean.data(), d.var.data());
    core::normalize_per_channel(d.x.data(), shape, d.mean.data(), d.var.data(), eps, d.weight.data(), d.bias.data(),
                                d.y.data());
    core::backward_per_channel(d.x.data(), shape, d.mean.data(), d.var.data(), eps, d.weight.data(), d.dy.data(),
                               d.dx.data(), d.dweight.data(), d.dbias.data());
  }

  static void check_channels(std::int64_t outer, std::int64_t channels, std::int64_t inner, double eps) {
    SCOPED_TRACE(::testing::Message() << "outer " << outer << ", channels " << channels << ", inner " << inner);
    const Grouping g = reference::per_channel({outer, channels, inner}, 1);
    const core::Channels shape{outer, channels, inner};
    Data d(g);
    run_channels(d, shape, eps);
    expect_data(d, g, eps);
  }

  static void check_tokens(std::int64_t tokens, std::int64_t features, double eps) {
    SCOPED_TRACE(::testing::Message() << "tokens " << tokens << ", features " << features);
    const Grouping g = reference::per_token({tokens, features}, 1, 1);
    const core::Tokens shape{tokens, features};
    Data d(g);
    core::moments_per_token(d.x.data(), shape, d.mean.data(), d.var.data());
    core::normalize_per_token(d.x.data(), shape, d.mean.data(), d.var.data(), eps, d.weight.data(), d.bias.data(),
                              d.y.data());
    core::backward_per_token(d.x.data(), shape, d.mean.data(), d.var.data(), eps, d.weight.data(), d.dy.data(),
                             d.dx.data(), d.dweight.data(), d.dbias.data());
    expect_data(d, g, eps);
  }
};
TYPED_TEST_SUITE(Core, Scalars);

TYPED_TEST(Core, Channels) {
  for (const std::int64_t inner : seams()) this->check_channels(3, 5, inner, 1e-5);
  for (const std::int64_t channels : seams()) this->check_channels(7, channels, 1, 1e-5);
  for (const std::int64_t inner : block_seams()) this->check_channels(2, 2, inner, 0);
}

TYPED_TEST(Core, Tokens) {
  for (const std::int64_t features : seams()) this->check_tokens(5, features, 1e-5);
  for (const std::int64_t tokens : block_seams()) this->check_tokens(tokens, 7, 1e-5);
  for (const std::int64_t features : block_seams()) this->check_tokens(3, features, 1e-3);
}

// A mean of 1e4 in double has digits that a float does not hold, and a deviation of 1e-2 shows them.
TYPED_TEST(Core, MeanFarFromZero) {
  const Grouping g = reference::per_channel({3, 2, 50}, 1);
  const core::Channels shape{3, 2, 50};
  typename TestFixture::Data d(g);
  d.x = bell<TypeParam>(g.group.size(), 1, TypeParam(1e4), TypeParam(1e-2));
  TestFixture::run_channels(d, shape, 1e-5);
  TestFixture::expect_data(d, g, 1e-5);
}

TYPED_TEST(Core, NullMeansAbsent) {
  const Grouping g = reference::per_token({6, 19}, 1, 1);
  typename TestFixture::Data d(g);
  const core::Tokens shape{6, 19};
  core::moments_per_token(d.x.data(), shape, d.mean.data(), d.var.data());
  core::normalize_per_token(d.x.data(), shape, d.mean.data(), d.var.data(), 1e-5, nullptr, nullptr, d.y.data());
  const Moments m{reals(d.mean), reals(d.var)};
  EXPECT_TRUE(keeps_rule(d.y, expected_y(reals(d.x), g, m, 1e-5, {}, Statistics::running), roundings::y));

  const auto gradients = expected_gradients(reals(d.x), reals(d.dy), g, m, 1e-5, {}, Statistics::of_batch);
  core::backward_per_token(d.x.data(), shape, d.mean.data(), d.var.data(), 1e-5, nullptr, d.dy.data(), d.dx.data(),
                           nullptr, nullptr);
  EXPECT_TRUE(keeps_rule(d.dx, gradients.dx, roundings::dx));
  const auto untouched = d.dx;
  core::backward_per_token(d.x.data(), shape, d.mean.data(), d.var.data(), 1e-5, nullptr, d.dy.data(), nullptr,
                           d.dweight.data(), nullptr);
  EXPECT_TRUE(keeps_rule(d.dweight, added(gradients.dweight, Reals(19, 0.5L)), roundings::dweight));
  EXPECT_EQ(d.dx, untouched);
  EXPECT_EQ(d.dbias, std::vector<TypeParam>(19, TypeParam(-0.5)));
}

TYPED_TEST(Core, StatisticsMayBeAnyones) {
  const Grouping g = reference::per_channel({4, 3, 10}, 1);
  const core::Channels shape{4, 3, 10};
  typename TestFixture::Data d(g);
  d.mean = {1, -2, 0.3};
  d.var = {0.5, 4, 9};
  core::normalize_per_channel(d.x.data(), shape, d.mean.data(), d.var.data(), 1e-3, d.weight.data(), d.bias.data(),
                              d.y.data());
  const Moments m{reals(d.mean), reals(d.var)};
  const Affine affine{reals(d.weight), reals(d.bias)};
  EXPECT_TRUE(keeps_rule(d.y, expected_y(reals(d.x), g, m, 1e-3, affine, Statistics::running), roundings::y));
}

template <class C>
class MomentsOf : public ::testing::Test {};
TYPED_TEST_SUITE(MomentsOf, ScalarsLayoutsAndDevices, ConfigName);

template <class Tensor, class Result>
void expect_reduced(const Tensor& x, const Result& result, const std::vector<bool>& reduced) {
  const Grouping g = reference::per_token(extents_of(x), reduced);
  const auto exact = expected_moments(reals(x), g);
  EXPECT_TRUE(keeps_rule(values(result.mean), exact.mean, roundings::mean));
  EXPECT_TRUE(keeps_rule(values(result.var), exact.var, roundings::var));
  for (std::size_t axis = 0; axis < reduced.size(); ++axis) {
    const auto kept = reduced[axis] ? 1 : x.dimension(axis);
    EXPECT_EQ(result.mean.dimension(axis), kept);
    EXPECT_EQ(result.var.dimension(axis), kept);
  }
}

TYPED_TEST(MomentsOf, AnySetOfAxes) {
  using Tensor = typename TypeParam::template Tensor<4>;
  typename TypeParam::Device where;
  const auto x = random<Tensor>({3, 4, 5, 7}, 1, 2);
  expect_reduced(x, normkit::moments(where.device, x, {0, 2, 3}), {true, false, true, true});
  expect_reduced(x, normkit::moments(where.device, x, {0, 1, 2}), {true, true, true, false});
  expect_reduced(x, normkit::moments(where.device, x, {1, 2, 3}), {false, true, true, true});
  expect_reduced(x, normkit::moments(where.device, x, {2, 3}), {false, false, true, true});
  expect_reduced(x, normkit::moments(where.device, x, {1}), {false, true, false, false});
  expect_reduced(x, normkit::moments(where.device, x, {0, 1, 2, 3}), {true, true, true, true});
  expect_reduced(x, normkit::moments(where.device, x, {-1, -4}), {true, false, false, true});
}

TYPED_TEST(MomentsOf, EnoughForThreadsAndNothing) {
  using Tensor = typename TypeParam::template Tensor<4>;
  typename TypeParam::Device where;
  const auto x = random<Tensor>({3, 4, 90, 70}, 1, 2);
  expect_reduced(x, normkit::moments(where.device, x, {0, 2, 3}), {true, false, true, true});
  const Tensor none(2, 3, 0, 4);
  const auto of_none = normkit::moments(where.device, none, {2});
  ASSERT_EQ(of_none.mean.size(), 24);
  for (Eigen::Index i = 0; i < 24; ++i)
    EXPECT_TRUE(std::isnan(of_none.mean.data()[i]) && std::isnan(of_none.var.data()[i]));
  EXPECT_EQ(normkit::moments(where.device, none, {0}).mean.size(), 0);
}

TYPED_TEST(MomentsOf, AxesThatAlternate) {
  typename TypeParam::Device where;
  const auto x = random<typename TypeParam::template Tensor<4>>({3, 4, 5, 7}, 1, 2);
  expect_reduced(x, normkit::moments(where.device, x, {0, 2}), {true, false, true, false});
  expect_reduced(x, normkit::moments(where.device, x, {1, 3}), {false, true, false, true});
  const auto deep = random<typename TypeParam::template Tensor<5>>({3, 4, 5, 3, 2}, 1, 2);
  expect_reduced(deep, normkit::moments(where.device, deep, {1, 3}), {false, true, false, true, false});
  expect_reduced(deep, normkit::moments(where.device, deep, {0, 2, 4}), {true, false, true, false, true});
}

TYPED_TEST(MomentsOf, WorkedShapes) {
  const auto images = random<typename TypeParam::template Tensor<4>>({2, 3, 4, 4}, 1);
  const auto by_channel = normkit::moments(images, {0, 2, 3});
  expect_reduced(images, by_channel, {true, false, true, true});  // (1, 3, 1, 1)
  const auto tokens = random<typename TypeParam::template Tensor<3>>({2, 5, 5}, 1);
  const auto by_token = normkit::moments(tokens, {2});
  expect_reduced(tokens, by_token, {false, false, true});  // (2, 5, 1)
}

}  // namespace
