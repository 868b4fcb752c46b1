// The same bits for any number of threads, any instruction set and any alignment; and a pool that calls itself.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <chrono>
#include <cstdlib>
#include <future>
#include <iostream>
#include <vector>

#include "support/configs.hpp"
#include "support/fixed_pool.hpp"
#include "support/judge.hpp"
#include "support/snapshot.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::Isa;
using normkit::LayerNorm;

/// All that a norm computes from one input, as bytes: outputs of both modes, gradients, and the state after it all.
template <class Tensor, class Norm, class Device>
void append_run(Bytes& bytes, Norm norm, const Extents& extents, Device& device, std::size_t misalignment) {
  using T = ScalarOf<Tensor>;
  const auto x = random<Tensor>(extents, 1, 3, 2), dy = random<Tensor>(extents, 2);
  const auto size = static_cast<std::size_t>(x.size());
  std::vector<T> memory(4 * (size + misalignment + 16));
  const auto map = [&](std::size_t which) {
    return Eigen::TensorMap<Tensor>(memory.data() + which * (size + 16) + misalignment, x.dimensions());
  };
  auto in = map(0), out = map(1), gradient_in = map(2), gradient_out = map(3);
  std::copy_n(x.data(), size, in.data());
  std::copy_n(dy.data(), size, gradient_in.data());
  set_parameters(norm, 3);
  for (const bool training : {true, false}) {
    if (!training) norm.eval();
    norm.forward(device, in, out);
    append(bytes, out);
    norm.backward(device, in, gradient_in, gradient_out);
    append(bytes, gradient_out);
    norm.infer(device, in, out);
    append(bytes, out);
  }
  const Bytes state = state_of(norm);
  bytes.insert(bytes.end(), state.begin(), state.end());
}

/// Shapes of all four views, with one block and with many, few groups and many.
template <class C, class Device>
Bytes run_all(Device& device, std::size_t misalignment = 0) {
  using T = typename C::Scalar;
  using Plane = typename C::template Tensor<2>;
  using Volume = typename C::template Tensor<3>;
  Bytes bytes;
  for (const Extents& extents : {Extents{3, 5, 7}, Extents{8, 24, 1030}, Extents{2, 3, 40009}, Extents{300, 70, 9}}) {
    append_run<Volume>(bytes, BatchNorm<T>(extents[1]), extents, device, misalignment);
    append_run<Volume>(bytes, BatchNorm<T>(extents[2], {.channel_axis = -1}), extents, device, misalignment);
    append_run<Volume>(bytes, LayerNorm<T>(extents[2]), extents, device, misalignment);
    append_run<Volume>(bytes, LayerNorm<T>(extents[1], {.axis = 1}), extents, device, misalignment);
  }
  for (const Extents& extents : {Extents{7, 3}, Extents{70001, 2}, Extents{1500, 131}, Extents{2, 70001}}) {
    append_run<Plane>(bytes, BatchNorm<T>(extents[1]), extents, device, misalignment);
    append_run<Plane>(bytes, LayerNorm<T>(extents[1]), extents, device, misalignment);
  }
  return bytes;
}

template <class C>
class SameBits : public ::testing::Test {
 protected:
  static Bytes alone() {
    Eigen::DefaultDevice device;
    return run_all<C>(device);
  }
  ~SameBits() override { normkit::max_isa(Isa::avx512); }
};
TYPED_TEST_SUITE(SameBits, ScalarsAndLayouts, ConfigName);

TYPED_TEST(SameBits, OnAnyNumberOfThreads) {
  const Bytes expected = this->alone();
  for (const int threads : {1, 2, 7}) {
    Eigen::ThreadPool pool(threads);
    Eigen::ThreadPoolDevice device(&pool, threads);
    EXPECT_TRUE(run_all<TypeParam>(device) == expected) << threads << " threads";
  }
}

TYPED_TEST(SameBits, OnAnyInstructionSet) {
  const Bytes expected = this->alone();
  for (const Isa cap : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    const Isa used = normkit::max_isa(cap);
    EXPECT_LE(used, cap);
    EXPECT_EQ(used, normkit::active_isa());
    EXPECT_TRUE(this->alone() == expected) << "instruction set " << static_cast<int>(used);
  }
}

