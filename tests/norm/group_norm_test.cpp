// GroupNorm and InstanceNorm against the oracle: groups, layouts, channel axes, scalars and devices; running statistics of
// InstanceNorm; what they refuse.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <cmath>
#include <limits>
#include <sstream>

#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"
#include "support/lengths.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::GroupNorm;
using normkit::InstanceNorm;

template <class C>
class GroupNormOracle : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;

  template <class Norm, class Tensor>
  void check(Norm norm, const Tensor& x, std::size_t axis, Index groups) {
    const Extents extents = extents_of(x);
    SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents) << ' ' << norm);
    const Grouping g = reference::per_channel_group(extents, axis, static_cast<std::size_t>(groups));
    const auto dy = random<Tensor>(extents, 10);
    for (int step = 0; step < 2; ++step) {  // gradients add up; evaluation changes nothing
      expect_step(norm, where_.device, x, dy, g, reference::moments(reals(x), g), Statistics::of_batch);
      norm.eval();
    }
  }
  template <int Rank>
  void check_groups(const Extents& extents, Index channel_axis, Index groups) {
    const auto axis = static_cast<std::size_t>(channel_axis < 0 ? channel_axis + Rank : channel_axis);
    GroupNorm<Scalar> norm(groups, extents[axis], {.channel_axis = channel_axis});
    set_parameters(norm, 3);
    check(norm, random<typename C::template Tensor<Rank>>(extents, 1, 0.5, 2), axis, groups);
  }
  template <int Rank>
  void check_instances(const Extents& extents, Index channel_axis) {
    const auto axis = static_cast<std::size_t>(channel_axis < 0 ? channel_axis + Rank : channel_axis);
    InstanceNorm<Scalar> norm(extents[axis], {.affine = true, .channel_axis = channel_axis});
    set_parameters(norm, 3);
    check(norm, random<typename C::template Tensor<Rank>>(extents, 1, 0.5, 2), axis, extents[axis]);
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(GroupNormOracle, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(GroupNormOracle, AnyNumberOfGroups) {
  for (const Index groups : {1, 2, 3, 6, 12}) {
    this->template check_groups<4>({3, 12, 5, 7}, 1, groups);
    this->template check_groups<4>({3, 5, 7, 12}, -1, groups);
    this->template check_groups<3>({5, 12, 9}, 1, groups);
    this->template check_groups<5>({2, 12, 3, 4, 5}, 1, groups);
    this->template check_groups<2>({5, 12}, 1, groups);
    this->template check_groups<3>({1, 12, 9}, 1, groups);
  }
}

TYPED_TEST(GroupNormOracle, LengthsAroundBlocksAndRegisters) {
  for (const std::int64_t length : seams()) {
    this->template check_groups<3>({2, 6, length}, 1, 3);
    this->template check_groups<3>({2, length, 6}, -1, 3);
  }
  for (const std::int64_t length : block_seams()) this->template check_groups<3>({2, 4, length}, 1, 2);
}

/// More channels in a group than a tile has room for, and more samples side by side.
TYPED_TEST(GroupNormOracle, GroupsThatNoTileHolds) {
  this->template check_groups<3>({2, 2100, 3}, 1, 1);
  this->template check_groups<3>({2, 3, 2100}, -1, 1);
  this->template check_groups<3>({2, 2100, 3}, 1, 2);
  this->template check_groups<3>({300, 8, 3}, 1, 2);
  this->template check_groups<3>({1100, 4, 3}, 1, 2);
  this->template check_groups<3>({1100, 3, 4}, -1, 2);
}

TYPED_TEST(GroupNormOracle, ChannelsLastOfGroupsThatNoTileHolds) {
  this->template check_groups<3>({2, 3, 2400}, -1, 2);
}

TYPED_TEST(GroupNormOracle, LargeEnoughForThreads) {
  this->template check_groups<4>({4, 32, 40, 41}, 1, 8);
  this->template check_groups<4>({4, 40, 41, 32}, -1, 8);
}

TYPED_TEST(GroupNormOracle, Options) {
  using T = typename TypeParam::Scalar;
  const auto x = random<typename TypeParam::template Tensor<3>>({3, 6, 10}, 1);
  this->check(GroupNorm<T>(2, 6, {.eps = 0}), x, 1, 2);
  this->check(GroupNorm<T>(2, 6, {.eps = 0.25}), x, 1, 2);
  this->check(GroupNorm<T>(2, 6, {.affine = false}), x, 1, 2);
  this->check(GroupNorm<T>(2, 6, {.weight = false}), x, 1, 2);
  this->check(GroupNorm<T>(2, 6, {.bias = false}), x, 1, 2);
}

TYPED_TEST(GroupNormOracle, HardData) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TypeParam::template Tensor<3>;
  using Limits = std::numeric_limits<T>;
  const auto check = [&](const Tensor& x, double eps) {
    GroupNorm<T> norm(2, 6, {.eps = eps});
    set_parameters(norm, 3);
    this->check(norm, x, 1, 2);
    InstanceNorm<T> instance(6, {.eps = eps, .affine = true});
    set_parameters(instance, 3);
    this->check(instance, x, 1, 6);
    this->check(GroupNorm<T>(2, 6, {.eps = eps, .affine = false}), x, 1, 2);
  };
  const double far = std::is_same_v<T, float> ? 1e18 : 1e150;
  const Extents extents{3, 6, 50};
  for (const double scale : {1 / far / far, 1 / far, 1e-6, 1e4, far, far * far})
    for (const double eps : {1e-5, 0.0}) check(random<Tensor>(extents, 1, 0, scale), eps);
  for (const double mean : {1e4, -3e6}) check(random<Tensor>(extents, 1, mean, 1e-2), 1e-5);
  check(constant<Tensor>(extents, T(0.1)), 1e-5);
  auto scales = random<Tensor>(extents, 1);
  for (Index i = 0; i < 50; ++i) scales(1, 1, i) *= static_cast<T>(far);  // one channel of a group
  check(scales, 1e-5);
  for (const T bad : {Limits::quiet_NaN(), Limits::infinity()}) {
    auto x = random<Tensor>(extents, 1);
    x(2, 4, 7) = bad;
    check(x, 1e-5);
  }
}

TYPED_TEST(GroupNormOracle, OneValueInAGroupGivesTheBias) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TypeParam::template Tensor<2>;
  GroupNorm<T> norm(3, 3);
  norm.bias().setConstant(T(2.5));
  const Tensor y = norm(random<Tensor>({4, 3}, 1, 1e5));
  for (const T value : values(y)) EXPECT_EQ(value, T(2.5));
}

