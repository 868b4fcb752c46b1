// A process in which somebody has set flush-to-zero, as a library linked with -ffast-math does: ordinary data has the same
// bits, subnormal data counts as zero.
#include <gtest/gtest.h>

#if defined(__x86_64__)
#include <immintrin.h>

#include <normkit/normkit.hpp>
#include <vector>

#include "support/configs.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

namespace {

using namespace support;
using Tensor = Eigen::Tensor<float, 3, Eigen::RowMajor>;

/// Sets the control bits for subnormal results (FTZ) and operands (DAZ) for as long as it lives.
class FlushToZero {
 public:
  FlushToZero() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }
  FlushToZero(const FlushToZero&) = delete;
  FlushToZero& operator=(const FlushToZero&) = delete;
  ~FlushToZero() { _mm_setcsr(before_); }

 private:
  unsigned before_;
};

template <class Norm>
Bytes everything(Norm norm, const Tensor& x, const Tensor& dy) {
  Tensor y = x, dx = x;
  norm.forward(x, y);
  norm.backward(x, dy, dx);
  Bytes bytes = state_of(norm);
  append(bytes, y);
  append(bytes, dx);
  return bytes;
}

TEST(FlushToZero, OrdinaryDataHasTheSameBits) {
  for (const double mean : {0.0, 1e4}) {
    const auto x = random<Tensor>({5, 6, 70}, 1, mean, 0.5), dy = random<Tensor>({5, 6, 70}, 2);
    const Bytes batch = everything(normkit::BatchNorm<float>(6), x, dy);
    const Bytes layer = everything(normkit::LayerNorm<float>(70), x, dy);
    const FlushToZero flush;
    EXPECT_EQ(everything(normkit::BatchNorm<float>(6), x, dy), batch);
    EXPECT_EQ(everything(normkit::LayerNorm<float>(70), x, dy), layer);
  }
}

TEST(FlushToZero, SubnormalDataCountsAsZero) {
  Tensor x(5, 6, 70), y(5, 6, 70);
  x.setConstant(1e-40f);
  x(0, 0, 0) = 2e-40f;
  normkit::BatchNorm<float> norm(6, {.eps = 0});
  norm.bias().setConstant(0.25f);
  const FlushToZero flush;
  norm.forward(x, y);
  for (Eigen::Index i = 0; i < y.size(); ++i) ASSERT_EQ(y.data()[i], 0.25f) << "a constant group gives its bias";
}

}  // namespace
#endif
