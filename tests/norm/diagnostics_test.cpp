// What diagnose says of channels whose mean and variance are exact: every number against its formula.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/tensors.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::BatchNorm;
using normkit::BatchNorm1d;
using normkit::BatchNormOptions;

constexpr Index channels = 4, count = 8;
constexpr double eps = 1e-5, running_mean = 1, running_var = 2;
// Half of the values of a channel lie this far below its centre, the other half as far above.
constexpr std::array<double, channels> centre{3, 5, 0, 0}, spread{2, 0, 0, 0x1p-9};

template <class C>
class Diagnostics : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  using Tensor = typename C::template Tensor<3>;

  static Scalar value(Index n, Index c) {
    const auto at = static_cast<std::size_t>(c);
    return static_cast<Scalar>(centre[at] + (n % 2 ? spread[at] : -spread[at]));
  }
  static Tensor batch() {
    Tensor x(count / 2, channels, 2);
    for (Index n = 0; n < count; ++n)
      for (Index c = 0; c < channels; ++c) x(n / 2, c, n % 2) = value(n, c);
    return x;
  }
  static BatchNorm1d<Scalar> made(BatchNormOptions options = {}) {
    BatchNorm1d<Scalar> norm(channels, options);
    norm.running_mean().setConstant(static_cast<Scalar>(running_mean));
    norm.running_var().setConstant(static_cast<Scalar>(running_var));
    return norm;
  }
};
TYPED_TEST_SUITE(Diagnostics, ScalarsAndLayouts, ConfigName);

// Under the root of std_drift: a quotient, a product, two sums and a quotient, 5 roundings of 2^-53 that the root halves,
// and its own. mean_drift has fewer.
void expect_close(double got, long double expected) {
  EXPECT_LE(std::abs(static_cast<long double>(got) - expected), std::ldexp(3.5L * std::abs(expected), -53)) << expected;
}

TYPED_TEST(Diagnostics, AreTheirFormulas) {
  for (const bool unbiased : {true, false}) {
    const auto norm = this->made({.unbiased_running_var = unbiased});
    const normkit::ChannelDiagnostics found = normkit::diagnose(norm, this->batch());
    ASSERT_EQ(found.mean.size(), channels);
    for (std::size_t c = 0; c < channels; ++c) {
      const long double var = static_cast<long double>(spread[c]) * spread[c];
      const long double root = std::sqrt(static_cast<long double>(running_var) + eps);
      EXPECT_EQ(found.mean[c], centre[c]);
      EXPECT_EQ(found.var[c], static_cast<double>(var));
      expect_close(found.mean_drift[c], (centre[c] - static_cast<long double>(running_mean)) / root);
      expect_close(found.std_drift[c], std::sqrt(var * (unbiased ? count / (count - 1.0L) : 1) + eps) / root);
    }
    EXPECT_EQ(found.mean_over_std[0], 1.5);
    EXPECT_EQ(found.mean_over_std[1], std::numeric_limits<double>::infinity());
    EXPECT_EQ(found.mean_over_std[2], 0.0);
    EXPECT_EQ(found.mean_over_std[3], 0.0);
  }
}

TYPED_TEST(Diagnostics, NameTheDeadChannels) {
  const auto norm = this->made();
  const auto x = this->batch();
  EXPECT_EQ(normkit::diagnose(norm, x).dead, (std::vector<Index>{1, 2, 3}));  // 0x1p-18 < 1e-5
  EXPECT_EQ(normkit::diagnose(norm, x, 0x1p-18).dead, (std::vector<Index>{1, 2, 3}));
  EXPECT_EQ(normkit::diagnose(norm, x, 0x1p-19).dead, (std::vector<Index>{1, 2}));
  EXPECT_EQ(normkit::diagnose(norm, x, 4).dead, (std::vector<Index>{0, 1, 2, 3}));
}

TYPED_TEST(Diagnostics, AreThoseOfTheChannelAxis) {
  const normkit::ChannelDiagnostics first = normkit::diagnose(this->made(), this->batch());
  typename TestFixture::Tensor turned(count / 2, 2, channels);
  for (Index n = 0; n < count; ++n)
    for (Index c = 0; c < channels; ++c) turned(n / 2, n % 2, c) = this->value(n, c);
  Pooled pool;
  const auto last = normkit::diagnose(pool.device, this->made({.channel_axis = -1}), turned);
  EXPECT_EQ(last.mean, first.mean);
  EXPECT_EQ(last.var, first.var);
  EXPECT_EQ(last.mean_over_std, first.mean_over_std);
  EXPECT_EQ(last.dead, first.dead);
  EXPECT_EQ(last.mean_drift, first.mean_drift);
  EXPECT_EQ(last.std_drift, first.std_drift);
}

