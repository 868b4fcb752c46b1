// The steps between passes over data: neighbouring groups in one register must get the bits that each gets alone, also
// where the group beside them is at an end of the range, and on every instruction set.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernel/same.hpp"
#include "kernel/sets.hpp"
#include "support/numbers.hpp"

namespace {

namespace nk = normkit::detail;
using kernel_sets::same;
using kernel_sets::same_exponents;
using normkit::Index;

/// Numbers of which every `period`-th is at an end of the range, or beyond it.
template <class T>
class Hostile {
 public:
  Hostile(std::uint64_t seed, int period) : numbers_(seed), period_(period) {}

  T next(bool positive = false) {
    static constexpr T ends[] = {T(0),
                                 std::numeric_limits<T>::denorm_min(),
                                 std::numeric_limits<T>::max(),
                                 std::numeric_limits<T>::infinity(),
                                 std::numeric_limits<T>::quiet_NaN(),
                                 std::numeric_limits<T>::min()};
    ++count_;
    if (period_ > 0 && count_ % period_ == 0) return ends[(count_ / period_) % 6];
    const T value = numbers_.bell<T>();
    return positive ? value * value + T(0.1) : value;
  }
  nk::Wide<T> wide(bool positive = false) {
    const double hi = static_cast<double>(next(positive));
    if constexpr (std::is_same_v<nk::Wide<T>, double>)
      return hi;
    else
      return {hi, std::isfinite(hi) ? std::ldexp(hi, -54) : 0.0};
  }
  nk::Exponent<T> exponent() {
    nk::Exponent<T> e{};
    e = period_ > 0 && ++count_ % (3 * period_) == 0 ? 600 : 0;
    return e;
  }

 private:
  support::Numbers numbers_;
  int period_, count_ = 0;
};

/// All that steps read and write, by group.
template <class T>
struct State {
  std::vector<T> pivot, mean, mean_lo, weight, bias, scale, slope, running_mean, running_var;
  std::vector<nk::Wide<T>> delta, m2, sum, sum_x;
  std::vector<nk::Exponent<T>> exponent, sum_exponent, sum_x_exponent;
  std::vector<double> rstd, given_mean, given_var;
  std::vector<int> power;
  std::vector<nk::scalar::CarefulMeans<T>> kept;
  std::vector<char> marked;  // of bool, as std::vector<bool> has none
  bool any = false;          // of the marks, as the steps return it

  State(Index groups, std::uint64_t seed, int period) {
    Hostile<T> hostile(seed, period);
    for (Index g = 0; g < groups; ++g) {
      for (auto* values : {&pivot, &mean, &mean_lo, &weight, &bias, &scale, &slope, &running_mean})
        values->push_back(hostile.next());
      running_var.push_back(hostile.next(true));
      for (auto* values : {&delta, &sum, &sum_x}) values->push_back(hostile.wide());
      m2.push_back(hostile.wide(true));
      for (auto* values : {&exponent, &sum_exponent, &sum_x_exponent}) values->push_back(hostile.exponent());
      rstd.push_back(static_cast<double>(hostile.next(true)));
      given_mean.push_back(static_cast<double>(hostile.next()) * 1.1);
      given_var.push_back(static_cast<double>(hostile.next(true)));
      power.push_back(0);
      kept.push_back({});
      marked.push_back(0);
    }
  }

