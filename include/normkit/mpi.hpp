#pragma once

// MPI's own C++ interface, which is gone since MPI 3, is not wanted.
#if !defined(OMPI_SKIP_MPICXX)
#define OMPI_SKIP_MPICXX 1
#endif
#if !defined(MPICH_SKIP_MPICXX)
#define MPICH_SKIP_MPICXX 1
#endif
#include <mpi.h>

#include <cstddef>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <normkit/communicator.hpp>
#include <normkit/error.hpp>

// Optional, target normkit::mpi: a BatchNorm across the processes of an MPI program.
namespace normkit {

/// MPI has failed, with this code. What it has left undone on other ranks nobody knows.
struct mpi_error : std::runtime_error {
  explicit mpi_error(int error) : std::runtime_error("MPI: " + text(error)), code(error) {}  // with MPI's text
  int code;                                                                                  // as MPI gave it

 private:
  static std::string text(int error) {
    char words[MPI_MAX_ERROR_STRING];
    int length = 0;
    return MPI_Error_string(error, words, &length) == MPI_SUCCESS ? std::string(words, static_cast<std::size_t>(length))
                                                                  : "error " + std::to_string(error);
  }
};

/// The ranks of an MPI communicator. One MPI_Allgather of bytes a call: a forward is one, a backward is one, for all channels.
/// Memory   the messages of all ranks, kept from call to call: share one MpiCommunicator among all layers
/// Threads  called by the thread that calls forward or backward, never by a pool's: MPI_THREAD_FUNNELED where that is the main thread,
///          MPI_THREAD_SERIALIZED where it is another. Layers that run at once need MPI_THREAD_MULTIPLE, and each one of its own
/// Throws   mpi_error where MPI fails and the communicator's error handler returns; MPI's default ends the program
class MpiCommunicator {
 public:
  /// Duplicates `ranks`, so that its messages and those of the program never meet; all of them call it. It keeps their error
  /// handler. To be gone before MPI_Finalize.
  /// Throws   state_error before MPI_Init and after MPI_Finalize
  explicit MpiCommunicator(MPI_Comm ranks = MPI_COMM_WORLD) {
    int begun = 0, ended = 0;
    MPI_Initialized(&begun);
    MPI_Finalized(&ended);
    if (!begun || ended)
      detail::raise(state_error("MpiCommunicator: expected to be between MPI_Init and MPI_Finalize"));
    check(MPI_Comm_dup(ranks, &ranks_));
    check(MPI_Comm_rank(ranks_, &rank_));
    check(MPI_Comm_size(ranks_, &size_));
  }
  MpiCommunicator(MpiCommunicator&& other) noexcept
      : ranks_(std::exchange(other.ranks_, MPI_COMM_NULL)),
        rank_(other.rank_),
        size_(other.size_),
        all_(std::move(other.all_)) {}
  MpiCommunicator& operator=(MpiCommunicator&& other) noexcept {
    std::swap(ranks_, other.ranks_);
    std::swap(rank_, other.rank_);
    std::swap(size_, other.size_);
    all_.swap(other.all_);
    return *this;
  }
  ~MpiCommunicator() {
    int ended = 0;
    if (ranks_ != MPI_COMM_NULL && MPI_Finalized(&ended) == MPI_SUCCESS && !ended) MPI_Comm_free(&ranks_);
  }

  int rank() const noexcept { return rank_; }  // of this process
  int size() const noexcept { return size_; }  // how many ranks there are

  /// The messages of all ranks in their order, which stand until the next call.
  /// Throws   argument_error for a message of 2 GB and more
  std::span<const std::byte> all_gather(std::span<const std::byte> own) {
    if (own.size() > std::size_t{std::numeric_limits<int>::max()})
      detail::raise(argument_error("MpiCommunicator: expected a message of less than 2 GB, got " +
                                   std::to_string(own.size()) + " bytes"));
    all_.resize(own.size() * static_cast<std::size_t>(size_));
    const int bytes = static_cast<int>(own.size());
    check(MPI_Allgather(own.data(), bytes, MPI_BYTE, all_.data(), bytes, MPI_BYTE, ranks_));
    return all_;
  }

 private:
  static void check(int error) {
    if (error != MPI_SUCCESS) detail::raise(mpi_error(error));
  }

  MPI_Comm ranks_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  std::vector<std::byte> all_;
};

}  // namespace normkit
