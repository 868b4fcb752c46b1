// Numbers whose range has no ends: products and sums that would leave that of a double, and what goes through.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <normkit/detail/kernel/kernels.hpp>

namespace {

namespace base = normkit::detail::scalar;
using Shifted = base::Shifted<double>;

constexpr double kMost = std::numeric_limits<double>::max(), kLeast = std::numeric_limits<double>::denorm_min();

double plain(Shifted value) { return base::nearest(value.plain()); }

TEST(Shifted, ProductsComeBackFromBeyondTheRange) {
  const Shifted most = Shifted::of(kMost), least = Shifted::of(kLeast), eighth = Shifted::of(0.125);
  EXPECT_EQ(plain(most * most * least * least), kMost * kLeast * (kMost * kLeast));
  EXPECT_EQ(plain(least * least * most * most), kMost * kLeast * (kMost * kLeast));
  EXPECT_EQ(plain(least * eighth * Shifted::of(24.0)), 3 * kLeast) << "no rounding below the smallest double";
}

TEST(Shifted, ProductsHaveTheExponentsOfBoth) {
  const Shifted most = Shifted::of(kMost), least = Shifted::of(kLeast), zero = Shifted::of(0.0);
  EXPECT_EQ(plain((most * most) * (least * least)), kMost * kLeast * (kMost * kLeast));
  EXPECT_EQ((most * most).magnitude(), 2047);
  EXPECT_EQ((least * least).magnitude(), -2148);
  EXPECT_EQ((most * zero).exponent, 0) << "zero has none";
  EXPECT_EQ((Shifted{{0.0, 0.0}, 7}).magnitude(), base::exponent_of_zero);
}

TEST(Shifted, SumsAreOfNumbersOfDifferentExponents) {
  const Shifted four = Shifted::of(kMost) * Shifted::of(0x1p-1022), one = Shifted::of(1.0);
  EXPECT_NE(four.exponent, one.exponent);
  EXPECT_EQ(plain(four + one), 5.0 - 0x1p-51);
  EXPECT_EQ(plain(one + four), 5.0 - 0x1p-51);
}

TEST(Shifted, SumsComeBackToo) {
  const Shifted most = Shifted::of(kMost), least = Shifted::of(kLeast);
  EXPECT_EQ(plain((most + most) + -most), kMost);
  EXPECT_EQ(plain(most * most + -(most * most)), 0.0);
  EXPECT_EQ(plain(Shifted::of(0.0) + least), kLeast);
  EXPECT_EQ(plain(most + least), kMost);
}

TEST(Shifted, NaNAndInfinityGoThrough) {
  const Shifted infinite = Shifted::of(HUGE_VAL), two = Shifted::of(2.0);
  EXPECT_EQ(plain(infinite * two), HUGE_VAL);
  EXPECT_EQ(plain(-infinite + two), -HUGE_VAL);
  EXPECT_TRUE(std::isnan(plain(infinite * Shifted::of(0.0))));
  EXPECT_TRUE(std::isnan(plain(infinite + -infinite)));
}

TEST(Shifted, ExponentsAreTakenOutOfDoublesThatAreNotZero) {
  EXPECT_EQ(base::exponent_of(0.0), base::exponent_of_zero);
  EXPECT_EQ(base::exponent_of(-kLeast), -1074);
  EXPECT_EQ(base::exponent_of(NAN), 0);
  EXPECT_EQ(base::exponent_for<double>(base::exponent_of_zero), 0);
  EXPECT_EQ(base::exponent_for<double>(-1074), -1074);
  EXPECT_EQ(base::exponent_for<float>(100), 0) << "a double has room for the squares of floats";
}

TEST(Ordinary, IsWhereSquaresAndProductsKeepTheirDigits) {
  EXPECT_TRUE(base::ordinary<float>(0x1p-100) && base::ordinary<float>(-0x1p100));
  EXPECT_FALSE(base::ordinary<float>(0x1.fp-101) || base::ordinary<float>(0x1p101) || base::ordinary<float>(0.0));
  EXPECT_TRUE(base::ordinary<double>(0x1p-900) && base::ordinary<double>(0x1p900));
  EXPECT_FALSE(base::ordinary<double>(kLeast) || base::ordinary<double>(HUGE_VAL) || base::ordinary<double>(NAN));
  EXPECT_TRUE(base::bounded<float>(0.0) && base::bounded<float>(kLeast));
  EXPECT_FALSE(base::bounded<float>(0x1p101) || base::bounded<float>(HUGE_VAL) || base::bounded<float>(NAN));
}

}  // namespace