  nk::Moments<T> moments(Index g) {
    return nk::Moments<T>{pivot.data(), delta.data(), m2.data(), exponent.data()}.from(g);
  }
  nk::GradientSums<T> sums(Index g) {
    return nk::GradientSums<T>{sum.data(), sum_x.data(), sum_exponent.data(), sum_x_exponent.data()}.from(g);
  }
  nk::Statistics<T> statistics(Index g) {
    return nk::Statistics<T>{mean.data(), mean_lo.data(), rstd.data(), power.data()}.from(g);
  }
  bool* marks(Index g) { return reinterpret_cast<bool*>(marked.data()) + g; }
};

template <class T>
void expect_same(const State<T>& a, const State<T>& b, const std::string& what) {
  EXPECT_TRUE(same(a.pivot, b.pivot) && same(a.delta, b.delta) && same(a.m2, b.m2)) << what << ": moments";
  EXPECT_TRUE(same(a.sum, b.sum) && same(a.sum_x, b.sum_x)) << what << ": sums";
  EXPECT_TRUE(same(a.mean, b.mean) && same(a.mean_lo, b.mean_lo) && same(a.rstd, b.rstd)) << what << ": statistics";
  EXPECT_TRUE(same(a.scale, b.scale) && same(a.slope, b.slope)) << what << ": coefficients";
  EXPECT_TRUE(same(a.weight, b.weight) && same(a.bias, b.bias)) << what << ": gradients";
  EXPECT_TRUE(same(a.running_mean, b.running_mean) && same(a.running_var, b.running_var)) << what << ": running";
  EXPECT_TRUE(same_exponents(a.exponent, b.exponent) && same_exponents(a.power, b.power) &&
              same_exponents(a.sum_exponent, b.sum_exponent) && same_exponents(a.sum_x_exponent, b.sum_x_exponent) &&
              same_exponents(a.marked, b.marked))
      << what << ": exponents and marks";
  EXPECT_EQ(a.any, b.any) << what;
}

/// Each step for `count` groups from g on, each on what the one before has left.
template <class T>
void all_steps(const nk::Steps<T>& steps, State<T>& a, State<T>& b, Index g, Index count) {
  const std::size_t i = static_cast<std::size_t>(g);
  steps.merge_moments(count, a.moments(g), 100, b.moments(g), 28);
  steps.merge_sums(count, a.sums(g), b.sums(g));
  steps.update_running(count, a.moments(g), 127, 0.1, &a.running_mean[i], &a.running_var[i]);
  steps.statistics_of(count, a.moments(g), 128, 1e-5, a.statistics(g));
  a.any |= steps.scale_of(count, a.statistics(g), &b.weight[i], &b.bias[i], &a.scale[i], a.marks(g));
  a.any |=
      steps.gradient_means(count, a.sums(g), 128, a.statistics(g), &a.bias[i], &a.slope[i], &a.kept[i], a.marks(g));
  steps.add_gradients(count, a.sums(g), a.statistics(g).rstd, &a.weight[i], &a.bias[i]);
  steps.statistics_from(count, &b.running_mean[i], &b.running_var[i], 1e-5, b.statistics(g));
  b.any |= steps.scale_of(count, b.statistics(g), nullptr, nullptr, &b.scale[i], b.marks(g));
  steps.statistics_from_wide(count, &b.given_mean[i], &b.given_var[i], 0.0, b.statistics(g));
  steps.add_gradients(count, b.sums(g), nullptr, &b.weight[i], nullptr);
  steps.average_moments(count, b.moments(g), 3, a.moments(g));
  steps.weigh_sums(count, b.sums(g), &a.scale[i]);
  steps.scale_sums(count, a.sums(g), b.statistics(g).rstd);
}

template <class T>
class Steps : public ::testing::Test {};
using Scalars = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Steps, Scalars);

TYPED_TEST(Steps, NeighboursBecomeOneFromLeftToRight) {
  using T = TypeParam;
  const nk::Steps<T>& one_by_one = kernel_sets::all<T>().front().kernels->steps;
  for (const int period : {0, 1, 5, 37})
    for (const Index each : {1, 2, 3, 16}) {
      const Index groups = 7;
      State<T> alone(groups * each, 3, period), merged(groups, 4, period);
      for (Index g = 0; g < groups; ++g) {
        nk::copy(1, alone.sums(g * each), merged.sums(g));
        for (Index m = 1; m < each; ++m) one_by_one.merge_sums(1, merged.sums(g), alone.sums(g * each + m));
      }
      for (const auto& set : kernel_sets::all<T>()) {
        State<T> from(groups * each, 3, period), into(groups, 4, period);
        set.kernels->steps.merge_neighbours(groups, each, from.sums(0), into.sums(0));
        const std::string what = set.name + ", " + std::to_string(each) + " each, period " + std::to_string(period);
        expect_same(into, merged, what);
        expect_same(from, alone, what);
      }
    }
}

TYPED_TEST(Steps, GiveNeighboursTheBitsThatEachGetsAlone) {
  using T = TypeParam;
  const nk::Steps<T>& one_by_one = kernel_sets::all<T>().front().kernels->steps;
  for (const int period : {0, 1, 2, 5, 13, 37})
    for (const Index groups : {1, 3, 4, 8, 9, 16, 27, 64}) {
      State<T> alone(groups, 1, period), other(groups, 2, period);
      for (Index g = 0; g < groups; ++g) all_steps(one_by_one, alone, other, g, 1);
      for (const auto& set : kernel_sets::all<T>()) {
        State<T> together(groups, 1, period), beside(groups, 2, period);
        all_steps(set.kernels->steps, together, beside, 0, groups);
        const std::string what = set.name + ", " + std::to_string(groups) + " groups, period " + std::to_string(period);
        expect_same(together, alone, what);
        expect_same(beside, other, what);
      }
    }
}

}  // namespace
