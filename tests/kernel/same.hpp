// Whether two results are the same bits, where a NaN is as good as any other.
#pragma once

#include <cmath>
#include <cstring>
#include <normkit/detail/simd/scalar.hpp>
#include <vector>

namespace kernel_sets {

template <class Number>
bool same_number(Number a, Number b) {
  if constexpr (std::is_same_v<Number, normkit::detail::DoubleDouble>)
    return same_number(a.hi, b.hi) && (same_number(a.lo, b.lo) || std::isnan(a.hi));
  else
    return std::isnan(a) ? std::isnan(b) : std::memcmp(&a, &b, sizeof(a)) == 0;
}
template <class Number>
bool same(const std::vector<Number>& a, const std::vector<Number>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!same_number(a[i], b[i])) return false;
  return true;
}
template <class T>
bool same_exponents(const std::vector<T>& a, const std::vector<T>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (int(a[i]) != int(b[i])) return false;
  return true;
}

}  // namespace kernel_sets
