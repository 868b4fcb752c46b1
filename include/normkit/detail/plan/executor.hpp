#pragma once

#include <atomic>
#include <concepts>
#include <condition_variable>
#include <exception>
#include <mutex>

#include <normkit/detail/simd/scalar.hpp>

namespace normkit::detail {

/// A device that brings threads: Eigen's ThreadPoolDevice and whatever has its two members.
template <class D>
concept PoolDevice = requires(const D& device) {
  { device.numThreads() } -> std::convertible_to<int>;
  device.getPool()->Schedule([] {});
  { device.getPool()->CurrentThreadId() } -> std::convertible_to<int>;
};

/// Tasks 0 .. n-1 in order, on the calling thread.
struct SerialExecutor {
  static constexpr int threads() noexcept { return 1; }

  template <class Task>
  void operator()(Index tasks, const Task& task) const noexcept {
    for (Index i = 0; i < tasks; ++i) task(i);
  }
};

/// A piece of work that stands on the caller's stack. Caller and helpers take tasks from one atomic counter; the caller
/// leaves only after every helper has, so that what the closures point at outlives them.
template <class Task>
class Job {
 public:
  Job(Index tasks, const Task& task) noexcept : tasks_(tasks), task_(task) {}

  void work() noexcept {
    for (Index i = next_.fetch_add(1, std::memory_order_relaxed); i < tasks_;
         i = next_.fetch_add(1, std::memory_order_relaxed))
      task_(i);
  }

  template <class Pool>
  void run(Pool& pool, int helpers) noexcept {
    for (int h = 0; h < helpers; ++h) {
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
  const Task& task_;
  std::atomic<Index> next_{0};
  std::mutex mutex_;
  std::condition_variable idle_;
  int helpers_ = 0;
};

/// Tasks on a thread pool, the caller helping. A call from one of the pool's own workers runs where it is: waiting for
/// the pool from inside it could wait for ever.
template <PoolDevice Device>
class PoolExecutor {
 public:
  explicit PoolExecutor(const Device& device) noexcept
      : device_(device), threads_(device.getPool()->CurrentThreadId() >= 0 ? 1 : device.numThreads()) {}

  int threads() const noexcept { return threads_; }

  template <class Task>
  void operator()(Index tasks, const Task& task) const noexcept {
    const Index helpers = (tasks < threads_ ? tasks : threads_) - 1;
    if (helpers <= 0) return SerialExecutor{}(tasks, task);
    Job<Task>(tasks, task).run(*device_.getPool(), static_cast<int>(helpers));
  }

 private:
  const Device& device_;
  int threads_;
};

/// Below this many elements a call stays on its thread: handing work over costs about 10 us.
inline constexpr Index serial_elements = 32768;

/// Runs `body` with the executor that fits the device and the amount of work.
template <class Device, class Body>
void with_executor(const Device& device, Index elements, const Body& body) noexcept {
  if constexpr (PoolDevice<Device>) {
    if (elements > serial_elements) return body(PoolExecutor<Device>(device));
  }
  body(SerialExecutor{});
}

}  // namespace normkit::detail
