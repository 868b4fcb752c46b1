// The same bits for any number of threads, any instruction set and any alignment; and a pool that calls itself.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <future>
#include <iostream>
#include <map>
#include <ostream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/configs.hpp"
#include "support/fixed_pool.hpp"
#include "support/judge.hpp"
#include "support/snapshot.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::GroupNorm;
using normkit::InstanceNorm;
using normkit::Isa;
using normkit::LayerNorm;
using normkit::RMSNorm;

/// What a layer did, in a word that other bits would hardly give again (FNV-1a over words of 64 bits).
struct Digest {
  std::string layer;
  std::uint64_t value = 0xcbf29ce484222325u;

  void add(const void* data, std::size_t bytes) {
    const auto* from = static_cast<const unsigned char*>(data);
    for (std::size_t at = 0; at < bytes; at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, from + at, std::min<std::size_t>(8, bytes - at));
      value = (value ^ word) * 0x100000001b3u;
      value ^= value >> 32;
    }
  }
  template <class Tensor>
  void add(const Tensor& tensor) {
    add(tensor.data(), static_cast<std::size_t>(tensor.size()) * sizeof(ScalarOf<Tensor>));
  }
  friend bool operator==(const Digest&, const Digest&) = default;
  friend std::ostream& operator<<(std::ostream& stream, const Digest& digest) {
    return stream << digest.layer << ": " << std::hex << digest.value << std::dec;
  }
};

/// Made once for all runs.
template <class Tensor>
const Tensor& input(const Extents& extents, std::uint64_t seed) {
  static std::map<std::pair<Extents, std::uint64_t>, Tensor> made;
  const auto found = made.find({extents, seed});
  if (found != made.end()) return found->second;
  return made.emplace(std::pair(extents, seed), random<Tensor>(extents, seed, 3, 2)).first->second;
}

/// All that a norm computes from one input: outputs of both modes, gradients, and the state after it all. The tensors
/// begin `misalignment` elements after an address that suits every register.
template <class Tensor, class Norm, class Device>
Digest run(Norm norm, const Extents& extents, Device& device, std::size_t misalignment) {
  using T = ScalarOf<Tensor>;
  const Tensor &x = input<Tensor>(extents, 1), &dy = input<Tensor>(extents, 2);
  const auto size = static_cast<std::size_t>(x.size()), room = (size + misalignment + 63) / 64 * 64;
  Eigen::Tensor<T, 1> memory(static_cast<Eigen::Index>(4 * room));
  const auto map = [&](std::size_t which) {
    return Eigen::TensorMap<Tensor>(memory.data() + which * room + misalignment, x.dimensions());
  };
  auto in = map(0), out = map(1), gradient_in = map(2), gradient_out = map(3);
  std::copy_n(x.data(), size, in.data());
  std::copy_n(dy.data(), size, gradient_in.data());
  set_parameters(norm, 3);
  Digest digest{(std::ostringstream() << ::testing::PrintToString(extents) << ' ' << norm).str()};
  for (const bool training : {true, false}) {
    if (!training) norm.eval();
    norm.forward(device, in, out);
    digest.add(out);
    norm.backward(device, in, gradient_in, gradient_out);
    digest.add(gradient_out);
    norm.infer(device, in, out);
    digest.add(out);
    if constexpr (requires { norm.infer_relu(in, out); }) {
      normkit::ReLUMask mask;
      norm.forward_add_relu(device, in, gradient_in, out, mask);
      digest.add(out);
      norm.backward_add_relu(device, in, gradient_in, mask, gradient_out, out);
      digest.add(gradient_out);
      digest.add(out);
    }
  }
  const Bytes state = state_of(norm);
  digest.add(state.data(), state.size());
  return digest;
}

/// Shapes of all four views, with one block and with many, few groups and many.
template <class C, class Device>
std::vector<Digest> run_all(Device& device, std::size_t misalignment = 0) {
  using T = typename C::Scalar;
  using Plane = typename C::template Tensor<2>;
  using Volume = typename C::template Tensor<3>;
  std::vector<Digest> digests;
  for (const Extents& extents : {Extents{3, 5, 7}, Extents{8, 24, 310}, Extents{2, 2, 70001}, Extents{300, 30, 7}}) {
    digests.push_back(run<Volume>(BatchNorm<T>(extents[1]), extents, device, misalignment));
    digests.push_back(run<Volume>(BatchNorm<T>(extents[2], {.channel_axis = -1}), extents, device, misalignment));
    digests.push_back(run<Volume>(LayerNorm<T>(extents[2]), extents, device, misalignment));
    digests.push_back(run<Volume>(LayerNorm<T>(extents[1], {.axis = 1}), extents, device, misalignment));
    digests.push_back(run<Volume>(RMSNorm<T>(extents[2]), extents, device, misalignment));
    digests.push_back(run<Volume>(GroupNorm<T>(1, extents[1]), extents, device, misalignment));
    digests.push_back(
        run<Volume>(InstanceNorm<T>(extents[2], {.affine = true, .track_running_stats = true, .channel_axis = -1}),
                    extents, device, misalignment));
    digests.push_back(
        run<Volume>(RMSNorm<T>(extents[1], {.zero_centred = true, .axis = 1}), extents, device, misalignment));
  }
  for (const Extents& extents : {Extents{7, 3}, Extents{70001, 2}, Extents{500, 131}, Extents{2, 70001}}) {
    digests.push_back(run<Plane>(BatchNorm<T>(extents[1]), extents, device, misalignment));
    digests.push_back(run<Plane>(LayerNorm<T>(extents[1]), extents, device, misalignment));
  }
  return digests;
}

