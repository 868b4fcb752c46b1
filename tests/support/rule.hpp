// The rule by which every number of the library is judged, and the bounds that go with it.
//
//   |got - exact| <= k * (u * cond + tiny),   u = 2^-24 (float) or 2^-53 (double), tiny = half the smallest subnormal
//
// and the class (NaN, +Inf, -Inf, finite) is that of the exact value rounded. `cond` is the sum of the magnitudes of
// the terms that make the value, so that the rule means the same where gradients cancel and where they do not. k counts
// the roundings on the longest way from the inputs to the value. Let xi = |xhat| + mean|xhat| where the statistics are
// of the batch (an error of the mean reaches each xhat of its group alike), and xi = |xhat| where they are given, or taken
// about zero. About zero dx has no mean|w dy|. Where xhat is had from y, xi has |b / w| besides.
//
//   value    cond                                            k
//   y        |w| xi + |b|                                    6  the statistics; x - hi; - lo; a = rstd * w; the
//                                                               product; + b
//   dx       of batch: rstd (|w dy| + mean|w dy|            10  in xhat 4: statistics, - hi, - lo, * rstd; w * dy, its
//              + xi mean(|w dy| xi)), running: rstd |w dy|      product with xhat, their sum; xhat * mean, the
//                                                               difference, * rstd
//   dweight  sum |dy| xi                                     9  in xhat 4; * dy; a sum 3; + old
//   dbias    sum |dy|                                        4  a sum 3; + old, which is made one precision up and
//                                                               stored once
//   y_v      |w| rstd S(v) + |dir w| xi + |dir b|           19  v * xhat, its sum and mean 7; * xhat, whose own 4
//              S(u) = |u| + mean|u| + xi mean(|u| xi)           are others, 5; two differences, * rstd, which is
//                                                               rounded too, and * w 5; two sums
//   x_grad   rstd S(f) + rstd^2 (xi C + B S(v) + A S(d))    28  in C v * d 2, in A B 14, their difference 1; * xhat 5;
//              A, B = mean(|v| xi), mean(|d| xi)                two sums; rstd * w, rstd, the products 4; the
//              C = mean(|v d|) + mean|v| mean|d| + A B          difference and the store 2
//   w_grad   sum rstd |dy| S(v)                             18  rstd S(v) 14 as in y_v; * dy; the sum; + old 2
//              (running: S(u) = |u|; about zero no mean|u|)
//   mean     mean|x|                                         3  x - pivot; the sum, which is corrected; the store
//   var      var                                             7  x - mean, which is squared and counts twice; the
//                                                               square; a sum 3; the store
//   running  |(1-m) old| + m |new|,                          7  as var; the update is made one precision up and stored
//              mean|x| as |new| for the mean                    once
//
// A sum in the precision of T is at most 8 terms of a column and then 8 such sums (and then up to 1024 columns of a group, by
// halves), or at most 128 terms (256 of double)
// in each of up to 32 lanes and then the lanes; what is longer is cut, and merged one precision up. Roundings have
// either sign and act on sums that are still growing: 2 * 8 of them together are near 2 * sqrt(8) / 2 = 3, and those of
// many lanes average out to less. Within y and dx a sum stands under a square root, or is one of many terms, and counts
// as one.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <vector>

#include "reference/normalization.hpp"

namespace support {

using reference::Affine;
using reference::Grouping;
using reference::Moments;
using reference::Real;
using reference::Reals;
using reference::Statistics;

namespace roundings {
inline constexpr int y_v = 19, x_grad = 28, w_grad = 18;
inline constexpr int y = 6, dx = 10, dweight = 9, dbias = 4, mean = 3, var = 7, running = 7;
}  // namespace roundings

/// Exact values with the cond of each.
struct Expected {
  Reals exact, cond;
};

struct ExpectedGradients {
  Expected dx, dweight, dbias;
};

Reals magnitudes(Reals values);

/// xi of every element.
Reals spread(const Reals& xhat, const Grouping& g, Statistics statistics);

Expected expected_y(const Reals& x, const Grouping& g, const Moments& m, Real eps, const Affine& affine,
                    Statistics statistics);

ExpectedGradients expected_gradients(const Reals& x, const Reals& dy, const Grouping& g, const Moments& m, Real eps,
                                     const Affine& affine, Statistics statistics, bool from_output = false);

/// S(u) of every element.
Reals projected_size(const Reals& u, const Reals& xi, const Grouping& g, Statistics statistics);

struct ExpectedSecond {
  Expected y_v, x_grad, w_grad;
};
ExpectedSecond expected_second(const Reals& x, const Reals& dy, const Reals& v, const Grouping& g, const Moments& m,
                               Real eps, const Affine& affine, const Affine& directions, Statistics statistics);

/// A gradient added to what was there; an empty `old` is zero.
Expected added(const Expected& gradient, const Reals& old);

struct ExpectedRunning {
  Expected mean, var;
};

/// The running statistics after a batch x, from the stored `old` ones, in which the counter has not moved yet.
ExpectedRunning expected_running(const reference::Running& old, const Reals& x, const Grouping& g,
                                 std::optional<Real> momentum);

ExpectedRunning expected_moments(const Reals& x, const Grouping& g);

template <class T>
Real unit_roundoff() {
  return std::ldexp(Real(1), -std::numeric_limits<T>::digits);
}

template <class T>
Real half_subnormal() {
  return static_cast<Real>(std::numeric_limits<T>::denorm_min()) / 2;
}

/// 0 finite, 1 +Inf, -1 -Inf, 2 NaN
template <class T>
int class_of(T value) {
  return std::isnan(value) ? 2 : std::isinf(value) ? (value > 0 ? 1 : -1) : 0;
}

/// The error of one value in units of the rule; the rule holds when it is at most k. Infinite for a wrong class.
template <class T>
Real error_in_units(T got, Real exact, Real cond) {
  const int expected_class = class_of(static_cast<T>(exact));
  if (class_of(got) != expected_class) return std::numeric_limits<Real>::infinity();
  if (expected_class != 0) return 0;
  return std::abs(static_cast<Real>(got) - exact) / (unit_roundoff<T>() * cond + half_subnormal<T>());
}

/// Whether all of `got` keeps the rule with k; if not, which element is worst, and how it stands.
template <class T>
::testing::AssertionResult keeps_rule(const std::vector<T>& got, const Expected& expected, int k) {
  if (got.size() != expected.exact.size())
    return ::testing::AssertionFailure() << got.size() << " values, expected " << expected.exact.size();
  std::size_t worst = 0;
  Real largest = -1;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const Real error = error_in_units(got[i], expected.exact[i], expected.cond[i]);
    if (!(error <= largest)) worst = i, largest = error;
  }
  if (largest <= k) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "element " << worst << " of " << got.size() << ": got "
                                       << ::testing::PrintToString(got[worst]) << ", exact "
                                       << ::testing::PrintToString(expected.exact[worst]) << ", " << largest
                                       << " units off where " << k << " are allowed";
}

}  // namespace support
