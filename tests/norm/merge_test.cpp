// Moments and sums of parts of a batch, that merge to those of all of it.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/split_batch.hpp"

namespace {

using namespace support;
using normkit::channel_moments;

template <class T>
std::vector<T> means_of(const normkit::Moments<T>& moments) {
  std::vector<T> means;
  for (Index c = 0; c < moments.channels(); ++c) means.push_back(static_cast<T>(moments.mean(c)));
  return means;
}
template <class T>
std::vector<T> variances_of(const normkit::Moments<T>& moments) {
  std::vector<T> variances;
  for (Index c = 0; c < moments.channels(); ++c) variances.push_back(static_cast<T>(moments.var(c)));
  return variances;
}

template <class C>
class MergedMoments : public ::testing::Test {};
TYPED_TEST_SUITE(MergedMoments, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(MergedMoments, AreThoseOfTheWholeInAnyOrder) {
  using T = typename TypeParam::Scalar;
  using Volume = typename TypeParam::template Tensor<3>;
  typename TypeParam::Device where;
  for (const auto& [mean, deviation] : {std::pair(0.5, 2.0), std::pair(1e4, 1e-2)}) {
    const auto x = random<Volume>({12, 19, 700}, 1, mean, deviation);
    const auto expected = expected_moments(reals(x), reference::per_channel(extents_of(x), 1));
    const auto part = [&](Index begin, Index end) {
      return channel_moments(where.device, Volume(samples_of(x, begin, end)));
    };
    const normkit::Moments<T> parts[] = {part(0, 1), part(1, 1), part(1, 6), part(6, 12)};
    for (const auto& order : {std::array{0, 1, 2, 3}, std::array{3, 2, 1, 0}, std::array{1, 3, 0, 2}}) {
      normkit::Moments<T> whole(19);
      for (const int number : order) whole.merge(parts[number]);
      EXPECT_EQ(whole.count(), 12 * 700);
      EXPECT_TRUE(keeps_rule(means_of(whole), expected.mean, roundings::mean));
      EXPECT_TRUE(keeps_rule(variances_of(whole), expected.var, roundings::var));
    }
    normkit::Moments<T> left = parts[0], right = parts[2];
    left.merge(parts[2]);
    right.merge(parts[3]);
    left.merge(parts[3]);
    normkit::Moments<T> whole = parts[0];
    whole.merge(right);
    EXPECT_TRUE(keeps_rule(variances_of(left), expected.var, roundings::var));
    EXPECT_TRUE(keeps_rule(variances_of(whole), expected.var, roundings::var));
  }
}

TYPED_TEST(MergedMoments, OfChannelsLast) {
  using Volume = typename TypeParam::template Tensor<3>;
  typename TypeParam::Device where;
  const auto x = random<Volume>({12, 700, 19}, 1, 3, 2);
  const auto expected = expected_moments(reals(x), reference::per_channel(extents_of(x), 2));
  const auto moments = channel_moments(where.device, x, -1);
  EXPECT_TRUE(keeps_rule(means_of(moments), expected.mean, roundings::mean));
  EXPECT_TRUE(keeps_rule(variances_of(moments), expected.var, roundings::var));
}

template <class T>
class MomentsOf : public ::testing::Test {
 protected:
  using Features = Eigen::Tensor<T, 2, Eigen::RowMajor>;
  static Features column(const std::vector<T>& values) {
    Features x(static_cast<Index>(values.size()), 1);
    std::copy(values.begin(), values.end(), x.data());
    return x;
  }
};
TYPED_TEST_SUITE(MomentsOf, Scalars);

TYPED_TEST(MomentsOf, NothingAreNotNumbers) {
  normkit::Moments<TypeParam> none(2);
  EXPECT_EQ(none.channels(), 2);
  EXPECT_EQ(none.count(), 0);
  for (const double value : {none.mean(0), none.m2(1), none.var(0)}) EXPECT_TRUE(std::isnan(value));
  none.merge(normkit::Moments<TypeParam>(2));
  EXPECT_EQ(none.count(), 0);
  normkit::Moments<TypeParam> of_none;
  of_none.merge(normkit::Moments<TypeParam>());
  EXPECT_EQ(of_none.channels(), 0);
  const normkit::GradientSums<TypeParam> sums(2);
  EXPECT_EQ(sums.dy(0), 0.0);
  EXPECT_EQ(sums.dy_x(1), 0.0);
  EXPECT_EQ(channel_moments(typename TestFixture::Features(0, 3)).count(), 0);
}

TYPED_TEST(MomentsOf, ThemselvesTwiceHaveTheSameMean) {
  auto moments = channel_moments(this->column({1, 2, 6}));
  moments.merge(moments);
  EXPECT_EQ(moments.count(), 6);
  EXPECT_EQ(moments.mean(0), 3.0);
  EXPECT_EQ(moments.m2(0), 2 * (4 + 1 + 9));
  EXPECT_DOUBLE_EQ(moments.var(0), 28.0 / 6);
  moments.clear();
  EXPECT_EQ(moments.count(), 0);
}

TYPED_TEST(MomentsOf, NumbersFoundElsewhere) {
  using T = TypeParam;
  const std::array<double, 4> mean{3, 1e4 + 1e-3, -1e300, std::numeric_limits<double>::infinity()};
  const std::array<double, 4> m2{14, 1e-7, 0, std::numeric_limits<double>::quiet_NaN()};
  normkit::Moments<T> moments(3, mean, m2);
  EXPECT_EQ(moments.count(), 3);
  for (Index c = 0; c < 3; ++c) {
    EXPECT_EQ(moments.mean(c), mean[static_cast<std::size_t>(c)]);
    EXPECT_EQ(moments.m2(c), m2[static_cast<std::size_t>(c)]);
  }
  EXPECT_EQ(moments.mean(3), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(moments.m2(3)));

  const std::array<double, 1> first_mean{3}, first_m2{14};
  normkit::Moments<T> whole(3, first_mean, first_m2);
  whole.merge(channel_moments(this->column({7})));
  EXPECT_EQ(whole.mean(0), 4.0);
  EXPECT_EQ(whole.m2(0), 14 + 12);

  const std::array<double, 1> negative{-1};
  expect_error<normkit::argument_error>([&] { normkit::Moments<T>(-1, first_mean, first_m2); }, {"count", "-1"});
  expect_error<normkit::argument_error>([&] { normkit::Moments<T>(1, first_mean, negative); }, {"m2", "-1.0"});
  expect_error<normkit::shape_error>([&] { normkit::Moments<T>(1, mean, first_m2); }, {"4 means", "got 1"});
}

TYPED_TEST(MomentsOf, TheEndsOfTheRange) {
  using T = TypeParam;
  const T most = std::numeric_limits<T>::max(), least = std::numeric_limits<T>::denorm_min();
  auto large = channel_moments(this->column({most, -most}));
  large.merge(channel_moments(this->column({most, -most, 0})));
  EXPECT_EQ(large.mean(0), 0.0);
  EXPECT_EQ(std::isinf(large.m2(0)), (std::is_same_v<T, double>));
  auto small = channel_moments(this->column({least, 3 * least}));
  small.merge(channel_moments(this->column({5 * least, 7 * least})));
  EXPECT_EQ(small.mean(0), 4.0 * static_cast<double>(least));
  const T nan = std::numeric_limits<T>::quiet_NaN(), infinity = std::numeric_limits<T>::infinity();
  auto strange = channel_moments(this->column({1, infinity}));
  strange.merge(channel_moments(this->column({2, 3})));
  EXPECT_EQ(strange.mean(0), static_cast<double>(infinity));
  strange.merge(channel_moments(this->column({nan})));
  EXPECT_TRUE(std::isnan(strange.mean(0)));
}

TYPED_TEST(MomentsOf, NoChannelsBecomeThoseOfTheFirst) {
  normkit::Moments<TypeParam> all;
  EXPECT_EQ(all.channels(), 0);
  all.merge(channel_moments(this->column({1, 2, 6})));
  EXPECT_EQ(all.channels(), 1);
  EXPECT_EQ(all.mean(0), 3.0);
  normkit::Moments<TypeParam> moved = std::move(all);
  EXPECT_EQ(moved.m2(0), 14.0);
  EXPECT_EQ(all.channels(), 0);  // and may be used again
  EXPECT_EQ(all.count(), 0);
  all.merge(moved);
  EXPECT_EQ(all.m2(0), 14.0);
  all = std::move(moved);
  EXPECT_EQ(all.m2(0), 14.0);
  EXPECT_EQ(moved.channels(), 0);
  normkit::GradientSums<TypeParam> sums;
  sums.merge(normkit::GradientSums<TypeParam>(3));
  EXPECT_EQ(sums.channels(), 3);
}

TYPED_TEST(MomentsOf, OtherChannelsAreRefused) {
  normkit::Moments<TypeParam> two(2);
  expect_error<normkit::shape_error>([&] { two.merge(normkit::Moments<TypeParam>(3)); }, {"2 channels", "got 3"});
  normkit::GradientSums<TypeParam> sums(2);
  expect_error<normkit::shape_error>([&] { sums.merge(normkit::GradientSums<TypeParam>(1)); }, {"2 channels", "got 1"});
  expect_error<normkit::argument_error>([&] { channel_moments(this->column({1}), 2); }, {"channel_axis", "got 2"});
}

/// Parts that go their own way to each other: the sums of all are those of a backward of the whole.
TYPED_TEST(MomentsOf, GradientSumsAddUpToThoseOfTheWhole) {
  using T = TypeParam;
  using Volume = Eigen::Tensor<T, 3, Eigen::RowMajor>;
  const auto x = random<Volume>({9, 5, 40}, 1, 0.5, 2), dy = random<Volume>({9, 5, 40}, 2, 0.25);
  Volume y = x;
  normkit::BatchNorm<T> norm(5), frozen(5);
  norm.forward(x, y);
  frozen.running_mean() = norm.running_mean();
  frozen.eval();
  normkit::GradientSums<T> whole(5);
  for (const auto& [begin, end] :
       {std::pair<Index, Index>(0, 2), std::pair<Index, Index>(2, 2), std::pair<Index, Index>(2, 9)}) {
    const Volume own_x = samples_of(x, begin, end), own_dy = samples_of(dy, begin, end);
    Volume own_y = own_x;
    normkit::Saved<T> saved;
    frozen.forward(normkit::single_process, own_x, own_y, saved);
    if (end > begin) whole.merge(frozen.gradient_sums(own_x, own_dy, saved));
  }
  const auto own = norm.gradient_sums(x, dy, norm.saved());  // of the forward of the whole
  EXPECT_EQ(own.count(), 9 * 40);
  EXPECT_EQ(whole.count(), 9 * 40);
  for (Index c = 0; c < 5; ++c) {
    double sum = 0, sum_x = 0, size = 0, size_x = 0;
    for (Index n = 0; n < 9; ++n)
      for (Index l = 0; l < 40; ++l) {
        const double d = static_cast<double>(dy(n, c, l)),
                     centred = static_cast<double>(x(n, c, l)) - static_cast<double>(norm.running_mean()(c));
        sum += d;
        size += std::fabs(d);
        sum_x += d * centred;
        size_x += std::fabs(d * centred);
      }
    const double u = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
    EXPECT_NEAR(own.dy(c), sum, roundings::dbias * u * size);
    EXPECT_NEAR(whole.dy(c), sum, roundings::dbias * u * size);
    EXPECT_NEAR(whole.dy_x(c), sum_x, roundings::dweight * u * size_x);
  }
  const Volume large =
      dy * std::ldexp(T(1), std::numeric_limits<T>::max_exponent - 4);  // sums have an exponent of their own
  const auto beyond = norm.gradient_sums(x, large, norm.saved());
  normkit::GradientSums<T> copy;
  copy.merge(normkit::GradientSums<T>(5));
  copy.merge(beyond);
  EXPECT_EQ(copy.dy(1), beyond.dy(1));
  EXPECT_EQ(copy.dy_x(1), beyond.dy_x(1));
  normkit::GradientSums<T> twice = whole;
  twice.merge(twice);
  EXPECT_EQ(twice.dy(1), 2 * whole.dy(1));
  EXPECT_EQ(twice.dy_x(1), 2 * whole.dy_x(1));
}

}  // namespace
