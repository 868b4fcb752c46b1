// Tasks on threads: each once, the caller helping, nothing left behind.
#define EIGEN_USE_THREADS
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <normkit/detail/plan/executor.hpp>
#include <thread>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include "support/refusing_pool.hpp"

namespace {

using normkit::Index;
using normkit::detail::Executor;
using normkit::detail::executor_for;

/// Counts how often each task ran.
class Tally {
 public:
  explicit Tally(Index tasks) : counts_(static_cast<std::size_t>(tasks)) {}
  void operator()(Index task) const noexcept { counts_[static_cast<std::size_t>(task)].fetch_add(1); }
  bool all_once() const { return all(1); }
  bool none() const { return all(0); }

 private:
  bool all(int times) const {
    for (const auto& count : counts_)
      if (count.load() != times) return false;
    return true;
  }

  mutable std::vector<std::atomic<int>> counts_;
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
    support::RefusingPool<> pool(accepted);
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

/// A pool that keeps its closures until it is asked to run them.
class LatePool : public Eigen::ThreadPoolInterface {
 public:
  void Schedule(std::function<void()> closure) override { kept_.push_back(std::move(closure)); }
  int NumThreads() const override { return 4; }
  int CurrentThreadId() const override { return -1; }
  std::size_t kept() const { return kept_.size(); }
  void run_all() {
    for (const auto& closure : kept_) closure();
    kept_.clear();
  }

 private:
  std::vector<std::function<void()>> kept_;
};

TEST(Executor, HelpersThatThePoolStartsTooLateDoNothing) {
  LatePool pool;
  const Eigen::ThreadPoolDevice device(&pool, 4);
  const Executor execute(device);
  const Tally first(100);
  execute(100, first);  // waits for nobody
  EXPECT_TRUE(first.all_once());
  EXPECT_EQ(pool.kept(), 3u);
  std::size_t kept = 0;
  const Tally second(100);
  // In the middle of the next call: void are the helpers of the first one, and those of the second join.
  execute(100, [&](Index task) noexcept {
    if (task == 50) kept = pool.kept(), pool.run_all();
    second(task);
  });
  EXPECT_EQ(kept, 6u);
  EXPECT_TRUE(first.all_once());
  EXPECT_TRUE(second.all_once());
}

TEST(Executor, ABusyPoolIsNotHandedClosuresWithoutEnd) {
  LatePool pool;
  const Eigen::ThreadPoolDevice device(&pool, 4);
  const Executor execute(device);
  for (int call = 0; call < 1000; ++call) execute(100, [](Index) noexcept {});
  EXPECT_LE(pool.kept(), 3u * 8u);
  pool.run_all();
  execute(100, [](Index) noexcept {});
  EXPECT_EQ(pool.kept(), 3u) << "it has caught up: helpers again";
  pool.run_all();
}

TEST(Executor, HasAsManyThreadsAsAJobCanCountHelpers) {
  LatePool pool;
  EXPECT_EQ(Executor(Eigen::ThreadPoolDevice(&pool, 100000)).threads(), 65535);
}

TEST(Job, AdmitsHelpersOfItsOwnOpeningAlone) {
  normkit::detail::Job* const job = normkit::detail::Job::take();
  ASSERT_NE(job, nullptr);
  const Tally first(3), second(3);
  const auto early = job->open(3, normkit::detail::TaskRef(first));
  job->close();  // with its tasks undone
  job->help(early);
  EXPECT_TRUE(first.none()) << "after the call";
  EXPECT_EQ(normkit::detail::Job::take(), job) << "closed: free again";
  const auto late = job->open(3, normkit::detail::TaskRef(second));
  job->help(early);
  EXPECT_TRUE(second.none()) << "in the call after it";
  job->help(late);
  EXPECT_TRUE(second.all_once());
  job->close();
  EXPECT_TRUE(first.none());
}

TEST(Executor, TwoPoolsWhoseWorkersCallIntoEachOtherReturn) {
  Eigen::ThreadPool one(2), other(2);
  const Eigen::ThreadPoolDevice on_one(&one, 2), on_other(&other, 2);
  const Tally tally(400);
  Eigen::Barrier started(4), done(4);
  for (int i = 0; i < 4; ++i)
    (i < 2 ? one : other).Schedule([&, i] {
      started.Notify();
      started.Wait();  // every worker of both pools is inside a task: none is free to help
      Executor(i < 2 ? on_other : on_one)(100, [&, i](Index task) noexcept { tally(100 * i + task); });
      done.Notify();
    });
  done.Wait();
  EXPECT_TRUE(tally.all_once());
}

TEST(Executor, MoreCallsAtOnceThanThereAreJobs) {
  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  constexpr int calls = 100;
  const Tally tally(calls * 3);
  Eigen::Barrier inside(calls), done(calls);
  std::vector<std::thread> callers;
  for (int i = 0; i < calls; ++i)
    callers.emplace_back([&, i] {
      const Executor execute(device);
      execute(3, [&, i](Index task) noexcept {
        tally(3 * i + task);
        if (task == 0) {
          inside.Notify();
          inside.Wait();  // all calls are under way
        }
      });
      done.Notify();
    });
  done.Wait();
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(tally.all_once());
}

TEST(Executor, SmallWorkStaysOnTheCallingThread) {
  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  EXPECT_EQ(executor_for(device, 100).threads(), 1);
  EXPECT_EQ(executor_for(device, 1000000).threads(), 2);
  EXPECT_EQ(executor_for(Eigen::DefaultDevice(), 1000000).threads(), 1);
}

}  // namespace
