// BatchNorm over the valid positions of padded samples: the same by the rule as over these alone, and zero elsewhere.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/fixed_pool.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::BatchNorm;

/// Which positions are valid, in row-major order without the channels' axis.
using Mask = std::vector<bool>;

Mask of_lengths(const std::vector<int>& lengths, int longest) {
  Mask mask;
  for (const int length : lengths)
    for (int l = 0; l < longest; ++l) mask.push_back(l < length);
  return mask;
}
Mask of_noise(std::size_t positions) {
  Mask mask;
  Numbers numbers(9);
  for (std::size_t i = 0; i < positions; ++i) mask.push_back(numbers.uniform<double>() < 0.3);
  return mask;
}

/// For each element in row-major order, the position that it is at and its channel.
struct Place {
  std::size_t position, channel;
};
std::vector<Place> places(const Extents& extents, std::size_t axis) {
  std::size_t inner = 1, all = reference::product(extents);
  for (std::size_t a = axis + 1; a < extents.size(); ++a) inner *= static_cast<std::size_t>(extents[a]);
  const auto channels = static_cast<std::size_t>(extents[axis]);
  std::vector<Place> result;
  for (std::size_t i = 0; i < all; ++i)
    result.push_back({i / inner / channels * inner + i % inner, i / inner % channels});
  return result;
}

/// The valid elements alone, with the numbers of their channels.
template <class Number>
std::vector<Number> chosen(const std::vector<Number>& all, const std::vector<Place>& at, const Mask& mask) {
  std::vector<Number> result;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (mask[at[i].position]) result.push_back(all[i]);
  return result;
}

