// Tasks on threads: each once, the caller helping, nothing left behind.
#define EIGEN_USE_THREADS
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <normkit/detail/plan/executor.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

namespace {

using normkit::Index;
using normkit::detail::Executor;
using normkit::detail::executor_for;

/// Counts how often each task ran.
class Tally {
 public:
  explicit Tally(Index tasks) : counts_(static_cast<std::size_t>(tasks)) {}
  void operator()(Index task) const noexcept { counts_[static_cast<std::size_t>(task)].fetch_add(1); }
  bool all_once() const {
    for (const auto& count : counts_)
      if (count.load() != 1) return false;
    return true;
  }

 private:
  mutable std::vector<std::atomic<int>> counts_;
};

/// A pool that refuses every closure, by an exception or after the first few.
class RefusingPool : public Eigen::ThreadPoolInterface {
 public:
  explicit RefusingPool(int accepted) : accepted_(accepted) {}
  void Schedule(std::function<void()> closure) override {
    if (accepted_-- <= 0) throw std::runtime_error("full");
    closure();
  }
  int NumThreads() const override { return 4; }
  int CurrentThreadId() const override { return -1; }

 private:
  int accepted_;
};

TEST(Executor, AloneRunsTasksInOrder) {
  std::vector<Index> order;
  Executor()(5, [&](Index task) noexcept { order.push_back(task); });
  EXPECT_EQ(order, (std::vector<Index>{0, 1, 2, 3, 4}));
}

TEST(Executor, RunsEveryTaskOnceOnAnyNumberOfThreads) {
  for (const int threads : {1, 2, 3, 7}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    const Executor execute(device);
    EXPECT_EQ(execute.threads(), threads);
    for (const Index tasks : {0, 1, 2, 3, 100, 10000}) {
      const Tally tally(tasks);
      execute(tasks, tally);
      EXPECT_TRUE(tally.all_once()) << threads << " threads, " << tasks << " tasks";
    }
  }
}

TEST(Executor, RunsInPlaceInsideAWorkerOfThePool) {
  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  const Tally tally(50);
  bool elsewhere = false;
  Eigen::Barrier done(2);
  for (int i = 0; i < 2; ++i)  // both workers at once: nobody is left to wait for
    pool.Schedule([&, i] {
      const Executor execute(device);
      const auto here = std::this_thread::get_id();
      EXPECT_EQ(execute.threads(), 1);
      execute(25, [&, i](Index task) noexcept {
        if (std::this_thread::get_id() != here) elsewhere = true;
        tally(task + 25 * i);
      });
      done.Notify();
    });
  done.Wait();
  EXPECT_TRUE(tally.all_once());
  EXPECT_FALSE(elsewhere);
}

TEST(Executor, APoolThatRefusesCostsSpeedNotTheResult) {
  for (const int accepted : {0, 1}) {
    RefusingPool pool(accepted);
    const Eigen::ThreadPoolDevice device(&pool, 4);
    const Tally tally(100);
    const Executor execute(device);
    execute(100, tally);
    EXPECT_TRUE(tally.all_once());
  }
}

TEST(Executor, HelpersAreGoneWhenTheCallReturns) {
  Eigen::ThreadPool pool(4);
  const Eigen::ThreadPoolDevice device(&pool, 4);
  const Executor execute(device);
  for (int round = 0; round < 2000; ++round) {
    const auto tally = std::make_unique<Tally>(4);  // freed right after the call: a late helper would touch it
    execute(4, *tally);
    ASSERT_TRUE(tally->all_once());
  }
}

TEST(Executor, SmallWorkStaysOnTheCallingThread) {
  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  EXPECT_EQ(executor_for(device, 100).threads(), 1);
  EXPECT_EQ(executor_for(device, 1000000).threads(), 2);
  EXPECT_EQ(executor_for(Eigen::DefaultDevice(), 1000000).threads(), 1);
}

}  // namespace