TYPED_TEST(SameBits, AtAnyAlignment) {
  const Bytes expected = this->alone();
  Eigen::DefaultDevice device;
  for (const std::size_t misalignment : {1, 3, 5, 13})
    EXPECT_TRUE(run_all<TypeParam>(device, misalignment) == expected) << misalignment << " elements";
}

TYPED_TEST(SameBits, ARowAloneOrInABatch) {
  using T = typename TypeParam::Scalar;
  using Rows = Eigen::Tensor<T, 2, Eigen::RowMajor>;
  LayerNorm<T> norm(517);
  set_parameters(norm, 3);
  const auto batch = random<Rows>({37, 517}, 1);
  const Rows together = norm(batch);
  for (Eigen::Index row = 0; row < 37; ++row) {
    const Rows alone = norm(Eigen::TensorMap<const Rows>(batch.data() + row * 517, 1, 517));
    EXPECT_TRUE(same_bits(alone, Eigen::TensorMap<const Rows>(together.data() + row * 517, 1, 517))) << row;
  }
}

/// Runs `action` in one of the pool's own workers. A deadlock cannot be undone, so it ends the program.
template <class Pool, class Action>
void inside(Pool& pool, Action action) {
  std::promise<void> done;
  pool.Schedule([&] {
    action();
    done.set_value();
  });
  if (done.get_future().wait_for(std::chrono::minutes(2)) != std::future_status::ready) {
    std::cerr << "the call does not return\n";
    std::_Exit(EXIT_FAILURE);
  }
}

using Large = Eigen::Tensor<float, 3, Eigen::RowMajor>;

TEST(InsideAPool, ACallFromItsOwnWorkerReturns) {
  const auto x = random<Large>({8, 24, 1030}, 1), dy = random<Large>({8, 24, 1030}, 2);
  BatchNorm<float> outside(24), norm(24);
  Large y = x, dx = x, inner_y = x, inner_dx = x;
  outside.forward(x, y);
  outside.backward(x, dy, dx);
  for (const int threads : {1, 2, 7}) {
    Eigen::ThreadPool pool(threads);
    Eigen::ThreadPoolDevice device(&pool, threads);
    inside(pool, [&] {
      norm.forward(device, x, inner_y);
      norm.backward(device, x, dy, inner_dx);
    });
    EXPECT_TRUE(same_bits(inner_y, y) && same_bits(inner_dx, dx)) << threads << " threads";
  }
}

TEST(InsideAPool, AllWorkersMayCallAtOnce) {
  const auto x = random<Large>({8, 24, 1030}, 1);
  LayerNorm<float> norm(1030);
  const Large expected = norm(x);
  Eigen::ThreadPool pool(3);
  Eigen::ThreadPoolDevice device(&pool, 3);
  std::vector<Large> results(12, Large(8, 24, 1030));
  inside(pool, [&] {
    Eigen::Barrier finished(static_cast<unsigned>(results.size()) - 1);
    for (std::size_t i = 1; i < results.size(); ++i)
      pool.Schedule([&, i] {
        norm.infer(device, x, results[i]);
        finished.Notify();
      });
    norm.infer(device, x, results[0]);
    finished.Wait();
  });
  for (const Large& result : results) EXPECT_TRUE(same_bits(result, expected));
}

TEST(OnAPool, TwoCallersMayShareIt) {
  const auto x = random<Large>({8, 24, 1030}, 1);
  LayerNorm<float> norm(1030);
  const Large expected = norm(x);
  Eigen::ThreadPool pool(2);
  Eigen::ThreadPoolDevice device(&pool, 2);
  std::vector<Large> results(4, Large(8, 24, 1030));
  std::vector<std::thread> callers;
  for (Large& result : results)
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 20; ++repeat) norm.infer(device, x, result);
    });
  for (std::thread& caller : callers) caller.join();
  for (const Large& result : results) EXPECT_TRUE(same_bits(result, expected));
}

TEST(OnAPool, AnyPoolBehindEigensInterfaceWillDo) {
  const auto x = random<Large>({8, 24, 1030}, 1);
  BatchNorm<float> alone(24), pooled(24);
  Large y = x, on_pool = x;
  alone.forward(x, y);
  FixedPool pool(3);
  Eigen::ThreadPoolDevice device(&pool, 3);
  pooled.forward(device, x, on_pool);
  EXPECT_TRUE(same_bits(on_pool, y));
  EXPECT_GT(pool.scheduled(), 0u) << "the work is shared";
}

}  // namespace
