#pragma once

#include <atomic>
#include <concepts>
#include <condition_variable>
#include <mutex>
#include <type_traits>

#include <normkit/detail/simd/scalar.hpp>

namespace normkit::detail {

/// A device that brings threads: Eigen's ThreadPoolDevice and whatever has its two members.
template <class D>
concept PoolDevice = requires(const D& device) {
  { device.numThreads() } -> std::convertible_to<int>;
  device.getPool()->Schedule([] {});
  { device.getPool()->CurrentThreadId() } -> std::convertible_to<int>;
};

/// A task by reference: what to call for each number. The body outlives the calls.
class TaskRef {
 public:
  template <class Body>
  explicit TaskRef(const Body& body) noexcept
      : body_(&body), call_([](const void* erased, Index i) noexcept { (*static_cast<const Body*>(erased))(i); }) {}

  void operator()(Index i) const noexcept { call_(body_, i); }

 private:
  const void* body_;
  void (*call_)(const void*, Index) noexcept;
};

/// A piece of work that stands on the caller's stack. Caller and helpers take tasks from one atomic counter; the caller
/// leaves only after every helper has, so that what the closures point at outlives them.
class Job {
 public:
  Job(Index tasks, TaskRef task) noexcept : tasks_(tasks), task_(task) {}

  template <class Pool>
  void run(Pool& pool, Index helpers) noexcept {
    for (Index h = 0; h < helpers; ++h) {
      enter();
      try {
        // One pointer: std::function keeps up to 16 bytes in itself, so scheduling does not allocate here.
        pool.Schedule([this] { help(); });
      } catch (...) {  // a pool that refuses costs speed, not the result
        leave();
        break;
      }
    }
    work();
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return helpers_ == 0; });
  }

 private:
  void work() noexcept {
    for (Index i = next_.fetch_add(1, std::memory_order_relaxed); i < tasks_;
         i = next_.fetch_add(1, std::memory_order_relaxed))
      task_(i);
  }
  void help() noexcept {
    work();
    leave();
  }
  void enter() noexcept {
    const std::lock_guard lock(mutex_);
    ++helpers_;
  }
  void leave() noexcept {
    const std::lock_guard lock(mutex_);
    if (--helpers_ == 0) idle_.notify_one();  // under the lock: the job may be gone right after it
  }

  const Index tasks_;
  const TaskRef task_;
  std::atomic<Index> next_{0};
  std::mutex mutex_;
  std::condition_variable idle_;
  Index helpers_ = 0;
};

/// Runs tasks 0 .. n-1 on a device. Its type does not depend on the device, so that everything below it is compiled
/// once.
class Executor {
 public:
  /// The calling thread alone, in order.
  Executor() = default;

  /// The calling thread, helped by those of a pool. A call from one of the pool's own workers runs where it is: waiting
  /// for the pool from inside it could wait for ever.
  template <class Device>
  explicit Executor(const Device& device) noexcept {
    if constexpr (PoolDevice<Device>) {
      if (device.getPool()->CurrentThreadId() >= 0 || device.numThreads() < 2) return;
      threads_ = device.numThreads();
      pool_ = device.getPool();
      run_ = [](void* pool, Job& job, Index helpers) noexcept {
        job.run(*static_cast<std::remove_reference_t<decltype(*device.getPool())>*>(pool), helpers);
      };
    }
  }

  int threads() const noexcept { return threads_; }

  template <class Body>
  void operator()(Index tasks, const Body& body) const noexcept {
    const Index helpers = (tasks < threads_ ? tasks : threads_) - 1;
    if (helpers > 0) {
      Job job(tasks, TaskRef(body));
      run_(pool_, job, helpers);
    } else {
      for (Index i = 0; i < tasks; ++i) body(i);
    }
  }

 private:
  int threads_ = 1;
  void* pool_ = nullptr;
  void (*run_)(void* pool, Job& job, Index helpers) noexcept = nullptr;
};

/// Below this many elements a call stays on its thread: handing work over costs about 10 us.
inline constexpr Index serial_elements = 32768;

/// The executor that fits the device and the amount of work.
template <class Device>
Executor executor_for(const Device& device, Index elements) noexcept {
  return elements > serial_elements ? Executor(device) : Executor();
}

}  // namespace normkit::detail