template <class C>
class SameBits : public ::testing::Test {
 protected:
  static std::vector<Digest> alone() {
    Eigen::DefaultDevice device;
    return run_all<C>(device);
  }
  ~SameBits() override { normkit::max_isa(Isa::avx512); }
};
TYPED_TEST_SUITE(SameBits, ScalarsAndLayouts, ConfigName);

TYPED_TEST(SameBits, OnAnyNumberOfThreads) {
  const std::vector<Digest> expected = this->alone();
  for (const int threads : {1, 2, 7}) {
    Eigen::ThreadPool pool(threads);
    Eigen::ThreadPoolDevice device(&pool, threads);
    EXPECT_EQ(run_all<TypeParam>(device), expected) << threads << " threads";
  }
}

TYPED_TEST(SameBits, OnAnyInstructionSet) {
  const std::vector<Digest> expected = this->alone();
  for (const Isa cap : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    const Isa used = normkit::max_isa(cap);
    EXPECT_LE(used, cap);
    EXPECT_EQ(used, normkit::active_isa());
    EXPECT_EQ(this->alone(), expected) << "instruction set " << static_cast<int>(used);
  }
}

TYPED_TEST(SameBits, AtAnyAlignment) {
  const std::vector<Digest> expected = this->alone();
  Eigen::DefaultDevice device;
  for (const std::size_t misalignment : {1u, 3u, 5u, 13u})
    EXPECT_EQ(run_all<TypeParam>(device, misalignment), expected) << misalignment << " elements";
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

TEST(InsideAPool, AllWorkersMayEvaluateExpressionsAtOnce) {
  const auto x = random<Large>({8, 24, 1030}, 1);
  LayerNorm<float> norm(1030);
  const Large expected = norm(x + x);
  Eigen::ThreadPool pool(2);
  Eigen::ThreadPoolDevice device(&pool, 2);
  std::vector<Large> results(2, Large(8, 24, 1030));
  Eigen::Barrier finished(2);
  for (Large& result : results)
    pool.Schedule([&] {
      norm.infer(device, x + x, result);
      finished.Notify();
    });
  finished.Wait();
  for (const Large& result : results) EXPECT_TRUE(same_bits(result, expected));
}

TEST(ManyThreads, InferByOneLayer) {
  const auto x = random<Large>({8, 24, 130}, 1);
  const BatchNorm<float> channels(24);
  const LayerNorm<float> tokens(130);
  Large by_channel = x, by_token = x;
  channels.infer(x, by_channel);
  tokens.infer(x, by_token);
  std::vector<Large> channel_results(8, Large(8, 24, 130)), token_results = channel_results;
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < channel_results.size(); ++i)
    callers.emplace_back([&, i] {
      for (int repeat = 0; repeat < 20; ++repeat) {
        channels.infer(x, channel_results[i]);
        tokens.infer(x, token_results[i]);
      }
    });
  for (std::thread& caller : callers) caller.join();
  for (const Large& result : channel_results) EXPECT_TRUE(same_bits(result, by_channel));
  for (const Large& result : token_results) EXPECT_TRUE(same_bits(result, by_token));
}

TEST(OnAPool, DifferentLayersOfDifferentCallers) {
  const auto x = random<Large>({8, 24, 1030}, 1), dy = random<Large>({8, 24, 1030}, 2);
  Large y = x, dx = x;
  BatchNorm<float> alone(24);
  alone.forward(x, y);
  alone.backward(x, dy, dx);
  Eigen::ThreadPool pool(3);
  Eigen::ThreadPoolDevice device(&pool, 3);
  std::vector<Large> forward(4, x), backward(4, x);
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < forward.size(); ++i)
    callers.emplace_back([&, i] {
      BatchNorm<float> norm(24);
      norm.forward(device, x, forward[i]);
      norm.backward(device, x, dy, backward[i]);
    });
  for (std::thread& caller : callers) caller.join();
  for (const Large& result : forward) EXPECT_TRUE(same_bits(result, y));
  for (const Large& result : backward) EXPECT_TRUE(same_bits(result, dx));
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
