#pragma once

#include <array>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include <normkit/detail/simd/scalar.hpp>
#include <normkit/error.hpp>

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
  constexpr TaskRef() noexcept = default;
  template <class Body>
  explicit TaskRef(const Body& body) noexcept
      : body_(&body), call_([](const void* erased, Index i) noexcept { (*static_cast<const Body*>(erased))(i); }) {}

  void operator()(Index i) const noexcept { call_(body_, i); }

 private:
  const void* body_ = nullptr;
  void (*call_)(const void*, Index) noexcept = nullptr;
};

/// A piece of work that helpers may join while it is open. Caller and helpers take tasks from one atomic counter. A pool
/// may start a helper long after the call is over: its ticket then fits no longer, and it goes. So a caller waits for
/// helpers that are at work, never for a pool, and jobs stand in memory that is never freed.
class alignas(64) Job {
 public:
  /// Names one opening of a job. With the job's address it makes 16 bytes, which the std::function of 64-bit libstdc++
  /// keeps in itself: scheduling does not allocate here.
  using Ticket = std::uint64_t;
  static constexpr Index most_helpers = 65535;

  /// A job that nobody uses, or null where as many calls are under way as there are jobs.
  static Job* take() noexcept;

  Ticket open(Index tasks, TaskRef task) noexcept {
    tasks_ = tasks;
    task_ = task;
    next_.store(0, std::memory_order_relaxed);
    return state_.fetch_add(one_opening, std::memory_order_release) / one_opening + 1;
  }

  void work() noexcept {
    for (Index i = next_.fetch_add(1, std::memory_order_relaxed); i < tasks_;
         i = next_.fetch_add(1, std::memory_order_relaxed))
      task_(i);
  }

  /// Counts one more closure in the hands of a pool. False where so many are there already, not yet started, that the
  /// pool must be busy: another would only lengthen its queue.
  bool queue(Index helpers) noexcept {
    if (queued_.fetch_add(1, std::memory_order_relaxed) < 8 * helpers) return true;
    unqueue();
    return false;
  }
  void unqueue() noexcept { queued_.fetch_sub(1, std::memory_order_relaxed); }

  void help(Ticket ticket) noexcept {
    unqueue();
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    do {
      if (state / one_opening != ticket) return;
    } while (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire, std::memory_order_relaxed));
    work();
    state_.fetch_sub(1, std::memory_order_release);
    state_.notify_one();
  }

  /// Lets nobody in any more, waits for those inside, and gives the job back.
  void close() noexcept {
    std::uint64_t state = state_.fetch_add(one_opening, std::memory_order_acquire) + one_opening;
    while (state % one_opening != 0) {
      state_.wait(state, std::memory_order_acquire);
      state = state_.load(std::memory_order_acquire);
    }
    taken_.store(false, std::memory_order_release);
  }

 private:
  static constexpr std::uint64_t one_opening = most_helpers + 1;  // below it in `state_`: the helpers inside

  std::atomic<bool> taken_{false};
  std::atomic<std::uint64_t> state_{0};
  std::atomic<Index> next_{0}, queued_{0};
  Index tasks_ = 0;
  TaskRef task_;
};

/// One for each call that is under way on threads; a call that finds none free runs on its own thread.
inline constinit std::array<Job, 64> jobs{};

inline Job* Job::take() noexcept {
  for (Job& job : jobs)
    if (!job.taken_.load(std::memory_order_relaxed) && !job.taken_.exchange(true, std::memory_order_acquire))
      return &job;
  return nullptr;
}

/// Runs tasks 0 .. n-1 on a device. Its type does not depend on the device, so that everything below it is compiled
/// once.
class Executor {
 public:
  /// The calling thread alone, in order.
  Executor() = default;

  /// The calling thread, helped by those of a pool. A call from one of the pool's own workers runs where it is: the
  /// others are at work on its neighbours.
  template <class Device>
  explicit Executor(const Device& device) noexcept {
    if constexpr (PoolDevice<Device>) {
      if (device.getPool()->CurrentThreadId() >= 0 || device.numThreads() < 2) return;
      threads_ = device.numThreads() <= Job::most_helpers ? device.numThreads() : static_cast<int>(Job::most_helpers);
      pool_ = device.getPool();
      schedule_ = [](void* erased, Job* job, Job::Ticket ticket, Index helpers) noexcept {
        auto* const pool = static_cast<std::remove_reference_t<decltype(*device.getPool())>*>(erased);
        attempt<std::exception>(
            [&] {
              for (Index h = 0; h < helpers && job->queue(helpers); ++h)
                pool->Schedule([job, ticket] { job->help(ticket); });
            },
            [&](const char*) { job->unqueue(); });  // a pool that refuses costs speed, not the result
      };
    }
  }

  int threads() const noexcept { return threads_; }

  template <class Body>
  void operator()(Index tasks, const Body& body) const noexcept {
    const Index helpers = (tasks < threads_ ? tasks : threads_) - 1;
    if (Job* const job = helpers > 0 ? Job::take() : nullptr) {
      schedule_(pool_, job, job->open(tasks, TaskRef(body)), helpers);
      job->work();
      job->close();
    } else {
      for (Index i = 0; i < tasks; ++i) body(i);
    }
  }

 private:
  int threads_ = 1;
  void* pool_ = nullptr;
  void (*schedule_)(void* pool, Job* job, Job::Ticket ticket, Index helpers) noexcept = nullptr;
};

/// Below this many elements a call stays on its thread: handing work over costs about 10 us.
inline constexpr Index serial_elements = 32768;

/// The executor that fits the device and the amount of work.
template <class Device>
Executor executor_for(const Device& device, Index elements) noexcept {
  return elements > serial_elements ? Executor(device) : Executor();
}

}  // namespace normkit::detail
