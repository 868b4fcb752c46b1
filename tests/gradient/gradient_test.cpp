// Backward is the derivative of forward: central differences in double.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <algorithm>
#include <cmath>
#include <string>

#include "support/configs.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::GroupNorm;
using normkit::InstanceNorm;
using normkit::LayerNorm;
using normkit::RMSNorm;

constexpr double kStep = 1e-3;
constexpr double kRelativeError = 1e-7;

/// The derivative of `loss` by the number at `where`, by differences at one and two steps to either side: they are off
/// by the order of step^4, 1e-12, and the rounding of loss over step, 1e-13.
template <class Loss>
double slope(double& where, const Loss& loss) {
  const double at = where;
  const auto moved = [&](double step) {
    where = at + step;
    const double value = loss();
    where = at;
    return value;
  };
  return (8 * (moved(kStep) - moved(-kStep)) - (moved(2 * kStep) - moved(-2 * kStep))) / (12 * kStep);
}

/// Compares all of a gradient; errors are relative to its largest element.
template <class Loss>
void expect_slopes(double* numbers, const double* gradient, Eigen::Index size, const Loss& loss,
                   std::string_view what) {
  double largest = 0, farthest = 0;
  for (Eigen::Index i = 0; i < size; ++i) {
    largest = std::max(largest, std::abs(gradient[i]));
    farthest = std::max(farthest, std::abs(slope(numbers[i], loss) - gradient[i]));
  }
  EXPECT_GT(largest, 0) << what;
  EXPECT_LT(farthest, kRelativeError * largest) << what;
}

template <class C>
class GradientCheck : public ::testing::Test {
 protected:
  /// With loss = sum(dy * y), backward of dy gives the derivatives of loss. `norm` is in the mode to be checked.
  template <int Rank, class Norm>
  void check(Norm norm, const Extents& extents) {
    using Tensor = typename C::template Tensor<Rank>;
    SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents) << ' ' << norm);
    set_parameters(norm, 3);
    auto x = random<Tensor>(extents, 1, 0.5, 2);
    const auto dy = random<Tensor>(extents, 2);
    Tensor y = x, dx = x;
    norm.forward(x, y);
    norm.backward(x, dy, dx);

    typename Norm::Saved unused;
    const auto loss = [&] {
      norm.forward(x, y, unused);
      Real sum = 0;
      for (Eigen::Index i = 0; i < y.size(); ++i) sum += Real(dy.data()[i]) * Real(y.data()[i]);
      return static_cast<double>(sum);
    };
    expect_slopes(x.data(), dx.data(), x.size(), loss, "x");
    for (auto parameter : norm.parameters())
      expect_slopes(parameter.value.data(), parameter.gradient.data(), parameter.value.size(), loss, parameter.name);
  }

  /// With loss = sum(v * dx) + sum(of_weight * dweight) + sum(of_bias * dbias), double_backward gives its derivatives, the
  /// one by dy being how y changes along (v, of_weight, of_bias).
  template <int Rank, class Norm>
  void check_second(Norm norm, const Extents& extents) {
    using Tensor = typename C::template Tensor<Rank>;
    SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents) << ' ' << norm);
    set_parameters(norm, 5);
    typename Norm::Tensor of_weight = norm.weight(), of_bias = norm.bias();
    const typename Norm::Directions directions{of_weight.size() > 0 ? &of_weight : nullptr,
                                               of_bias.size() > 0 ? &of_bias : nullptr};
    set_parameters(norm, 3);
    auto x = random<Tensor>(extents, 1, 0.5, 2), dy = random<Tensor>(extents, 2);
    const auto v = random<Tensor>(extents, 4);
    Tensor y = x, dx = x, y_v = x, dy_grad = x, x_grad = x;
    norm.forward(x, y);
    norm.jvp(x, v, y_v, directions);
    norm.zero_grad();
    norm.double_backward(x, dy, v, dy_grad, x_grad, directions);
    const typename Norm::Tensor weight_grad = norm.weight_grad();
    EXPECT_TRUE(same_bits(y_v, dy_grad));

    typename Norm::Saved saved;
    const auto loss = [&] {
      norm.forward(x, y, saved);
      norm.zero_grad();
      norm.backward(x, dy, dx, saved);
      Real sum = 0;
      for (Eigen::Index i = 0; i < dx.size(); ++i) sum += Real(v.data()[i]) * Real(dx.data()[i]);
      for (Eigen::Index i = 0; i < of_weight.size(); ++i)
        sum += Real(of_weight.data()[i]) * Real(norm.weight_grad().data()[i]);
      for (Eigen::Index i = 0; i < of_bias.size(); ++i)
        sum += Real(of_bias.data()[i]) * Real(norm.bias_grad().data()[i]);
      return static_cast<double>(sum);
    };
    expect_slopes(dy.data(), dy_grad.data(), dy.size(), loss, "dy");
    if (norm.weight().size() > 0 || norm.is_training()) expect_slopes(x.data(), x_grad.data(), x.size(), loss, "x");
    if (norm.weight().size() > 0)
      expect_slopes(norm.weight().data(), weight_grad.data(), weight_grad.size(), loss, "weight");
  }

  template <int Rank, class Norm>
  void check_tokens(const Norm& norm, const Extents& extents) {
    check<Rank>(norm, extents);
    check_second<Rank>(norm, extents);
  }

  template <int Rank>
  void check_both_modes(BatchNorm<double> norm, const Extents& extents) {
    check<Rank>(norm, extents);
    check_second<Rank>(norm, extents);
    norm.running_mean().setConstant(0.75);
    norm.running_var().setConstant(2.5);
    norm.eval();
    check<Rank>(norm, extents);
    check_second<Rank>(norm, extents);
  }
};
using Layouts = ::testing::Types<Config<double, Eigen::RowMajor>, Config<double, Eigen::ColMajor>>;
TYPED_TEST_SUITE(GradientCheck, Layouts, ConfigName);

