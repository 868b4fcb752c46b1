// How numbers of 16 bits are read and rounded: every one of them, on every instruction set, against what IEEE 754 says of
// their bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernel/sets.hpp"

namespace {

namespace nk = normkit::detail;
using normkit::Index;

/// sign, exponent, `digits` bits of fraction.
template <int digits>
double value_of(std::uint16_t bits) {
  const int exponent_bits = 15 - digits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = bits >> digits & ((1 << exponent_bits) - 1), fraction = bits & ((1 << digits) - 1);
  double size = std::ldexp(fraction + (exponent > 0 ? 1 << digits : 0), std::max(exponent, 1) - bias - digits);
  if (exponent == (1 << exponent_bits) - 1)
    size = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  return bits >> 15 ? -size : size;
}

struct HalfBits {
  using Stored = nk::Half;
  static constexpr int digits = 10;
};
struct BFloat16Bits {
  using Stored = nk::BFloat16;
  static constexpr int digits = 7;
};

template <class Format>
class SixteenBits : public ::testing::Test {
 protected:
  using S = typename Format::Stored;

  static double value(std::uint16_t bits) { return value_of<Format::digits>(bits); }

  /// Every number there is.
  static std::vector<S> all() {
    std::vector<S> numbers(65536);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i].bits = static_cast<std::uint16_t>(i);
    return numbers;
  }

  /// What a kernel reads from neighbouring columns: their sums over one row.
  static std::vector<double> read(const kernel_sets::Set<S>& set, const S* numbers, Index count) {
    const auto size = static_cast<std::size_t>(count);
    const std::vector<S> x(size, S{0});
    const std::vector<float> zero(size, 0.0f);
    const std::vector<double> rstd(size, 1.0);
    const std::vector<int> exponent(size, 0);
    std::vector<double> sum(size), sum_x(size);
    std::vector<nk::NoExponent> none(size);
    const nk::Centre<float> centre{{zero.data(), zero.data(), rstd.data(), exponent.data()}, nullptr, nullptr, false};
    set.kernels->sums[nk::lanes][static_cast<int>(nk::SumKind::plain)](
        {count, 1, 1, count, 1, 1}, x.data(), numbers, centre, {sum.data(), sum_x.data(), none.data(), none.data()});
    return sum;
  }

  /// What a kernel stores of floats: weights of a row of ones.
  static std::vector<S> write(const kernel_sets::Set<S>& set, nk::Output out, const std::vector<float>& values,
                              std::size_t shift = 0) {
    const auto count = static_cast<Index>(values.size());
    const float zero = 0.0f, unit = 1.0f;
    const S one{static_cast<std::uint16_t>(((1 << (14 - Format::digits)) - 1) << Format::digits)};
    const std::vector<S> x(values.size(), one);
    constexpr std::size_t around = 64;
    const S guard{0x1234};
    std::vector<S> room(around + shift + values.size() + around, guard);
    S* const y = room.data() + around + shift;
    set.kernels->maps[out == nk::Output::cached].normalize[nk::runs][1](
        {1, count, 1, count, count, count}, x.data(),
        {&zero, &zero, &unit, &zero, values.data(), nullptr, 0, out == nk::Output::streamed}, y);
    for (std::size_t i = 0; i < room.size(); ++i) {
      const bool beside = i < around + shift || i >= around + shift + values.size();
      EXPECT_TRUE(!beside || room[i].bits == guard.bits) << set.name << " wrote beside its output";
    }
    return std::vector<S>(y, y + values.size());
  }
};
using Formats = ::testing::Types<HalfBits, BFloat16Bits>;
TYPED_TEST_SUITE(SixteenBits, Formats);

TYPED_TEST(SixteenBits, EachIsReadAsItIs) {
  const auto numbers = this->all();
  for (const auto& set : kernel_sets::all<typename TypeParam::Stored>())
    for (const Index count : {1024, 1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 14, 15, 30, 31})
      for (Index first = 0; first + count <= 65536; first += count) {
        const std::vector<double> got = this->read(set, numbers.data() + first, count);
        for (Index i = 0; i < count; ++i) {
          const double expected = this->value(static_cast<std::uint16_t>(first + i));
          const double value = got[static_cast<std::size_t>(i)];
          ASSERT_TRUE(value == expected || (std::isnan(value) && std::isnan(expected)))
              << set.name << ": expected " << expected << ", got " << value << " for the bits " << first + i;
        }
      }
}

TYPED_TEST(SixteenBits, FloatsAreRoundedToTheNearestTiesToEven) {
  // Each number, the middle between it and the next one, and the floats beside that.
  std::vector<float> values;
  std::vector<std::uint16_t> expected;
  const auto add = [&](float value, unsigned bits) {
    values.insert(values.end(), {value, -value});
    expected.insert(expected.end(), {static_cast<std::uint16_t>(bits), static_cast<std::uint16_t>(bits | 0x8000u)});
  };
  const unsigned infinity = 0x7fffu & ~((1u << TypeParam::digits) - 1);
  for (unsigned bits = 0; bits < infinity; ++bits) {
    const double here = this->value(static_cast<std::uint16_t>(bits));
    const double below = this->value(static_cast<std::uint16_t>(bits == 0 ? 1 : bits - 1));
    // Beyond the greatest the next one would be as far again: what is nearer to that is infinite.
    const double next = bits + 1 < infinity ? this->value(static_cast<std::uint16_t>(bits + 1)) : 2 * here - below;
    const auto middle = static_cast<float>(here + (next - here) / 2);
    add(static_cast<float>(here), bits);
    add(middle, bits + bits % 2);
    add(std::nextafter(middle, 0.0f), bits);
    add(std::nextafter(middle, std::numeric_limits<float>::infinity()), bits + 1);
  }
  add(std::numeric_limits<float>::infinity(), infinity);
  add(std::numeric_limits<float>::denorm_min(), 0);
  values.push_back(std::numeric_limits<float>::quiet_NaN());
  values.push_back(std::bit_cast<float>(0x7fffffffu));  // would round to 0 if it were a number
  values.push_back(std::bit_cast<float>(0xffffffffu));
  for (const auto& set : kernel_sets::all<typename TypeParam::Stored>())
    for (const nk::Output out : {nk::Output::cached, nk::Output::prefetched, nk::Output::streamed})
      for (const std::size_t shift : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
        const auto got = this->write(set, out, values, shift);
        for (std::size_t i = 0; i < expected.size(); ++i)
          ASSERT_EQ(got[i].bits, expected[i]) << set.name << ", " << values[i];
        for (std::size_t i = expected.size(); i < got.size(); ++i)
          ASSERT_TRUE(std::isnan(this->value(got[i].bits))) << set.name;
      }
}

TYPED_TEST(SixteenBits, AShortEndIsWrittenAndNoMore) {
  for (const auto& set : kernel_sets::all<typename TypeParam::Stored>())
    for (std::size_t count = 1; count < 40; ++count) {
      std::vector<float> values(count);
      for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i + 1);
      const auto got = this->write(set, nk::Output::cached, values);
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(this->value(got[i].bits), i + 1) << set.name << " of " << count;
    }
}

}  // namespace
