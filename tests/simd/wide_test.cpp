// Arithmetic one precision up, against exact identities of integers and against long double.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <normkit/detail/kernel/kernels.hpp>

#include "support/numbers.hpp"

namespace {

using normkit::detail::DoubleDouble;
namespace base = normkit::detail::scalar;

long double value(DoubleDouble d) { return static_cast<long double>(d.hi) + static_cast<long double>(d.lo); }

/// long double has 64 bits: results must agree to all of them, which a plain double (53) could not.
void expect_near(DoubleDouble got, long double expected, const char* what) {
  const long double u = std::ldexp(1.0L, -62);
  EXPECT_LE(std::abs(value(got) - expected), u * std::abs(expected)) << what;
  EXPECT_LE(std::abs(got.lo), std::ldexp(std::abs(got.hi), -52)) << what << ": the parts overlap";
}

TEST(DoubleDouble, SumsAndProductsOfDoublesAreExact) {
  support::Numbers numbers(1);
  for (int i = 0; i < 1000; ++i) {
    const double a = numbers.uniform<double>(), b = std::ldexp(numbers.uniform<double>(), -i % 40);
    const DoubleDouble sum = base::two_sum(a, b), product = base::two_product(a, b);
    EXPECT_EQ(sum.hi, a + b);
    EXPECT_EQ(product.hi, a * b);
    EXPECT_EQ(product.lo, std::fma(a, b, -product.hi));  // fma rounds once: the exact rest
    if (std::abs(a) >= std::abs(b)) {
      EXPECT_EQ(sum.lo, b - (sum.hi - a));
    }
  }
}

TEST(DoubleDouble, ArithmeticHasMoreThanTheDigitsOfLongDouble) {
  support::Numbers numbers(2);
  using namespace base;  // the operators stand with the kernels, not with the type
  for (int i = 0; i < 1000; ++i) {
    const DoubleDouble a = base::two_sum(numbers.uniform<double>(), std::ldexp(numbers.uniform<double>(), -54));
    const DoubleDouble b = base::two_sum(numbers.uniform<double>(), std::ldexp(numbers.uniform<double>(), -54));
    const long double cond = std::abs(value(a)) + std::abs(value(b)), u = std::ldexp(1.0L, -62);
    EXPECT_LE(std::abs(value(a + b) - (value(a) + value(b))), u * cond);
    EXPECT_LE(std::abs(value(a - b) - (value(a) - value(b))), u * cond);
    expect_near(a * b, value(a) * value(b), "product");
    expect_near(a / b, value(a) / value(b), "quotient");
  }
}

TEST(DoubleDouble, RestsAreAddedWithoutErrorWhereTheGreaterPartsCancel) {
  using namespace base;
  support::Numbers numbers(4);
  for (int i = 0; i < 1000; ++i) {
    const double a = std::ldexp(numbers.uniform<double>(), -54),
                 b = std::ldexp(numbers.uniform<double>(), -54 - i % 40);
    const DoubleDouble sum = DoubleDouble{1.0, a} + DoubleDouble{-1.0, b}, exact = two_sum(a, b);
    EXPECT_EQ(sum.hi, exact.hi);
    EXPECT_EQ(sum.lo, exact.lo);
  }
}

TEST(DoubleDouble, WhatIsInfiniteHasNoRest) {
  using namespace base;
  const double infinity = std::numeric_limits<double>::infinity();
  const DoubleDouble endless{infinity, 0.0}, two{2.0, 0.0}, zero{0.0, 0.0};
  for (const DoubleDouble result : {endless + two, endless * two, two * endless, endless / two, two / zero}) {
    EXPECT_EQ(result.hi, infinity);
    EXPECT_EQ(result.lo, 0.0);
  }
}

TEST(DoubleDouble, ReciprocalSquareRootHasTheDigitsOfLongDouble) {
  support::Numbers numbers(3);
  for (int i = 0; i < 1000; ++i) {
    const DoubleDouble a = base::two_sum(1.5 + numbers.uniform<double>(), std::ldexp(numbers.uniform<double>(), -54));
    expect_near(base::reciprocal_sqrt(a), 1.0L / std::sqrt(value(a)), "rsqrt");
  }
}

TEST(ReciprocalSqrt, OfZeroIsZeroAndNanStaysNan) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(base::reciprocal_sqrt(0.0), 0.0);
  EXPECT_EQ(base::reciprocal_sqrt(DoubleDouble{0.0, 0.0}).hi, 0.0);
  EXPECT_TRUE(std::isnan(base::reciprocal_sqrt(nan)));
  EXPECT_TRUE(std::isnan(base::reciprocal_sqrt(DoubleDouble{nan, 0.0}).hi));
}

TEST(Isa, TheCapHoldsAndTheCpuLimitsIt) {
  using normkit::Isa;
  const Isa widest = normkit::max_isa(Isa::avx512);
  EXPECT_EQ(widest, normkit::active_isa());
  EXPECT_EQ(normkit::max_isa(Isa::baseline), Isa::baseline);
  EXPECT_EQ(normkit::active_isa(), Isa::baseline);
  EXPECT_EQ(normkit::max_isa(Isa::avx512), widest);
}

}  // namespace
