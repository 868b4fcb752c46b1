// A thread pool that never allocates once it stands.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>
#include <utility>
#include <vector>

namespace support {

/// Eigen's own pool allocates a task for each closure, which would hide what the library allocates. This one keeps its
/// closures in a ring of fixed size; a std::function of a small closure lives in itself.
class FixedPool final : public Eigen::ThreadPoolInterface {
 public:
  explicit FixedPool(int threads) {
    for (int id = 0; id < threads; ++id) threads_.emplace_back([this, id] { work(id); });
    // A sanitizer allocates while a thread starts: let that be over before anybody counts.
    std::unique_lock lock(mutex_);
    started_.wait(lock, [&] { return running_ == threads; });
  }

  ~FixedPool() override {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    ready_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void Schedule(std::function<void()> closure) override {
    {
      const std::lock_guard lock(mutex_);
      ++scheduled_;
      if (waiting_ < ring_.size()) {
        ring_[(first_ + waiting_++) % ring_.size()] = std::move(closure);
        ready_.notify_one();
        return;
      }
    }
    closure();  // no room: where Eigen's pool runs it too
  }

  int NumThreads() const override { return static_cast<int>(threads_.size()); }
  int CurrentThreadId() const override { return current().pool == this ? current().id : -1; }

  /// How many closures there were so far.
  std::size_t scheduled() const {
    const std::lock_guard lock(mutex_);
    return scheduled_;
  }

 private:
  struct Worker {
    const FixedPool* pool = nullptr;
    int id = -1;
  };
  static Worker& current() {
    static thread_local Worker worker;
    return worker;
  }

  void work(int id) {
    current() = {this, id};
    std::unique_lock lock(mutex_);
    ++running_;
    started_.notify_one();
    while (true) {
      ready_.wait(lock, [this] { return closing_ || waiting_ > 0; });
      if (waiting_ == 0) return;
      const std::function<void()> closure = std::exchange(ring_[first_], nullptr);
      first_ = (first_ + 1) % ring_.size();
      --waiting_;
      lock.unlock();
      closure();
      lock.lock();
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable ready_, started_;
  int running_ = 0;
  std::array<std::function<void()>, 256> ring_;
  std::size_t first_ = 0, waiting_ = 0, scheduled_ = 0;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace support
