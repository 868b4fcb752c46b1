// Random numbers made of integers alone. Those of <random> differ between standard libraries, even from one seed
// (std::shuffle and the distributions are free in how they use it), and the held-out images must be the same
// everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace digits {

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
  }

  /// Uniform in [-limit, limit), in steps of 2^-23: 24 bits are what a float holds.
  float symmetric(float limit) {
    const float unit = static_cast<float>(next() >> 40) * 0x1p-23f;  // in [0, 2)
    return (unit - 1.0f) * limit;
  }

  /// 0, 1, ... count - 1 in random order (Fisher and Yates; the bias of the remainder is below 2^-50 here).
  std::vector<std::ptrdiff_t> permutation(std::ptrdiff_t count) {
    std::vector<std::ptrdiff_t> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), std::ptrdiff_t{0});
    for (std::size_t left = order.size(); left > 1; --left) std::swap(order[left - 1], order[next() % left]);
    return order;
  }

 private:
  std::uint64_t state_;
};

}  // namespace digits
