// What shows after long alone: growth of memory, drift of the running statistics, bits that change. Short here; scripts/long-run makes
// it long by NORMKIT_LONG_RUN_STEPS and NORMKIT_LONG_RUN_MINUTES.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/judge.hpp"
#include "support/snapshot.hpp"

namespace {

using namespace support;
using Device = Eigen::ThreadPoolDevice;

double wanted(const char* variable, double otherwise) {
  const char* const text = std::getenv(variable);
  return text ? std::atof(text) : otherwise;
}

/// KiB of the process that are in memory; 0 where there is no such file.
long resident() {
  long all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return 4 * resident;
}

/// Threads that are over leave their stacks, and a few bytes of the heap, to those to come: as many as there will ever be at once.
void begin_threads() {
  constexpr int most = 8;
  std::barrier all(most);
  std::vector<std::thread> threads;
  for (int i = 0; i < most; ++i) threads.emplace_back([&] { all.arrive_and_wait(); });
  for (std::thread& thread : threads) thread.join();
}

/// A running statistic as it is exactly, and how far a float may be from it: an error shrinks by 1 - momentum with each batch, and
/// each batch adds one by the rule.
class Chain {
 public:
  Chain(std::size_t channels, Real start) : exact_(channels, start), bound_(channels, 0) {}

  void move(const Expected& batch, Real momentum) {
    for (std::size_t c = 0; c < exact_.size(); ++c) {
      const Real keep = 1 - momentum, size = keep * std::abs(exact_[c]) + momentum * batch.cond[c];
      bound_[c] = keep * bound_[c] + roundings::running * (unit_roundoff<float>() * size + half_subnormal<float>());
      exact_[c] = keep * exact_[c] + momentum * batch.exact[c];
    }
  }
  /// The greatest error of `got`, as a part of the bound.
  Real error_of(const std::vector<float>& got) const {
    Real greatest = 0;
    for (std::size_t c = 0; c < exact_.size(); ++c)
      greatest = std::max(greatest, std::abs(static_cast<Real>(got[c]) - exact_[c]) / bound_[c]);
    return greatest;
  }

 private:
  Reals exact_, bound_;
};

/// A BatchNorm of four channels learns y = 2 xhat + 1 from batches of 8 x 4 x 2 x 2 values, which come again and again.
class Training {
 public:
  using Volume = Eigen::Tensor<float, 4, Eigen::RowMajor>;

  explicit Training(std::optional<double> momentum) : momentum_(momentum), norm_(4, {.momentum = momentum}) {
    const Extents extents{8, 4, 2, 2};
    const Grouping grouping = reference::per_channel(extents, 1);
    for (std::uint64_t seed = 1; seed <= 61; ++seed) {
      Batch& batch = batches_.emplace_back();
      batch.x = random<Volume>(extents, seed, 0.1 * static_cast<double>(seed), 1.5);
      const Moments exact = reference::moments(reals(batch.x), grouping);
      std::vector<Real> target;
      const Reals x = reals(batch.x);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t c = grouping.group[i];
        target.push_back(2 * exact.centred(x[i], c) * reference::rstd(exact.var[c], Real(norm_.options().eps)) + 1);
      }
      batch.target = sized<Volume>(extents);
      assign(batch.target, target);
      batch.moments = expected_moments(x, grouping);
      for (Reals* var : {&batch.moments.var.exact, &batch.moments.var.cond})
        for (Real& value : *var) value *= Real(32) / 31;
    }
  }

  void step() {
    const Batch& batch = batches_[static_cast<std::size_t>(steps_++) % batches_.size()];
    norm_.zero_grad();
    norm_.forward(batch.x, y_);
    dy_ = y_ - batch.target;
    norm_.backward(batch.x, dy_, dx_);
    for (auto parameter : norm_.parameters())
      for (Eigen::Index c = 0; c < 4; ++c) parameter.value.data()[c] -= 0.5f / 32 * parameter.gradient.data()[c];
    const Real momentum = momentum_ ? Real(*momentum_) : 1 / static_cast<Real>(steps_);
    mean_.move(batch.moments.mean, momentum);
    var_.move(batch.moments.var, momentum);
  }

  void check() {
    EXPECT_EQ(norm_.num_batches_tracked(), steps_);
    const Real mean = mean_.error_of(values(norm_.running_mean())), var = var_.error_of(values(norm_.running_var()));
    EXPECT_LE(mean, 1);
    EXPECT_LE(var, 1);
    // With a rate of 0.5 / 32 an error of weight halves with each step. A step adds to it 2 u where it is stored, half of the mean of
    // |xhat| times an error of y, which is 6 u (2 (|xhat| + mean |xhat|) + 1) by the rule and |2 xhat + 1| u of the target: 18 u,
    // as xhat^2 has the mean 1; twice that is 40 u. Of bias it is less.
    constexpr double bound = 40 * 0x1p-24;
    for (Eigen::Index c = 0; c < 4; ++c) {
      EXPECT_NEAR(norm_.weight()(c), 2, bound);
      EXPECT_NEAR(norm_.bias()(c), 1, bound);
    }
    std::cout << steps_ << " steps, momentum " << (momentum_ ? *momentum_ : 0.0) << ": the running mean is off by "
              << static_cast<double>(mean) << " of its bound, the variance by " << static_cast<double>(var) << '\n';
  }

 private:
  struct Batch {
    Volume x, target;
    ExpectedRunning moments;
  };
  std::optional<double> momentum_;
  normkit::BatchNorm<float> norm_;
  std::vector<Batch> batches_;
  Volume y_{8, 4, 2, 2}, dy_{8, 4, 2, 2}, dx_{8, 4, 2, 2};
  Chain mean_{4, 0}, var_{4, 1};
  std::int64_t steps_ = 0;
};