TYPED_TEST(GroupNormOracle, NoSamplesGiveNothing) {
  using Tensor = typename TypeParam::template Tensor<3>;
  GroupNorm<typename TypeParam::Scalar> norm(2, 4);
  const auto x = sized<Tensor>({0, 4, 5});
  Tensor y = x, dx = x;
  norm.forward(this->where_.device, x, y);
  norm.backward(this->where_.device, x, y, dx);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(norm.weight_grad()(i), 0);
}

TYPED_TEST(GroupNormOracle, Instances) {
  this->template check_instances<4>({3, 5, 6, 7}, 1);
  this->template check_instances<4>({3, 6, 7, 5}, -1);
  this->template check_instances<3>({1, 5, 9}, 1);
  this->template check_instances<3>({40, 5, 2}, 1);
  this->template check_instances<3>({2, 3, 1100}, -1);
  this->template check_instances<5>({2, 3, 4, 2, 5}, 1);
  this->template check_instances<4>({4, 33, 40, 41}, 1);
  this->check(InstanceNorm<typename TypeParam::Scalar>(5), random<typename TypeParam::template Tensor<3>>({3, 5, 9}, 1),
              1, 5);
}

/// running = (1 - m) * running + m * the mean over the samples of their mean and unbiased variance.
TYPED_TEST(GroupNormOracle, RunningStatisticsOfInstances) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TypeParam::template Tensor<3>;
  for (const Index axis : {1, 2}) {
    const Extents extents = axis == 1 ? Extents{7, 5, 30} : Extents{7, 30, 5};
    InstanceNorm<T> norm(5, {.momentum = 0.25, .affine = true, .track_running_stats = true, .channel_axis = axis});
    set_parameters(norm, 3);
    const Grouping g = reference::per_channel_group(extents, static_cast<std::size_t>(axis), 5);
    Reals mean(5, 0), var(5, 1), mean_size(5, 0);
    for (const std::uint64_t batch : {1u, 2u}) {
      const auto x = random<Tensor>(extents, batch, 0.5, 2);
      Tensor y = x;
      norm.forward(this->where_.device, x, y);
      const Moments m = reference::moments(reals(x), g);
      const Reals size = reference::mean_by_group(magnitudes(reals(x)), g);
      for (std::size_t c = 0; c < 5; ++c) {
        Real batch_mean = 0, batch_var = 0, batch_size = 0;
        for (std::size_t n = 0; n < 7; ++n) {
          batch_mean += m.mean[n * 5 + c] / 7;
          batch_var += m.var[n * 5 + c] * 30 / 29 / 7;
          batch_size += size[n * 5 + c] / 7;
        }
        mean[c] = Real(0.75) * mean[c] + Real(0.25) * batch_mean;
        var[c] = Real(0.75) * var[c] + Real(0.25) * batch_var;
        mean_size[c] = Real(0.75) * mean_size[c] + Real(0.25) * batch_size;
      }
      EXPECT_TRUE(keeps_rule(values(norm.running_mean()), {mean, mean_size}, roundings::running * int(batch)));
      EXPECT_TRUE(keeps_rule(values(norm.running_var()), {var, var}, roundings::running * int(batch)));
    }
    EXPECT_EQ(norm.num_batches_tracked(), 2);
    norm.eval();  // now a BatchNorm in evaluation
    const auto x = random<Tensor>(extents, 5), dy = random<Tensor>(extents, 6);
    const Grouping channel = reference::per_channel(extents, static_cast<std::size_t>(axis));
    expect_step(norm, this->where_.device, x, dy, channel, running_moments(norm), Statistics::running);
  }
}

