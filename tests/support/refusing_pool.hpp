// A thread pool that will not have the work.
#pragma once

#include <exception>
#include <functional>
#include <unsupported/Eigen/CXX11/ThreadPool>

namespace support {

struct Full : std::exception {};

/// Takes so many closures, each run at once, and refuses the others by an exception.
template <class Error = Full>
class RefusingPool : public Eigen::ThreadPoolInterface {
 public:
  explicit RefusingPool(int accepted) : accepted_(accepted) {}
  void Schedule(std::function<void()> closure) override {
    if (accepted_-- <= 0) throw Error();
    closure();
  }
  int NumThreads() const override { return 4; }
  int CurrentThreadId() const override { return -1; }

 private:
  int accepted_;
};

}  // namespace support