TEST(LongRun, RunningStatisticsStayWithinTheBoundOfTheExactChain) {
  const auto steps = static_cast<std::int64_t>(wanted("NORMKIT_LONG_RUN_STEPS", 20'000));
  for (const std::optional<double> momentum : {std::optional(0.1), std::optional(0.001), std::optional<double>()}) {
    Training training(momentum);
    for (int step = 0; step < 100; ++step) training.step();
    const long before = live_bytes;
    for (std::int64_t step = 100; step < steps; ++step) training.step();
    EXPECT_EQ(live_bytes, before);
    training.check();
  }
}

/// Work as a program has it that trains and serves: layers come and go, on tensors of all sizes, by one thread and by a pool, and
/// some calls are refused. What it computes is a function of the seed alone.
class Work {
 public:
  explicit Work(std::uint64_t seed) : numbers_(seed) {}

  /// A number for all that was computed.
  std::uint64_t run() {
    Eigen::ThreadPool pool(3);
    const Device device(&pool, 3);
    for (int job = 0; job < 40; ++job) {
      const bool large = choose(40) == 0;
      const Eigen::Index channels = 4 * (1 + choose(large ? 64 : 8)), length = 1 + choose(large ? 3000 : 200);
      const Extents extents{1 + choose(6), channels, length};
      switch (choose(6)) {
        case 0:
          train<float>(normkit::BatchNorm<float>(channels), device, extents);
          break;
        case 1:
          train<double>(normkit::BatchNorm<double>(length, {.momentum = std::nullopt, .channel_axis = -1}), device,
                        extents);
          break;
        case 2:
          train<Eigen::bfloat16>(normkit::LayerNorm<float>(length), device, extents);
          break;
        case 3:
          train<float>(normkit::RMSNorm<float>(length), device, extents);
          break;
        case 4:
          train<float>(normkit::GroupNorm<float>(4, channels), device, extents);
          break;
        default:
          train<double>(normkit::InstanceNorm<double>(channels, {.affine = true}), device, extents);
      }
    }
    return hash_;
  }

 private:
  Eigen::Index choose(std::uint64_t count) { return static_cast<Eigen::Index>(numbers_.bits(32) % count); }

  void note(const Bytes& bytes) {  // FNV-1a
    for (const unsigned char byte : bytes) hash_ = (hash_ ^ byte) * 0x100000001B3u;
  }

  template <class S, class Norm>
  void train(Norm norm, const Device& device, const Extents& extents) {
    using Volume = Eigen::Tensor<S, 3, Eigen::RowMajor>;
    set_parameters(norm, 3);
    const auto x = random<Volume>(extents, numbers_.bits(16), 0.5, 2), dy = random<Volume>(extents, numbers_.bits(16));
    Volume y = x, dx = x, wrong = sized<Volume>({1, 1, extents[2] + 1});
    typename Norm::Saved saved;
    for (int step = 0; step < 3; ++step) {
      norm.zero_grad();
      norm.forward(device, x, y);
      norm.backward(device, x, dy, dx);
      norm.forward(x, y, saved);
      norm.backward(x, dy, dx, saved);
      EXPECT_THROW(norm.forward(device, x, wrong), normkit::shape_error);
    }
    Norm copy = norm, moved = std::move(copy);
    copy = moved;
    note(state_of(copy));
    note(bytes_of(dx));
    copy.eval();
    std::vector<Volume> served(4, y);
    std::vector<std::thread> threads;
    for (Volume& output : served) threads.emplace_back([&, n = &std::as_const(copy)] { n->infer(device, x, output); });
    for (std::thread& thread : threads) thread.join();
    for (const Volume& output : served) note(bytes_of(output));
    note(bytes_of(copy(x)));
  }

  Numbers numbers_;
  std::uint64_t hash_ = 0xCBF29CE484222325u;
};

TEST(LongRun, MixedWorkHoldsNoMemoryAndKeepsItsBits) {
  using Clock = std::chrono::steady_clock;
  const double all = wanted("NORMKIT_LONG_RUN_MINUTES", 0);
  begin_threads();
  const auto begin = Clock::now();
  const auto minutes = [&] { return std::chrono::duration<double, std::ratio<60>>(Clock::now() - begin).count(); };
  constexpr long seeds = 5;
  std::array<std::uint64_t, seeds> hashes;  // by its seed, what the first round has given
  long rounds = 0, live = 0, most_resident = 0;
  for (; rounds < 2 * seeds || minutes() < all; ++rounds) {
    const auto seed = static_cast<std::size_t>(rounds % seeds);
    const std::uint64_t hash = Work(seed).run();
    if (rounds < seeds) hashes[seed] = hash;
    if (rounds == seeds) live = live_bytes;
    ASSERT_EQ(hash, hashes[seed]) << "round " << rounds;
    if (rounds > seeds) {
      ASSERT_EQ(live_bytes, live) << "round " << rounds;
    }
    if (resident() <= most_resident) continue;
    most_resident = resident();
    std::cout << "round " << rounds << ", minute " << std::floor(minutes()) << ": " << live_bytes << " bytes live, "
              << most_resident << " KiB resident" << std::endl;
  }
  std::cout << rounds << " rounds in " << std::floor(minutes()) << " minutes: " << live_bytes << " bytes live, "
            << resident() << " KiB resident" << std::endl;
}

}  // namespace