/// Few large planes, whose sums a pool shares in chunks, with nothing but evaluation before.
TYPED_TEST(GroupNormOracle, EvaluationOfInstancesByRunningStatistics) {
  using T = typename TypeParam::Scalar;
  using Tensor = typename TypeParam::template Tensor<3>;
  const Extents extents{1, 3, 70001};
  InstanceNorm<T> norm(3, {.affine = true, .track_running_stats = true});
  set_parameters(norm, 3);
  norm.eval();
  const auto x = random<Tensor>(extents, 1), dy = random<Tensor>(extents, 2);
  expect_step(norm, this->where_.device, x, dy, reference::per_channel(extents, 1), running_moments(norm),
              Statistics::running);
}

/// dy * weight leaves the range of T where dx does not, and the sums over the group are exactly 0: weights that are extreme,
/// and weights that are ordinary beside an extreme dy.
TYPED_TEST(GroupNormOracle, LargeAndSmallWeights) {
  using T = typename TypeParam::Scalar;
  typename TypeParam::template Tensor<3> x(1, 1, 4), dy(1, 1, 4);
  const auto power_of = [](int power) { return std::ldexp(T(1), std::is_same_v<T, float> ? power : 8 * power); };
  struct Powers {
    int x, dy, weight;
  };
  for (const Powers& powers : {Powers{48, 65, 65}, Powers{48, -76, -76}, Powers{48, 120, 10}, Powers{48, 115, 16},
                               Powers{-30, -120, -16}, Powers{-30, -120, -24}, Powers{-30, -118, 10}}) {
    SCOPED_TRACE(powers.weight);
    const T size = T(1.2345678) * power_of(powers.dy), weight = T(1.7654321) * power_of(powers.weight);
    for (Index i = 0; i < 4; ++i) {
      x(0, 0, i) = static_cast<T>(i + 1) * power_of(powers.x);
      dy(0, 0, i) = i == 0 || i == 3 ? size : -size;
    }
    InstanceNorm<T> norm(1, {.eps = 0, .affine = true});
    norm.weight()(0) = weight;
    this->check(norm, x, 1, 1);
    GroupNorm<T> group(1, 1, {.eps = 0});
    group.weight()(0) = weight;
    auto y = x, dx = x;
    group.forward(this->where_.device, x, y);
    const Grouping g = reference::per_channel_group({1, 1, 4}, 1, 1);
    const OldGradients old = OldGradients::of(group);
    group.backward(this->where_.device, x, dy, dx);
    expect_gradients(group, x, dy, dx, old, g, reference::moments(reals(x), g), Statistics::of_batch);
  }
}

