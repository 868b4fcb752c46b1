// How a layer prints.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <optional>
#include <sstream>
#include <string>

namespace {

using normkit::BatchNorm;
using normkit::LayerNorm;

template <class Norm>
std::string shown(const Norm& norm) {
  std::ostringstream stream;
  stream << norm;
  return stream.str();
}

TEST(Printing, IsPyTorchs) {
  EXPECT_EQ(shown(normkit::BatchNorm1d<float>(3)),
            "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)");
  EXPECT_EQ(shown(normkit::BatchNorm2d<double>(64, {.eps = 1e-3, .momentum = std::nullopt, .affine = false})),
            "BatchNorm2d(64, eps=0.001, momentum=None, affine=False, track_running_stats=True)");
  EXPECT_EQ(shown(normkit::BatchNorm3d<float>(2, {.momentum = 0.5, .track_running_stats = false})),
            "BatchNorm3d(2, eps=1e-05, momentum=0.5, affine=True, track_running_stats=False)");
  EXPECT_EQ(shown(LayerNorm<float>(10, {.eps = 1e17})), "LayerNorm((10,), eps=1e+17, elementwise_affine=True)");
  EXPECT_EQ(shown(LayerNorm<float>(10)), "LayerNorm((10,), eps=1e-05, elementwise_affine=True)");
  EXPECT_EQ((shown(LayerNorm<float, 3>({5, 10, 10}, {.eps = 1e-6, .elementwise_affine = false}))),
            "LayerNorm((5, 10, 10), eps=1e-06, elementwise_affine=False)");
}

/// As Python prints a float: with an exponent below 1e-4, and from 1e16 on.
TEST(Printing, NumbersArePythons) {
  const auto eps = [](double value) {
    const std::string all = shown(LayerNorm<float>(10, {.eps = value}));
    const std::size_t from = all.find("eps=") + 4;
    return all.substr(from, all.find(',', from) - from);
  };
  EXPECT_EQ(eps(0.0), "0.0");
  EXPECT_EQ(eps(0.0001), "0.0001");
  EXPECT_EQ(eps(0.00009999999999999999), "9.999999999999999e-05");
  EXPECT_EQ(eps(2.0), "2.0");
  EXPECT_EQ(eps(9999999999999998.0), "9999999999999998.0");
  EXPECT_EQ(eps(1e16), "1e+16");
}

TEST(Printing, LeavesTheStreamAsItWas) {
  std::ostringstream stream;
  stream.precision(3);
  stream << BatchNorm<float>(3) << ' ' << 0.123456;
  EXPECT_EQ(stream.str().substr(stream.str().rfind(' ') + 1), "0.123");
}

}  // namespace
