// BatchNorm with a ReLU behind it: the bits of its parts, one after the other, and a mask that says where it passed.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/fixed_pool.hpp"
#include "support/judge.hpp"
#include "support/lengths.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::BatchNorm;
using normkit::ReLUMask;

// The parts, in plain loops over memory.
template <class T>
T rectified(T y, const T* residual) {
  for (Index i = 0; i < y.size(); ++i) {
    auto& v = y.data()[i];
    if (residual) v = v + residual->data()[i];
    if (v <= 0) v = 0;
  }
  return y;
}
/// dy where y is not 0: it is not negative, and may be NaN.
template <class T>
T masked(T dy, const T& y) {
  for (Index i = 0; i < dy.size(); ++i)
    if (y.data()[i] == 0) dy.data()[i] = 0;
  return dy;
}
template <class T>
bool says_where_positive(const ReLUMask& mask, const T& y) {
  bool all = mask.size() == y.size();
  for (Index i = 0; i < y.size(); ++i) all &= mask(i) == (y.data()[i] != 0);
  return all;
}

template <class C>
class ReLU : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  template <int Rank>
  using Tensor = typename C::template Tensor<Rank>;
  static constexpr std::array<Index, 2> axes = {1, -1};

  /// Forward, backward and inference of `norm` against its parts.
  template <class T>
  void check(BatchNorm<Scalar> norm, const T& x) {
    SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents_of(x)) << ' ' << norm);
    set_parameters(norm, 3);
    const T residual = random<T>(extents_of(x), 2), dy = random<T>(extents_of(x), 4);
    check_with(norm, x, static_cast<const T*>(nullptr), dy);
    check_with(norm, x, &residual, dy);
  }

  template <class T>
  void check_with(BatchNorm<Scalar> norm, const T& x, const T* residual, const T& dy) {
    SCOPED_TRACE(residual ? "added" : "alone");
    auto& device = where_.device;
    BatchNorm<Scalar> parts = norm;
    T y = constant<T>(extents_of(x), -77), plain = y, dx = y, expected_dx = y, dresidual = y;
    ReLUMask mask;
    parts.forward(device, x, plain);
    const T expected = rectified(plain, residual);
    residual ? norm.forward_add_relu(device, x, *residual, y, mask) : norm.forward_relu(device, x, y, mask);
    EXPECT_TRUE(same_bits(y, expected)) << "y";
    EXPECT_TRUE(says_where_positive(mask, expected));
    EXPECT_TRUE(same_bits(norm.running_var(), parts.running_var()));

    const T expected_dresidual = masked(dy, expected);
    parts.backward(device, x, expected_dresidual, expected_dx);
    residual ? norm.backward_add_relu(device, x, dy, mask, dx, dresidual) : norm.backward_relu(device, x, dy, mask, dx);
    EXPECT_TRUE(same_bits(dx, expected_dx)) << "dx";
    EXPECT_TRUE(same_bits(norm.weight_grad(), parts.weight_grad()));
    EXPECT_TRUE(same_bits(norm.bias_grad(), parts.bias_grad()));
    EXPECT_TRUE(!residual || same_bits(dresidual, expected_dresidual)) << "dresidual";

    parts.infer(device, x, plain);
    residual ? norm.infer_add_relu(device, x, *residual, y) : norm.infer_relu(device, x, y);
    EXPECT_TRUE(same_bits(y, rectified(plain, residual))) << "infer";
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(ReLU, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(ReLU, OfAnyLength) {
  using T = typename TypeParam::Scalar;
  using Sequences = typename TypeParam::template Tensor<3>;
  for (const std::int64_t length : seams()) {
    this->check(BatchNorm<T>(3), random<Sequences>({4, 3, length}, 1, 0.5, 2));
    this->check(BatchNorm<T>(length, {.channel_axis = -1}), random<Sequences>({4, 3, length}, 1, 0.5, 2));
  }
  this->check(BatchNorm<T>(1500, {.channel_axis = -1}), random<Sequences>({2, 3, 1500}, 1));  // two tiles of a row
}

TYPED_TEST(ReLU, OfImagesInEveryMode) {
  using T = typename TypeParam::Scalar;
  using Images = typename TypeParam::template Tensor<4>;
  for (const Index axis : this->axes) {
    const auto x = random<Images>({5, 6, 7, 6}, 1, 0.5, 2);
    BatchNorm<T> norm(6, {.channel_axis = axis});
    this->check(norm, x);
    this->check(BatchNorm<T>(6, {.affine = false, .channel_axis = axis}), x);
    this->check(BatchNorm<T>(6, {.track_running_stats = false, .channel_axis = axis}), x);
    Images y = x;
    norm.forward(x, y);
    norm.eval();  // running statistics, trainable parameters
    this->check(norm, x);
  }
}

TYPED_TEST(ReLU, OfWhatThreadsShareAndWhatLeavesTheCaches) {
  using T = typename TypeParam::Scalar;
  using Sequences = typename TypeParam::template Tensor<3>;
  const auto check = [&](Index channels, Index axis, Index length, bool training) {
    const auto made = [&](std::uint64_t seed) {
      return axis == 1 ? random<Sequences>({2, channels, length}, seed)
                       : random<Sequences>({2, length, channels}, seed);
    };
    BatchNorm<T> norm(channels, {.channel_axis = axis});
    norm.train(training);
    const Sequences residual = made(2);
    this->check_with(norm, made(1), &residual, made(3));
  };
  for (const Index axis : this->axes) check(2, axis, 70'001, true);        // chunks of a channel
  if (TypeParam::layout == Eigen::RowMajor && std::is_same_v<T, float>) {  // streamed: 8 MB
    constexpr Index length = 27'000;
    check(40, 1, length, true);
    check(40, 1, length, false);
    check(64, -1, length * 5 / 8, true);
  }
}

TYPED_TEST(ReLU, AtTheEndsOfTheRange) {
  using T = typename TypeParam::Scalar;
  using Sequences = typename TypeParam::template Tensor<3>;
  const T most = std::numeric_limits<T>::max(), least = std::numeric_limits<T>::denorm_min();
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for (const Index axis : this->axes)
    for (const bool training : {true, false}) {
      auto x = random<Sequences>({3, 9, 9}, 1);
      for (Index n = 0; n < 3; ++n)
        for (Index l = 0; l < 9; ++l) {
          const auto at = [&](Index c) -> T& { return axis == 1 ? x(n, c, l) : x(n, l, c); };
          at(1) = at(1) < 0 ? -most : most;
          at(2) = at(2) * 64 * least;
          at(5) = n + l == 3 ? nan : at(5);
          at(6) = n + l == 4 ? infinity : at(6);
          at(8) = most / 2;
        }
      BatchNorm<T> norm(9, {.eps = 0, .channel_axis = axis});
      norm.train(training);
      norm.running_mean().setConstant(most);
      this->check(norm, x);
      norm.running_mean().setZero();
      norm.running_var().setConstant(std::numeric_limits<T>::min());
      this->check(norm, x);
    }
}

TYPED_TEST(ReLU, InPlaceAtTheEndsOfTheRange) {
  using T = typename TypeParam::Scalar;
  using Sequences = typename TypeParam::template Tensor<3>;
  for (const Index axis : this->axes)
    for (const bool training : {true, false}) {
      auto x = random<Sequences>({3, 9, 9}, 1);
      for (Index i = 0; i < 3 * 81; i += 2) x.data()[i] *= std::numeric_limits<T>::max() / 8;
      const auto residual = random<Sequences>({3, 9, 9}, 2), dy = random<Sequences>({3, 9, 9}, 3);
      BatchNorm<T> norm(9, {.channel_axis = axis});
      norm.train(training);
      norm.running_var().setConstant(std::numeric_limits<T>::max());
      Sequences y = x, dx = x, dresidual = x;
      ReLUMask mask;
      norm.forward_add_relu(x, residual, y, mask);
      norm.backward_add_relu(x, dy, mask, dx, dresidual);
      Sequences a = residual, b = x;
      norm.forward_add_relu(x, a, a, mask);
      EXPECT_TRUE(same_bits(a, y)) << "y in residual";
      a = dy;
      norm.backward_add_relu(b, a, mask, a, b);
      EXPECT_TRUE(same_bits(a, dx) && same_bits(b, dresidual)) << "dx in dy, dresidual in x";
      a = dy, b = x;
      norm.backward_add_relu(b, a, mask, b, a);
      EXPECT_TRUE(same_bits(b, dx) && same_bits(a, dresidual)) << "dx in x, dresidual in dy";
    }
}

TYPED_TEST(ReLU, GradientsKeepTheRule) {
  using T = typename TypeParam::Scalar;
  using Images = typename TypeParam::template Tensor<4>;
  const auto x = random<Images>({6, 5, 4, 7}, 1, 0.5, 2), residual = random<Images>({6, 5, 4, 7}, 2);
  const auto dy = random<Images>({6, 5, 4, 7}, 4);
  BatchNorm<T> norm(5);
  set_parameters(norm, 3);
  Images y = x, dx = x, dresidual = x;
  ReLUMask mask;
  norm.forward_add_relu(this->where_.device, x, residual, y, mask);
  norm.backward_add_relu(this->where_.device, x, dy, mask, dx, dresidual);
  const Grouping g = reference::per_channel(extents_of(x), 1);
  const Moments m = reference::moments(reals(x), g);
  const auto expected =
      expected_gradients(reals(x), reals(masked(dy, y)), g, m, eps_of(norm), affine_of(norm), Statistics::of_batch);
  EXPECT_TRUE(keeps_rule(values(dx), expected.dx, roundings::dx));
  EXPECT_TRUE(keeps_rule(values(norm.weight_grad()), expected.dweight, roundings::dweight));
  EXPECT_TRUE(keeps_rule(values(norm.bias_grad()), expected.dbias, roundings::dbias));
}

TYPED_TEST(ReLU, InPlaceOfItsInputs) {
  using T = typename TypeParam::Scalar;
  using Images = typename TypeParam::template Tensor<4>;
  auto& device = this->where_.device;
  for (const Index axis : this->axes) {
    const auto x = random<Images>({5, 6, 7, 6}, 1), residual = random<Images>({5, 6, 7, 6}, 2);
    const auto dy = random<Images>({5, 6, 7, 6}, 3);
    BatchNorm<T> norm(6, {.channel_axis = axis});
    Images y = x, dx = x, dresidual = x;
    ReLUMask mask, other;
    norm.forward_add_relu(device, x, residual, y, mask);
    norm.backward_add_relu(device, x, dy, mask, dx, dresidual);
    Images a = x, b = residual;
    norm.forward_add_relu(device, a, residual, a, other);
    EXPECT_TRUE(same_bits(a, y)) << "y in x";
    EXPECT_THROW(norm.backward_relu(a, dy, other, b), normkit::state_error);
    norm.forward_add_relu(device, x, b, b, other);
    EXPECT_TRUE(same_bits(b, y)) << "y in residual";
    a = dy;
    norm.backward_add_relu(device, x, a, other, b, a);
    EXPECT_TRUE(same_bits(b, dx) && same_bits(a, dresidual)) << "dresidual in dy";
    a = dy, b = x;
    norm.backward_add_relu(device, b, a, other, a, b);
    EXPECT_TRUE(same_bits(a, dx) && same_bits(b, dresidual)) << "dx in dy, dresidual in x";
    norm.backward_relu(device, x, dy, mask, dx);
    a = x;
    norm.backward_relu(device, a, dy, mask, a);
    EXPECT_TRUE(same_bits(a, dx)) << "dx in x";
  }
}

TYPED_TEST(ReLU, OfSixteenBitsRoundsOnce) {
  using T = typename TypeParam::Scalar;
  if constexpr (std::is_same_v<T, float>) {
    const auto check = [&]<class S>(S, Index axis) {
      using Narrow = Eigen::Tensor<S, 3, TypeParam::layout>;
      using Wide = Eigen::Tensor<float, 3, TypeParam::layout>;
      const Extents extents{7, 21, 21};
      const auto made = [&](std::uint64_t seed) { return Narrow(random<Wide>(extents, seed).template cast<S>()); };
      const Narrow x = made(1), residual = made(2), dy = made(3);
      BatchNorm<float> norm(21, {.channel_axis = axis}), wide = norm;
      Narrow y = x, dx = x, dresidual = x;
      ReLUMask mask, wide_mask;
      norm.forward_add_relu(this->where_.device, x, residual, y, mask);
      norm.backward_add_relu(this->where_.device, x, dy, mask, dx, dresidual);
      const Wide wide_x = x.template cast<float>(), wide_residual = residual.template cast<float>();
      const Wide wide_dy = dy.template cast<float>();
      Wide wide_y = wide_x, wide_dx = wide_x, wide_dresidual = wide_x;
      wide.forward_add_relu(wide_x, wide_residual, wide_y, wide_mask);
      wide.backward_add_relu(wide_x, wide_dy, wide_mask, wide_dx, wide_dresidual);
      EXPECT_TRUE(same_bits(y, Narrow(wide_y.template cast<S>())));
      EXPECT_TRUE(same_bits(dx, Narrow(wide_dx.template cast<S>())));
      EXPECT_TRUE(same_bits(dresidual, Narrow(wide_dresidual.template cast<S>())));
      for (Index i = 0; i < x.size(); ++i) ASSERT_EQ(mask(i), wide_mask(i));
    };
    for (const Index axis : this->axes) check(Eigen::bfloat16(), axis);  // half differs by conversions alone
  }
}

TYPED_TEST(ReLU, OfExpressionsWithACallersSaved) {
  using T = typename TypeParam::Scalar;
  using Tokens = typename TypeParam::template Tensor<2>;
  const auto x = random<Tokens>({7, 9}, 1), dy = random<Tokens>({7, 9}, 2);
  BatchNorm<T> norm(9);
  typename BatchNorm<T>::Saved saved;
  ReLUMask mask, other;
  Tokens y = x, dx = x, dresidual = x, expected = x, twice = x + x;
  norm.forward_relu(twice, expected, other);
  norm.forward_relu(x + x, y, mask, saved);
  EXPECT_TRUE(same_bits(y, expected));
  norm.forward_add_relu(x, x + x, y, mask, saved);
  norm.forward_add_relu(x, twice, expected, other);
  EXPECT_TRUE(same_bits(y, expected));
  norm.backward_add_relu(x, dy + dy, mask, dx, dresidual, saved, {.weight = false});
  EXPECT_EQ(norm.weight_grad()(0), T(0));
  EXPECT_NE(norm.bias_grad()(0), T(0));
  Tokens untouched = dx, none;
  norm.backward_add_relu(x, dy, mask, none, none, saved, {.input = false});
  norm.backward_relu(x, dy, mask, none, saved, {.input = false});
  EXPECT_TRUE(same_bits(dx, untouched));
}

TYPED_TEST(ReLU, RefusesWhatDoesNotFit) {
  using T = typename TypeParam::Scalar;
  using Tokens = typename TypeParam::template Tensor<2>;
  const auto x = random<Tokens>({7, 9}, 1), wrong = random<Tokens>({9, 7}, 1);
  BatchNorm<T> norm(9);
  ReLUMask mask, unused;
  Tokens y = x, dx = x, dresidual = x, small = wrong;
  EXPECT_THROW(norm.forward_add_relu(x, wrong, y, mask), normkit::shape_error);
  EXPECT_THROW(norm.forward_relu(x, small, mask), normkit::shape_error);
  EXPECT_THROW(norm.infer_add_relu(x, wrong, y), normkit::shape_error);
  EXPECT_EQ(mask.size(), 0);
  EXPECT_THROW(norm.backward_relu(x, x, unused, dx), normkit::state_error) << "no forward before it";
  norm.forward_relu(x, y, mask);
  EXPECT_EQ(mask.size(), 63);
  EXPECT_THROW(norm.backward_relu(x, x, unused, dx), normkit::argument_error) << "a mask of nothing";
  EXPECT_THROW(norm.backward_from_output(y, x, dx), normkit::state_error) << "y is not the norm's";
  ReLUMask moved = mask;
  const ReLUMask taken = std::move(moved);
  EXPECT_EQ(moved.size(), 0);  // NOLINT(bugprone-use-after-move)
  EXPECT_THROW(norm.backward_relu(x, x, moved, dx), normkit::argument_error) << "moved from";
  BatchNorm<T> other(7);
  ReLUMask others;
  other.forward_relu(wrong, small, others);
  EXPECT_THROW(norm.backward_relu(x, x, others, dx), normkit::argument_error) << "of another shape";
  const auto volume = random<typename TypeParam::template Tensor<3>>({3, 4, 5}, 1);
  auto of_volume = volume;
  BatchNorm<T> last(5, {.channel_axis = 2}), first(3, {.channel_axis = 0});
  last.forward_relu(volume, of_volume, others);
  first.forward_relu(volume, of_volume, unused);
  EXPECT_THROW(first.backward_relu(volume, volume, others, of_volume), normkit::argument_error) << "in other runs";
  EXPECT_THROW(norm.backward_add_relu(x, x, mask, dx, dx), normkit::argument_error) << "one place for two";
  EXPECT_THROW(norm.backward_add_relu(x, x, mask, dx, small), normkit::shape_error);
  EXPECT_THROW(norm.backward_add_relu(x, x, mask, small, dresidual), normkit::shape_error);
  Tokens one = random<Tokens>({1, 9}, 1), y_one = one;
  EXPECT_THROW(norm.forward_relu(one, y_one, mask), normkit::shape_error) << "one value for each channel";
  EXPECT_TRUE(same_bits(dx, x) && same_bits(dresidual, x) && same_bits(y_one, one)) << "untouched";
  norm.backward_relu(x, x, mask, dx);  // the mask is still that of the last forward that succeeded
  Tokens nothing = sized<Tokens>({0, 9}), none = nothing;
  norm.eval();
  norm.forward_add_relu(nothing, nothing, none, mask);
  norm.backward_add_relu(nothing, nothing, mask, none, none);
  EXPECT_EQ(mask.size(), 0);
}

TEST(ReLUMemory, IsABitForEachElementAndNotAllocatedAfterTheFirstCall) {
  using Images = Eigen::Tensor<float, 4, Eigen::RowMajor>;
  const auto x = random<Images>({8, 16, 32, 32}, 1), residual = random<Images>({8, 16, 32, 32}, 2);
  Images y = x, dx = x, dresidual = x;
  FixedPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  BatchNorm<float> norm(16);
  ReLUMask mask;
  const auto step = [&] {
    norm.forward_add_relu(device, x, residual, y, mask);
    norm.backward_add_relu(device, x, y, mask, dx, dresidual);
  };
  step();
  EXPECT_EQ(allocations_of(step), 0);
  EXPECT_LE(mask.bytes(), static_cast<std::size_t>(x.size()) / 8 + 16);
}

}  // namespace