/// A mean over the group that is ordinary, and that the power of two of one channel's weight would take out of the range.
TYPED_TEST(GroupNormOracle, AWeightThatIsSmallBesideItsGroups) {
  using T = typename TypeParam::Scalar;
  const auto power_of = [](int power) { return std::ldexp(T(1), std::is_same_v<T, float> ? power : 8 * power); };
  const Extents extents{1, 2, 5};
  const auto x = random<typename TypeParam::template Tensor<3>>(extents, 1);
  auto dy = random<typename TypeParam::template Tensor<3>>(extents, 2), y = x, dx = x;
  for (Index i = 0; i < 5; ++i) dy(0, 0, i) = (dy(0, 0, i) + T(1)) * power_of(90);
  GroupNorm<T> norm(1, 2);
  norm.weight()(1) = power_of(-60);
  norm.forward(this->where_.device, x, y);
  const Grouping g = reference::per_channel_group(extents, 1, 1);
  const OldGradients old = OldGradients::of(norm);
  norm.backward(this->where_.device, x, dy, dx);
  expect_gradients(norm, x, dy, dx, old, g, reference::moments(reals(x), g), Statistics::of_batch);
}

TYPED_TEST(GroupNormOracle, WeightsOfZeroAndThatAreNoNumbers) {
  using T = typename TypeParam::Scalar;
  const auto x = random<typename TypeParam::template Tensor<3>>({3, 6, 10}, 1);
  GroupNorm<T> norm(2, 6);
  for (const T weight : {T(0), std::numeric_limits<T>::quiet_NaN()}) {
    norm.weight()(1) = weight;
    this->check(norm, x, 1, 2);
  }
  // By the definition, of infinity the gradients of its group are NaN; as its sums are weighted, they may be infinite.
  norm.weight()(1) = std::numeric_limits<T>::infinity();
  auto y = x, dx = x;
  norm.forward(x, y);
  norm.backward(x, x, dx);
  EXPECT_FALSE(std::isfinite(dx(0, 0, 0)) || std::isfinite(dx(1, 2, 3)));
  EXPECT_TRUE(std::isfinite(dx(0, 3, 0))) << "of another group";
}

TYPED_TEST(GroupNormOracle, OnlyTheGradientsThatAreAskedFor) {
  using Tensor = typename TypeParam::template Tensor<3>;
  using Norm = GroupNorm<typename TypeParam::Scalar>;
  const auto x = random<Tensor>({3, 6, 10}, 1), dy = random<Tensor>({3, 6, 10}, 2);
  Tensor y = x, dx = x, small = sized<Tensor>({1, 1, 1});
  Norm all(2, 6), parameters(2, 6), input(2, 6);
  for (Norm* norm : {&all, &parameters, &input}) norm->forward(this->where_.device, x, y);
  all.backward(this->where_.device, x, dy, dx);
  parameters.backward(this->where_.device, x, dy, small, {.input = false});
  EXPECT_TRUE(same_bits(parameters.weight_grad(), all.weight_grad()));
  EXPECT_TRUE(same_bits(parameters.bias_grad(), all.bias_grad()));
  input.backward(this->where_.device, x, dy, y, {.weight = false, .bias = false});
  EXPECT_TRUE(same_bits(y, dx));
  EXPECT_EQ(input.weight_grad()(1), 0);
  input.backward(this->where_.device, x, dy, small, {.input = false, .weight = false, .bias = false});
  EXPECT_EQ(input.weight_grad()(1), 0);
}

