#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

std::vector<double> generic_sample();
std::vector<double> native_sample();

TEST(TwoTargets, ComputeTheSameBits) {
  const std::vector<double> generic = generic_sample();
  const std::vector<double> native = native_sample();
  ASSERT_GT(generic.size(), 10'000u);
  ASSERT_EQ(generic.size(), native.size());
  for (std::size_t i = 0; i < generic.size(); ++i) {
    ASSERT_TRUE(std::isfinite(generic[i])) << "at " << i;
    ASSERT_EQ(std::memcmp(&generic[i], &native[i], sizeof(double)), 0)
        << generic[i] << ", " << native[i] << " at " << i;
  }
}