// One of each view, in the words of the design: runs, lanes, sandwich, slab-lanes; ColMajor turns them round.

TYPED_TEST(GradientCheck, BatchNormOfColumns) {
  this->template check_both_modes<2>(BatchNorm<double>(9), {11, 9});
  this->template check_both_modes<2>(BatchNorm<double>(5, {.channel_axis = 0}), {5, 17});
}

TYPED_TEST(GradientCheck, BatchNormOfImages) {
  this->template check_both_modes<4>(BatchNorm<double>(3), {2, 3, 4, 5});
  this->template check_both_modes<4>(BatchNorm<double>(5, {.channel_axis = -1}), {2, 3, 4, 5});
  this->template check_both_modes<5>(BatchNorm<double>(4), {2, 4, 2, 1, 5});
}

TYPED_TEST(GradientCheck, BatchNormWithOptions) {
  this->template check_both_modes<3>(BatchNorm<double>(3, {.eps = 0.5}), {4, 3, 5});
  this->template check_both_modes<3>(BatchNorm<double>(3, {.weight = false}), {4, 3, 5});
  this->template check_both_modes<3>(BatchNorm<double>(3, {.bias = false}), {4, 3, 5});
  BatchNorm<double> untracked(3, {.affine = false, .track_running_stats = false});
  this->template check<3>(untracked, {4, 3, 5});
  untracked.eval();
  this->template check<3>(untracked, {4, 3, 5});
}

TYPED_TEST(GradientCheck, LayerNormOverOneAxis) {
  this->template check_tokens<2>(LayerNorm<double>(9), {7, 9});
  this->template check_tokens<2>(LayerNorm<double>(67), {2, 67});
  this->template check_tokens<4>(LayerNorm<double>(3, {.axis = 1}), {2, 3, 4, 5});
  this->template check_tokens<3>(LayerNorm<double>(7, {.axis = 0}), {7, 3, 4});
  this->template check_tokens<3>(LayerNorm<double>(6, {.eps = 0.5, .bias = false}), {4, 3, 6});
}

TYPED_TEST(GradientCheck, LayerNormOverSeveralAxes) {
  this->template check_tokens<3>(LayerNorm<double, 2, TypeParam::layout>({3, 4}), {5, 3, 4});
  this->template check_tokens<4>(LayerNorm<double, 2, TypeParam::layout>({3, 4}, {.axis = 1}), {2, 3, 4, 5});
  this->template check_tokens<3>(LayerNorm<double, 3, TypeParam::layout>({5, 3, 4}), {5, 3, 4});
}

TYPED_TEST(GradientCheck, GroupNorm) {
  this->template check<4>(GroupNorm<double>(2, 6), {2, 6, 3, 4});
  this->template check<4>(GroupNorm<double>(3, 6, {.eps = 0.5, .channel_axis = -1}), {2, 3, 4, 6});
  this->template check<3>(GroupNorm<double>(1, 6, {.weight = false}), {3, 6, 5});
}

TYPED_TEST(GradientCheck, InstanceNorm) {
  this->template check<4>(InstanceNorm<double>(3, {.affine = true}), {2, 3, 4, 5});
  this->template check<3>(InstanceNorm<double>(6, {.affine = true, .channel_axis = -1}), {2, 7, 6});
}

TYPED_TEST(GradientCheck, RMSNorm) {
  this->template check_tokens<2>(RMSNorm<double>(9), {7, 9});
  this->template check_tokens<2>(RMSNorm<double>(67, {.zero_centred = true}), {2, 67});
  this->template check_tokens<4>(RMSNorm<double>(3, {.eps = 0.5, .axis = 1}), {2, 3, 4, 5});
  this->template check_tokens<3>(RMSNorm<double, 2, TypeParam::layout>({3, 4}), {5, 3, 4});
}

}  // namespace