TEST(GroupNorm, IsAssigned) {
  GroupNorm<float> norm(2, 4), other(1, 2);
  norm.weight()(3) = 5;
  other = norm;
  EXPECT_EQ(other.weight()(3), 5);
  other = GroupNorm<float>(1, 2);
  EXPECT_EQ(other.weight().size(), 2);
}

TEST(GroupNorm, RefusesTheSavedOfAnInstanceNormInEvaluation) {
  const auto x = random<Eigen::Tensor<float, 3>>({3, 4, 5}, 1);
  auto y = x, dx = x;
  InstanceNorm<float> other(4, {.track_running_stats = true});
  other.eval();
  other.forward(x, y);
  GroupNorm<float> norm(4, 4);
  norm.forward(x, y);
  expect_error<normkit::state_error>([&] { norm.backward(x, y, dx, other.saved()); }, {"GroupNorm", "another layer"});
}

TEST(GroupNorm, RefusesWhatCannotBe) {
  expect_error<normkit::argument_error>([] { GroupNorm<float>(3, 8); }, {"GroupNorm", "8 channels", "3 groups"});
  expect_error<normkit::argument_error>([] { GroupNorm<float>(0, 8); }, {"num_groups", "0"});
  expect_error<normkit::argument_error>([] { GroupNorm<float>(1, 0); }, {"num_channels", "0"});
  expect_error<normkit::argument_error>([] { GroupNorm<float>(1, 8, {.eps = -1}); }, {"eps", "-1"});
  const auto x = random<Eigen::Tensor<float, 3>>({3, 4, 5}, 1);
  expect_error<normkit::shape_error>([&] { GroupNorm<float>(3, 6)(x); }, {"6 channels", "axis 1", "got 4"});
  expect_error<normkit::argument_error>([&] { GroupNorm<float>(1, 3, {.channel_axis = 0}); }, {"channel_axis", "0"});
  expect_error<normkit::argument_error>([&] { GroupNorm<float>(1, 3, {.channel_axis = -100}); },
                                        {"channel_axis", "-100"});
  expect_error<normkit::argument_error>([&] { GroupNorm<float>(1, 3, {.channel_axis = -3})(x); }, {"got 0"});
  expect_error<normkit::argument_error>([&] { GroupNorm<float>(1, 3, {.channel_axis = -4})(x); }, {"got -4"});
  expect_error<normkit::argument_error>([&] { GroupNorm<float>(1, 3, {.channel_axis = 100}); },
                                        {"channel_axis", "100"});
  expect_error<normkit::argument_error>([&] { GroupNorm<float>(1, 3, {.channel_axis = 3})(x); }, {"channel_axis", "3"});
  const auto volume = random<Eigen::Tensor<float, 4>>({3, 4, 5, 6}, 1);
  expect_error<normkit::argument_error>([&] { GroupNorm<float>(1, 5, {.channel_axis = 2})(volume); },
                                        {"channel_axis 1 or the last", "got 2"});
}

TEST(InstanceNorm, RefusesWhatCannotBe) {
  expect_error<normkit::argument_error>([] { InstanceNorm<float>(0); }, {"InstanceNorm", "num_features", "0"});
  const auto x = random<Eigen::Tensor<float, 3>>({3, 4, 1}, 1);
  expect_error<normkit::shape_error>([&] { normkit::InstanceNorm1d<float>(4)(x); },
                                     {"InstanceNorm1d", "more than 1 spatial element when training"});
  expect_error<normkit::argument_error>([&] { InstanceNorm<float>(3, {.channel_axis = 0}); }, {"channel_axis", "0"});
}

TEST(GroupNorm, PrintsAsPyTorchs) {
  const auto shown = [](const auto& norm) { return (std::ostringstream() << norm).str(); };
  EXPECT_EQ(shown(GroupNorm<float>(3, 6)), "GroupNorm(3, 6, eps=1e-05, affine=True)");
  EXPECT_EQ(shown(GroupNorm<float>(3, 6, {.affine = false})), "GroupNorm(3, 6, eps=1e-05, affine=False)");
  EXPECT_EQ(shown(normkit::InstanceNorm2d<float>(6)),
            "InstanceNorm2d(6, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False)");
}

}  // namespace
