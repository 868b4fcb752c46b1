// Test data that is the same on every machine: the standard library's distributions are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace support {

/// A linear congruential generator modulo 2^64, stirred: of the plain one, elements a power of two apart have low
/// digits in arithmetic progression, and what they sum to rounds the same way again and again.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0x1607u) { bits(1); }

  /// The next `count` random bits, as an integer.
  std::uint64_t bits(int count) {
    state_ = state_ * 0x5851F42D4C957F2Du + 0x14057B7EF767814Fu;
    std::uint64_t stirred = (state_ ^ (state_ >> 29)) * 0xD6E8FEB86659FD93u;
    stirred ^= stirred >> 32;
    return (stirred * 0xD6E8FEB86659FD93u) >> (64 - count);
  }

  /// Uniform in [-1, 1), every digit of T random.
  template <class T>
  T uniform() {
    constexpr int digits = std::numeric_limits<T>::digits;
    constexpr std::int64_t half = std::int64_t{1} << (digits - 1);
    return static_cast<T>(static_cast<std::int64_t>(bits(digits)) - half) / static_cast<T>(half);
  }

  /// Bell-shaped with standard deviation 1: the sum of three uniforms in [-1, 1), whose variances are 1/3 each.
  template <class T>
  T bell() {
    const T first = uniform<T>(), second = uniform<T>();
    return first + second + uniform<T>();
  }

 private:
  std::uint64_t state_;
};

/// `count` bell-shaped values of the given mean and standard deviation.
template <class T>
std::vector<T> bell(std::size_t count, std::uint64_t seed, double mean = 0, double deviation = 1) {
  Numbers numbers(seed);
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(mean + deviation * static_cast<double>(numbers.bell<T>()));
  return values;
}

}  // namespace support
