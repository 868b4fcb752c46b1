// Code of docs' pages that no other compiled file has.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <cmath>
#include <cstddef>
#include <span>

namespace {

// docs/distributed.md
struct Transport {
  std::span<const std::byte> all_gather(std::span<const std::byte> own);  // the messages of all ranks, in their order
};
static_assert(normkit::Communicator<Transport>);

// docs/semantics.md
TEST(Pages, Conventions) {
  normkit::BatchNorm<float> norm(64, normkit::conventions::Keras{.momentum = 0.9});
  EXPECT_EQ(norm.options().momentum, 1 - 0.9);
  EXPECT_FALSE(norm.options().unbiased_running_var);
}

// docs/why-two-norms.md: the share of what a sigmoid makes of a normal number times `weight` that a straight line explains, by sums
// over steps of 0.001.
double explained_by_a_line(double weight) {
  double total = 0, mean = 0, square = 0, product = 0;
  for (double x = -8; x < 8; x += 0.001) {
    const double density = std::exp(-x * x / 2), value = 1 / (1 + std::exp(-weight * x));
    total += density, mean += density * value, square += density * value * value, product += density * value * x;
  }
  mean /= total;
  return (product / total) * (product / total) / (square / total - mean * mean);
}

TEST(Pages, Sigmoid) {
  EXPECT_EQ(std::lround(1000 * explained_by_a_line(1)), 984);
  EXPECT_EQ(std::lround(1000 * explained_by_a_line(4)), 838);
}

}  // namespace
