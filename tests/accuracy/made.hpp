// The million values, which are not committed: made here as large.py makes them, in whole numbers, without a rounding.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/numbers.hpp"

namespace accuracy {

/// 3 and the sum of three uniforms, with so few digits that the sum is exact: mean 3, standard deviation 1.
template <class T>
std::vector<T> made_bell(std::uint64_t seed, std::size_t count) {
  constexpr int digits = std::numeric_limits<T>::digits == 24 ? 20 : 48;
  constexpr std::int64_t half = std::int64_t{1} << (digits - 1);
  support::Numbers numbers(seed);
  std::vector<T> values(count);
  for (T& value : values) {
    std::int64_t multiple = 3 * half;
    for (int i = 0; i < 3; ++i) multiple += static_cast<std::int64_t>(numbers.bits(digits)) - half;
    value = std::ldexp(static_cast<T>(multiple), 1 - digits);
  }
  return values;
}

/// 10240 and the sum of three uniforms of a few ulps: standard deviation 0.008.
template <class T>
std::vector<T> made_far(std::uint64_t seed, std::size_t count) {
  constexpr bool is_float = std::numeric_limits<T>::digits == 24;
  constexpr int shift = is_float ? 10 : 39, digits = is_float ? 4 : 33;
  support::Numbers numbers(seed);
  std::vector<T> values(count);
  for (T& value : values) {
    std::int64_t multiple = std::int64_t{10240} << shift;
    for (int i = 0; i < 3; ++i)
      multiple += static_cast<std::int64_t>(numbers.bits(digits)) - (std::int64_t{1} << (digits - 1));
    value = std::ldexp(static_cast<T>(multiple), -shift);
  }
  return values;
}

template <class T>
std::vector<T> made_uniform(std::uint64_t seed, std::size_t count) {
  support::Numbers numbers(seed);
  std::vector<T> values(count);
  for (T& value : values) value = numbers.uniform<T>();
  return values;
}

}  // namespace accuracy