template <class C>
class VariableLength : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  template <int Rank>
  using Tensor = typename C::template Tensor<Rank>;
  template <int Rank>
  using MaskTensor = Eigen::Tensor<bool, Rank, C::layout>;

  /// NaN where nothing is valid: it must not be read.
  template <class T>
  static T padded(const Extents& extents, const std::vector<Place>& at, const Mask& mask, std::uint64_t seed) {
    T tensor = random<T>(extents, seed, 0.5, 2);
    auto numbers = values(tensor);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      if (!mask[at[i].position]) numbers[i] = std::numeric_limits<Scalar>::quiet_NaN();
    assign(tensor, numbers);
    return tensor;
  }
  template <class T>
  static void expect_zero_elsewhere(const T& tensor, const std::vector<Place>& at, const Mask& mask) {
    const auto numbers = values(tensor);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      if (!mask[at[i].position]) {
        ASSERT_TRUE(numbers[i] == 0 && !std::signbit(numbers[i])) << i;
      }
  }

  template <int Rank, class V>
  void check(BatchNorm<Scalar> norm, const Extents& extents, std::size_t axis, const V& valid, const Mask& mask) {
    using T = Tensor<Rank>;
    SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents) << ' ' << norm);
    const std::vector<Place> at = places(extents, axis);
    Grouping g;
    g.groups = g.params = static_cast<std::size_t>(extents[axis]);
    for (const Place& place : at)
      if (mask[place.position]) g.group.push_back(place.channel);
    g.param = g.group;
    g.count = g.group.size() / g.groups;
    set_parameters(norm, 3);
    const T x = padded<T>(extents, at, mask, 1), dy = padded<T>(extents, at, mask, 2);
    const Reals packed_x = reals(chosen(values(x), at, mask)), packed_dy = reals(chosen(values(dy), at, mask));
    for (const bool training : {true, false}) {
      SCOPED_TRACE(training);
      norm.train(training);
      norm.zero_grad();
      T y = x, dx = x;
      const reference::Running old = running_of(norm);
      norm.forward(where_.device, x, valid, y);
      const Moments m = training ? reference::moments(packed_x, g) : running_moments(norm);
      const auto statistics = training ? Statistics::of_batch : Statistics::running;
      expect_zero_elsewhere(y, at, mask);
      EXPECT_TRUE(keeps_rule(chosen(values(y), at, mask),
                             expected_y(packed_x, g, m, eps_of(norm), affine_of(norm), statistics), roundings::y));
      if (training) {
        const auto running = expected_running(old, packed_x, g, momentum_of(norm));
        EXPECT_TRUE(keeps_rule(values(norm.running_mean()), running.mean, roundings::running));
        EXPECT_TRUE(keeps_rule(values(norm.running_var()), running.var, roundings::running));
      }
      norm.backward(where_.device, x, valid, dy, dx);
      const auto expected = expected_gradients(packed_x, packed_dy, g, m, eps_of(norm), affine_of(norm), statistics);
      expect_zero_elsewhere(dx, at, mask);
      EXPECT_TRUE(keeps_rule(chosen(values(dx), at, mask), expected.dx, roundings::dx)) << "dx";
      EXPECT_TRUE(keeps_rule(values(norm.weight_grad()), expected.dweight, roundings::dweight));
      EXPECT_TRUE(keeps_rule(values(norm.bias_grad()), expected.dbias, roundings::dbias));

      // The same on one thread and in place; and in evaluation by infer.
      BatchNorm<Scalar> other = norm;
      other.zero_grad();
      T a = dy, b = x;
      other.backward(x, valid, a, a, norm.saved());
      EXPECT_TRUE(same_bits(a, dx) && same_bits(other.weight_grad(), norm.weight_grad())) << "over dy";
      other.backward(b, valid, dy, b, norm.saved());
      EXPECT_TRUE(same_bits(b, dx)) << "over x";
      b = x;
      if (training)
        other.forward(b, valid, b);
      else
        other.infer(b, valid, b);
      EXPECT_TRUE(same_bits(b, y)) << "in place";
    }
  }

  typename C::Device where_;
};
TYPED_TEST_SUITE(VariableLength, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(VariableLength, OfLengths) {
  using T = typename TypeParam::Scalar;
  const std::vector<int> lengths{35, 0, 7, 1, 34};
  Eigen::Tensor<int, 1> as_int(5);
  Eigen::Tensor<std::uint8_t, 1, Eigen::RowMajor> as_bytes(5);
  for (Index n = 0; n < 5; ++n) {
    as_int(n) = lengths[static_cast<std::size_t>(n)];
    as_bytes(n) = static_cast<std::uint8_t>(as_int(n));
  }
  const Mask mask = of_lengths(lengths, 35);
  this->template check<3>(BatchNorm<T>(6), {5, 6, 35}, 1, as_int, mask);
  this->template check<3>(BatchNorm<T>(19, {.channel_axis = -1}), {5, 35, 19}, 2, as_bytes, mask);
  this->template check<3>(BatchNorm<T>(4, {.channel_axis = 0}), {4, 5, 35}, 0, as_int, mask);
  this->template check<3>(BatchNorm<T>(1), {5, 1, 35}, 1, as_int, mask);
}

TYPED_TEST(VariableLength, OfMasks) {
  using T = typename TypeParam::Scalar;
  const auto made = [](auto& tensor, const Mask& mask) { assign(tensor, std::vector<int>(mask.begin(), mask.end())); };
  const Mask sequences = of_noise(60 * 67), images = of_noise(8 * 21 * 33), samples = of_noise(90);
  typename TestFixture::template MaskTensor<2> of_sequences(60, 67);
  typename TestFixture::template MaskTensor<3> of_images(8, 21, 33);
  typename TestFixture::template MaskTensor<1> of_samples(90);
  made(of_sequences, sequences);
  made(of_images, images);
  made(of_samples, samples);
  this->template check<3>(BatchNorm<T>(9), {60, 9, 67}, 1, of_sequences, sequences);
  this->template check<3>(BatchNorm<T>(33, {.channel_axis = -1}), {60, 67, 33}, 2, of_sequences, sequences);
  this->template check<4>(BatchNorm<T>(7), {8, 7, 21, 33}, 1, of_images, images);
  this->template check<4>(BatchNorm<T>(5, {.channel_axis = -1}), {8, 21, 33, 5}, 3, of_images, images);
  this->template check<2>(BatchNorm<T>(65), {90, 65}, 1, of_samples, samples);
}

TYPED_TEST(VariableLength, OfNothingIsZeroAndMovesNothing) {
  using T = typename TypeParam::Scalar;
  using Sequences = typename TypeParam::template Tensor<3>;
  const auto x = random<Sequences>({3, 2, 5}, 1);
  Eigen::Tensor<int, 1> lengths(3);
  lengths.setZero();
  BatchNorm<T> norm(2);
  Sequences y = x, dx = x;
  norm.forward(this->where_.device, x, lengths, y);
  norm.backward(this->where_.device, x, lengths, x, dx);
  const Sequences zero = constant<Sequences>({3, 2, 5}, 0);
  EXPECT_TRUE(same_bits(y, zero) && same_bits(dx, zero));
  EXPECT_EQ(norm.num_batches_tracked(), 0);
  EXPECT_EQ(norm.weight_grad()(0), T(0));
  const auto none = sized<Sequences>({0, 2, 5});
  Sequences nothing = none;
  norm.forward(none, Eigen::Tensor<int, 1>(0), nothing);
}

TYPED_TEST(VariableLength, HasTheGradientsThatAreAskedFor) {
  using Sequences = typename TypeParam::template Tensor<3>;
  using Norm = BatchNorm<typename TypeParam::Scalar>;
  const auto x = random<Sequences>({3, 2, 5}, 1), dy = random<Sequences>({3, 2, 5}, 2);
  Eigen::Tensor<int, 1> lengths(3);
  lengths.setValues({2, 5, 0});
  Sequences y = x, dx = x, small = sized<Sequences>({1, 1, 1});
  Norm all(2), parameters(2);
  for (Norm* norm : {&all, &parameters}) norm->forward(this->where_.device, x, lengths, y);
  all.backward(this->where_.device, x, lengths, dy, dx);
  parameters.backward(this->where_.device, x, lengths, dy, small, {.input = false});
  EXPECT_TRUE(same_bits(parameters.weight_grad(), all.weight_grad()));
  parameters.eval();
  parameters.forward(x, y);
  parameters.zero_grad();
  parameters.backward(x, dy, small, {.input = false});
  EXPECT_NE(parameters.weight_grad()(1), 0) << "of running statistics, all positions";
}

TYPED_TEST(VariableLength, RefusesWhatDoesNotFit) {
  using T = typename TypeParam::Scalar;
  using Sequences = typename TypeParam::template Tensor<3>;
  const auto x = random<Sequences>({3, 2, 5}, 1);
  Sequences y = x;
  Eigen::Tensor<int, 1> lengths(3), few(2);
  few.setConstant(5);
  BatchNorm<T> norm(2);
  expect_error<normkit::shape_error>([&] { norm.forward(x, few, y); }, {"lengths", "(3,)", "(2,)"});
  lengths.setValues({5, 6, 0});
  expect_error<normkit::argument_error>([&] { norm.forward(x, lengths, y); }, {"[0, 5]", "got 6 for sample 1"});
  lengths.setValues({5, 5, -1});
  expect_error<normkit::argument_error>([&] { norm.infer(x, lengths, y); }, {"[0, 5]", "got -1 for sample 2"});
  lengths.setValues({0, 1, 0});
  expect_error<normkit::shape_error>([&] { norm.forward(x, lengths, y); }, {"more than 1 value per channel"});
  typename TestFixture::template MaskTensor<2> mask(5, 3);
  mask.setConstant(true);
  expect_error<normkit::shape_error>([&] { norm.forward(x, mask, y); }, {"mask", "(3, 5)", "(5, 3)"});
  EXPECT_TRUE(same_bits(y, x)) << "untouched";
  EXPECT_EQ(norm.num_batches_tracked(), 0);
  lengths.setValues({5, 3, 0});
  norm.forward(x, lengths, y);
  Sequences dx = x;
  expect_error<normkit::state_error>([&] { norm.backward(x, y, dx); }, {"that of another"});
  lengths(2) = 1;
  expect_error<normkit::state_error>([&] { norm.backward(x, lengths, y, dx); }, {"that of another"});
  lengths(2) = 0;
  EXPECT_TRUE(same_bits(dx, x));
  norm.forward(y, lengths, y);
  expect_error<normkit::state_error>([&] { norm.backward(y, lengths, x, dx); }, {"in place"});
}

TEST(VariableLengthMemory, IsNotAllocatedAfterTheFirstCall) {
  using Sequences = Eigen::Tensor<float, 3, Eigen::RowMajor>;
  const auto x = random<Sequences>({8, 3, 40000}, 1);
  Eigen::Tensor<int, 1> lengths(8);
  lengths.setConstant(10);
  FixedPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  BatchNorm<float> norm(3);
  Sequences y = x, dx = x;
  const auto step = [&] {
    norm.forward(device, x, lengths, y);
    norm.backward(device, x, lengths, y, dx);
  };
  step();
  lengths.setConstant(40000);  // more of the same shape, which threads share
  EXPECT_EQ(allocations_of(step), 0);
}

TEST(VariableLengthOfSixteenBits, IsThatOfFloatRounded) {
  using Sequences = Eigen::Tensor<Eigen::half, 3, Eigen::RowMajor>;
  using Wide = Eigen::Tensor<float, 3, Eigen::RowMajor>;
  const Sequences x = random<Wide>({8, 33, 25}, 1).cast<Eigen::half>();
  const Wide wide_x = x.cast<float>();
  Eigen::Tensor<std::int64_t, 1> lengths(8);
  lengths.setConstant(19);
  BatchNorm<float> norm(33), wide(33);
  Sequences y = x, dx = x;
  Wide wide_y = wide_x, wide_dx = wide_x;
  norm.forward(x, lengths, y);
  wide.forward(wide_x, lengths, wide_y);
  norm.backward(x, lengths, x, dx);
  wide.backward(wide_x, lengths, wide_x, wide_dx);
  const Sequences expected_y = wide_y.cast<Eigen::half>(), expected_dx = wide_dx.cast<Eigen::half>();
  EXPECT_TRUE(same_bits(y, expected_y) && same_bits(dx, expected_dx));
}

TEST(VariableLengthOfAll, IsTheSameOfChannelsLast) {
  using Sequences = Eigen::Tensor<float, 3, Eigen::RowMajor>;
  const auto x = random<Sequences>({8, 25, 33}, 1);
  Eigen::Tensor<bool, 2, Eigen::RowMajor> all(8, 25);
  all.setConstant(true);
  BatchNorm<float> norm(33, {.channel_axis = -1});
  Sequences y = x, plain = x;
  norm.forward(x, all, y);
  norm.forward(x, plain);
  EXPECT_TRUE(same_bits(y, plain));
}

}  // namespace