TYPED_TEST(Diagnostics, HaveNoDriftWithoutRunningStatistics) {
  using Number = typename TestFixture::Scalar;
  const auto found = normkit::diagnose(BatchNorm<Number>(channels, {.track_running_stats = false}), this->batch());
  EXPECT_TRUE(found.mean_drift.empty() && found.std_drift.empty());
  EXPECT_EQ(found.mean_over_std[0], 1.5);
}

TYPED_TEST(Diagnostics, OfNaNAndOfNothingAreNaN) {
  const auto norm = this->made();
  auto x = this->batch();
  x(1, 1, 1) = std::numeric_limits<typename TestFixture::Scalar>::quiet_NaN();
  const auto odd = normkit::diagnose(norm, x);
  EXPECT_TRUE(std::isnan(odd.mean_over_std[1]) && std::isnan(odd.mean_drift[1]) && std::isnan(odd.std_drift[1]));
  EXPECT_EQ(odd.mean_over_std[0], 1.5);
  EXPECT_EQ(odd.dead, (std::vector<Index>{2, 3}));
  const auto none = normkit::diagnose(norm, typename TestFixture::Tensor(0, channels, 2));
  for (std::size_t c = 0; c < channels; ++c) EXPECT_TRUE(std::isnan(none.mean_over_std[c]));
  EXPECT_TRUE(none.dead.empty());
}

// Beyond what T holds of a variance: all is in double.
TYPED_TEST(Diagnostics, OfFloatHaveTheRangeOfDouble) {
  using Number = typename TestFixture::Scalar;
  for (const double unit : {0x1p100, 0x1p-100}) {
    typename TestFixture::Tensor x(count / 2, channels, 2);
    for (Index i = 0; i < x.size(); ++i) x.data()[i] = static_cast<Number>(unit);
    for (Index n = 0; n < count; ++n) x(n / 2, 1, n % 2) = static_cast<Number>(n % 2 ? 4 * unit : 2 * unit);
    const auto found = normkit::diagnose(this->made(), x, 0.0);
    EXPECT_EQ(found.mean[1], 3 * unit);
    EXPECT_EQ(found.var[1], unit * unit);
    EXPECT_EQ(found.mean_over_std[1], 3.0);
    EXPECT_EQ(found.dead, (std::vector<Index>{0, 2, 3}));
  }
}

TYPED_TEST(Diagnostics, OfEqualStatisticsWithoutSpreadHaveNoDrift) {
  auto norm = this->made({.eps = 0.0});
  norm.running_mean().setConstant(5);
  norm.running_var().setZero();
  const auto found = normkit::diagnose(norm, this->batch());
  EXPECT_EQ(found.mean_drift[1], 0.0);
  EXPECT_EQ(found.std_drift[1], 1.0);
  EXPECT_EQ(found.mean_drift[0], -std::numeric_limits<double>::infinity());
  EXPECT_EQ(found.std_drift[0], std::numeric_limits<double>::infinity());
}

TYPED_TEST(Diagnostics, RefuseWhatForwardRefuses) {
  using Number = typename TestFixture::Scalar;
  auto norm = this->made();
  expect_error<normkit::shape_error>([&] { normkit::diagnose(norm, typename TestFixture::Tensor(4, 3, 2)); },
                                     {"expected 4 channels on axis 1", "got 3"});
  norm.running_var()(2) = -1;
  expect_error<normkit::argument_error>([&] { normkit::diagnose(norm, this->batch()); },
                                        {"expected running_var of at least 0", "got -1.0 in channel 2"});
  expect_error<normkit::argument_error>(
      [&] { normkit::diagnose(BatchNorm<Number>(channels, {.channel_axis = 3}), this->batch()); },
      {"expected channel_axis in [-3, 3)", "got 3"});
  expect_error<normkit::argument_error>([&] { normkit::diagnose(norm, this->batch(), -1); },
                                        {"expected dead_var of at least 0", "got -1"});
  norm.running_var() = Eigen::Tensor<Number, 1>(3);
  expect_error<normkit::shape_error>([&] { normkit::diagnose(norm, this->batch()); }, {"running_var"});
}

template <class Number>
void expect_same_of_16_bits() {
  auto wide = random<Eigen::Tensor<float, 2, Eigen::RowMajor>>({64, 3}, 5);
  const Eigen::Tensor<Number, 2, Eigen::RowMajor> x = wide.cast<Number>();
  wide = x.template cast<float>();
  const BatchNorm1d<float> norm(3);
  const auto found = normkit::diagnose(norm, x), expected = normkit::diagnose(norm, wide);
  EXPECT_EQ(found.mean, expected.mean);
  EXPECT_EQ(found.var, expected.var);
}

TEST(DiagnosticsOfSixteenBits, AreThoseOfTheSameNumbersInFloat) {
  expect_same_of_16_bits<Eigen::half>();
  expect_same_of_16_bits<Eigen::bfloat16>();
}

}  // namespace
