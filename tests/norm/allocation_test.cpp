// Once a layer has seen a shape, it allocates nothing: not in forward, backward or infer, alone or on a pool.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/fixed_pool.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::GroupNorm;
using normkit::InstanceNorm;
using normkit::LayerNorm;
using normkit::RMSNorm;

/// The same pointer, by way of memory that the compiler has to write. Without it an allocation and its release may be
/// left out together.
void* seen(void* pointer) {
  static void* volatile escaped;
  escaped = pointer;
  return escaped;
}

TEST(Allocations, AreSeenWhoeverMakesThem) {
  EXPECT_EQ(allocations_of([] {}), 0);
  EXPECT_EQ(allocations_of([] { std::free(seen(std::malloc(64))); }), 1);
  EXPECT_EQ(allocations_of([] { std::free(seen(std::calloc(8, 8))); }), 1);
  EXPECT_EQ(allocations_of([] { std::free(seen(std::aligned_alloc(64, 128))); }), 1);
  EXPECT_EQ(allocations_of([] { ::operator delete(seen(::operator new(64))); }), 1);
  EXPECT_EQ(allocations_of([] { seen(Eigen::Tensor<float, 1>(100).data()); }), 1);
}

TEST(Allocations, OfOtherThreadsAreSeenToo) {
  FixedPool pool(1);
  const auto on_the_pool = [&pool](const auto& action) {
    std::atomic<bool> done{false};
    pool.Schedule([&] {
      action();
      done = true;
    });
    while (!done) std::this_thread::yield();
  };
  EXPECT_EQ(allocations_of([&] { on_the_pool([] { std::free(seen(std::malloc(64))); }); }), 1);
}

template <class C>
class NoAllocation : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  using Volume = typename C::template Tensor<3>;

  template <class Norm, class Device>
  void check(Norm norm, const Device& device, const Extents& extents) {
    const auto x = random<Volume>(extents, 1), dy = random<Volume>(extents, 2);
    Volume y = x, dx = x;
    for (const bool training : {true, false}) {
      if (!training) norm.eval();
      norm.forward(device, x, y);
      norm.backward(device, x, dy, dx);
      norm.infer(device, x, y);
      for (int repeat = 0; repeat < 3; ++repeat) {
        EXPECT_EQ(allocations_of([&] { norm.forward(device, x, y); }), 0) << "forward";
        EXPECT_EQ(allocations_of([&] { norm.backward(device, x, dy, dx); }), 0) << "backward";
        EXPECT_EQ(allocations_of([&] { norm.infer(device, x, y); }), 0) << "infer";
      }
      EXPECT_EQ(allocations_of([&] {
                  norm.zero_grad();
                  for (auto parameter : norm.parameters()) parameter.value.data()[0] -= parameter.gradient.data()[0];
                }),
                0)
          << "a step of the optimizer";
    }
  }

  template <class Device>
  void check_all(const Device& device) {
    for (const Extents& extents :
         {Extents{4, 6, 10}, Extents{8, 24, 1030}, Extents{2, 3, 40009}, Extents{600, 70, 2}, Extents{70001, 2, 1}}) {
      SCOPED_TRACE(::testing::PrintToString(extents));
      check(BatchNorm<Scalar>(extents[1]), device, extents);
      check(BatchNorm<Scalar>(extents[2], {.channel_axis = -1}), device, extents);
      check(LayerNorm<Scalar>(extents[2]), device, extents);
      check(LayerNorm<Scalar>(extents[1], {.axis = 1}), device, extents);
      check(RMSNorm<Scalar>(extents[2], {.zero_centred = true}), device, extents);
      check(GroupNorm<Scalar>(2, extents[1] / 2 * 2, {}), device, {extents[0], extents[1] / 2 * 2, extents[2]});
      if (extents[2] > 1)
        check(InstanceNorm<Scalar>(extents[1], {.affine = true, .track_running_stats = true}), device, extents);
    }
  }
};
TYPED_TEST_SUITE(NoAllocation, ScalarsAndLayouts, ConfigName);

TYPED_TEST(NoAllocation, AfterTheFirstCall) { this->check_all(Eigen::DefaultDevice()); }

TYPED_TEST(NoAllocation, OnAPoolThatItselfHasNone) {
  FixedPool pool(3);
  this->check_all(Eigen::ThreadPoolDevice(&pool, 3));
  EXPECT_GT(pool.scheduled(), 0u) << "the work is shared";
}

TYPED_TEST(NoAllocation, OnAPoolAfterACallAlone) {
  using Tensor = typename TestFixture::Volume;
  const auto x = random<Tensor>({2, 3, 40009}, 1);  // few large groups, which a pool shares
  Tensor y = x, dx = x;
  FixedPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  BatchNorm<typename TypeParam::Scalar> norm(3);
  norm.forward(x, y);
  norm.backward(x, y, dx);
  EXPECT_EQ(allocations_of([&] {
              norm.forward(device, x, y);
              norm.backward(device, x, y, dx);
            }),
            0);
}

TYPED_TEST(NoAllocation, WithTheCallersOwnSaved) {
  using Tensor = typename TestFixture::Volume;
  const auto x = random<Tensor>({4, 6, 1000}, 1);
  Tensor y = x, dx = x;
  LayerNorm<typename TypeParam::Scalar> norm(1000);
  typename LayerNorm<typename TypeParam::Scalar>::Saved saved;
  norm.forward(x, y, saved);
  norm.backward(x, y, dx, saved);
  EXPECT_EQ(allocations_of([&] {
              norm.forward(x, y, saved);
              norm.backward(x, y, dx, saved);
            }),
            0);
}

TYPED_TEST(NoAllocation, FromTheOutputAfterTheFirstCall) {
  using Tensor = typename TestFixture::Volume;
  auto y = random<Tensor>({4, 6, 1000}, 1);
  Tensor dx = y;
  BatchNorm<typename TypeParam::Scalar> norm(6);
  norm.forward(y, y);
  EXPECT_EQ(allocations_of([&] { norm.backward_from_output(y, dx, dx); }), 5) << "as many arrays";
  EXPECT_EQ(allocations_of([&] { norm.backward_from_output(y, dx, dx); }), 0);
}

TYPED_TEST(NoAllocation, InInferEvenAtFirst) {
  using Tensor = typename TestFixture::Volume;
  const auto x = random<Tensor>({4, 6, 1000}, 1);
  Tensor y = x;
  const BatchNorm<typename TypeParam::Scalar> batch(6);
  const LayerNorm<typename TypeParam::Scalar> layer(1000);
  EXPECT_EQ(allocations_of([&] { batch.infer(x, y); }), 0);
  EXPECT_EQ(allocations_of([&] { layer.infer(x, y); }), 0);
}

TYPED_TEST(NoAllocation, OfSizeOfTheInputAtFirst) {
  using Tensor = typename TestFixture::Volume;
  const auto x = random<Tensor>({4, 6, 1000}, 1);
  Tensor y = x;
  BatchNorm<typename TypeParam::Scalar> batch(6);
  EXPECT_LE(allocations_of([&] { batch.forward(x, y); }), 5) << "mean, mean_lo, rstd, exponent and one workspace";
}

}  // namespace
