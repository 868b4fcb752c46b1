// Code of docs' pages that no other compiled file has.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

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

}  // namespace
