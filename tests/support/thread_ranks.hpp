// Ranks that are threads of one process: a communicator that needs no MPI, and that a sanitizer can watch.
#pragma once

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <exception>
#include <optional>
#include <span>
#include <thread>
#include <vector>

namespace support {

class ThreadRanks {
 public:
  /// What one rank communicates by; counts what it sends.
  class Communicator {
   public:
    std::span<const std::byte> all_gather(std::span<const std::byte> own) {
      ++calls;
      bytes += own.size();
      return ranks_->all_gather(rank_, own, all_);
    }

    std::size_t calls = 0, bytes = 0;

   private:
    friend ThreadRanks;
    ThreadRanks* ranks_ = nullptr;
    std::size_t rank_ = 0;
    std::vector<std::byte> all_;
  };

  explicit ThreadRanks(int size) : sent_(static_cast<std::size_t>(size)) {}

  int size() const { return static_cast<int>(sent_.size()); }
  /// The ranks that are in this process.
  std::vector<int> here() const {
    std::vector<int> ranks(sent_.size());
    for (std::size_t rank = 0; rank < ranks.size(); ++rank) ranks[rank] = static_cast<int>(rank);
    return ranks;
  }

  /// body(rank, communicator) on all ranks. Who leaves early is no longer waited for. The first error is thrown again.
  template <class Body>
  void run(const Body& body) {
    meeting_.emplace(size());
    std::vector<std::exception_ptr> errors(sent_.size());
    std::vector<std::thread> threads;
    for (const int rank : here())
      threads.emplace_back([&, at = static_cast<std::size_t>(rank), rank] {
        Communicator communicator;
        communicator.ranks_ = this;
        communicator.rank_ = at;
        try {
          body(rank, communicator);
        } catch (...) {
          errors[at] = std::current_exception();
        }
        meeting_->arrive_and_drop();
      });
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors)
      if (error) std::rethrow_exception(error);
  }

  /// A tensor to which each rank has written its part has them all: they share it.
  template <class Tensor>
  void complete(Tensor&) {}

 private:
  std::span<const std::byte> all_gather(std::size_t rank, std::span<const std::byte> own, std::vector<std::byte>& all) {
    sent_[rank] = own;
    meeting_->arrive_and_wait();
    // At an odd address, which is not what the library might hope for.
    all.resize(1 + own.size() * sent_.size());
    for (std::size_t from = 0; from < sent_.size(); ++from)
      std::copy_n(sent_[from].data(), own.size(), all.data() + 1 + from * own.size());
    meeting_->arrive_and_wait();
    return std::span<const std::byte>(all).subspan(1);
  }

  std::vector<std::span<const std::byte>> sent_;
  std::optional<std::barrier<>> meeting_;  // of one run
};

}  // namespace support
