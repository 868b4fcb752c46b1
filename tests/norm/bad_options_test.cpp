// Options and axes that no layer can have: a typed error from the constructor or the function.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <limits>
#include <string>

#include "support/expect_error.hpp"
#include "support/tensors.hpp"

namespace {

using namespace support;
using normkit::argument_error;
using normkit::BatchNorm;
using normkit::LayerNorm;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Construction

TEST(BadOptions, NumFeatures) {
  expect_error<argument_error>([] { BatchNorm<float>(0); }, {"num_features", "0"});
  expect_error<argument_error>([] { normkit::BatchNorm2d<double>(-3); }, {"num_features", "-3"});
}

TEST(BadOptions, Eps) {
  for (const double eps : {-1e-5, kNaN, kInfinity, -kInfinity}) {
    expect_error<argument_error>([&] { BatchNorm<float>(3, {.eps = eps}); }, {"eps"});
    expect_error<argument_error>([&] { LayerNorm<float>(3, {.eps = eps}); }, {"eps"});
  }
  expect_error<argument_error>([&] { BatchNorm<float>(3, {.eps = -0.25}); }, {"eps", "-0.25"});
  expect_error<argument_error>([&] { LayerNorm<float>(3, {.eps = -0.25}); }, {"eps", "-0.25"});
  EXPECT_NO_THROW(BatchNorm<float>(3, {.eps = 0}));
  EXPECT_NO_THROW(LayerNorm<float>(3, {.eps = 0}));
}

TEST(BadOptions, Momentum) {
  for (const double momentum : {-0.1, 1.5, kNaN, kInfinity})
    expect_error<argument_error>([&] { BatchNorm<float>(3, {.momentum = momentum}); }, {"momentum"});
  expect_error<argument_error>([&] { BatchNorm<float>(3, {.momentum = 1.5}); }, {"[0, 1]", "1.5"});
  EXPECT_NO_THROW(BatchNorm<float>(3, {.momentum = 0}));
  EXPECT_NO_THROW(BatchNorm<float>(3, {.momentum = 1}));
}

TEST(BadOptions, ChannelAxisOfNoRankThatTheLayerTakes) {
  expect_error<argument_error>([] { normkit::BatchNorm1d<float>(4, {.channel_axis = 3}); }, {"channel_axis", "3"});
  expect_error<argument_error>([] { normkit::BatchNorm2d<float>(4, {.channel_axis = -5}); }, {"channel_axis", "-5"});
  expect_error<argument_error>([] { BatchNorm<float>(4, {.channel_axis = 16}); }, {"channel_axis", "16"});
  EXPECT_NO_THROW(normkit::BatchNorm1d<float>(4, {.channel_axis = 2}));
  EXPECT_NO_THROW(BatchNorm<float>(4, {.channel_axis = -16}));
}

TEST(BadOptions, NormalizedShape) {
  expect_error<argument_error>([] { LayerNorm<float>(0); }, {"normalized_shape", "0"});
  expect_error<argument_error>([] { LayerNorm<float>(-4); }, {"normalized_shape", "-4"});
  expect_error<argument_error>([] { LayerNorm<float, 3>({5, 0, 10}); }, {"normalized_shape", "(5, 0, 10)"});
}

TEST(BadOptions, NormalizedShapeWhoseProductOverflows) {
  constexpr Eigen::Index huge = Eigen::Index{1} << 40;
  expect_error<argument_error>([] { LayerNorm<float, 2>({huge, huge}); }, {"normalized_shape", "1099511627776"});
}

TEST(BadReductions, Axes) {
  using Tensor = Eigen::Tensor<float, 3, Eigen::RowMajor>;
  const Tensor x = random<Tensor>({2, 3, 4}, 1);
  expect_error<argument_error>([&] { normkit::moments(x, {0, 3}); }, {"axes", "(0, 3)", "(2, 3, 4)"});
  expect_error<argument_error>([&] { normkit::moments(x, {-4}); }, {"axes", "(-4,)", "(2, 3, 4)"});
  expect_error<argument_error>(
      [&] {
        normkit::moments(x, {1, -2});
      },
      {"different axes", "(1, -2)"});  // the same one twice
}

TEST(Errors, OfOtherTypesThanTheOneThatIsAttemptedGoThrough) {
  std::string reason;
  const auto attempt = [&](auto error) {
    normkit::detail::attempt<normkit::argument_error>([&] { throw error; }, [&](const char* why) { reason = why; });
  };
  attempt(normkit::argument_error("a reason"));
  EXPECT_EQ(reason, "a reason");
  EXPECT_THROW(attempt(normkit::shape_error("another")), normkit::shape_error);
  EXPECT_THROW(attempt(7), int);
  EXPECT_EQ(reason, "a reason");
}

}  // namespace
