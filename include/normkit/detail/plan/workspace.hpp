#pragma once

#include <cstddef>
#include <memory>

#include <normkit/detail/kernel/block.hpp>

namespace normkit::detail {

/// Memory for partial results, kept by a functor from call to call so that only the first call with a shape allocates.
/// It is memory, not state: a copy begins empty, and what is assigned to keeps its own.
class Workspace {
 public:
  Workspace() = default;
  Workspace(const Workspace&) noexcept {}
  Workspace(Workspace&&) noexcept = default;
  Workspace& operator=(const Workspace&) noexcept { return *this; }
  ~Workspace() = default;

  /// Makes room for that many bytes and forgets what stood there. Throws std::bad_alloc and keeps the old room.
  std::byte* reserve(std::size_t bytes) {
    if (!bytes_ || bytes > size_) {
      bytes_.reset(new std::byte[bytes]);
      size_ = bytes;
    }
    return bytes_.get();
  }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t size_ = 0;
};

/// Rounded up so that what follows is aligned for every number kept here.
inline constexpr std::size_t aligned(std::size_t bytes) noexcept { return (bytes + 15) / 16 * 16; }

/// What reducing leaves of each group, as arrays: on the stack for one tile, or in a workspace for all groups.

template <class Partial>
struct PartialStore;

template <Scalar T>
struct PartialStore<Moments<T>> {
  T pivot[max_groups];
  Wide<T> delta[max_groups], m2[max_groups];
  Exponent<T> exponent[max_groups];

  Moments<T> view() noexcept { return {pivot, delta, m2, exponent}; }

  static constexpr std::size_t bytes(Index groups) noexcept {
    return aligned(static_cast<std::size_t>(groups) * (2 * sizeof(Wide<T>) + sizeof(T) + sizeof(Exponent<T>)));
  }
  static Moments<T> in(std::byte* memory, Index groups) noexcept {
    auto* const wide = reinterpret_cast<Wide<T>*>(memory);
    auto* const pivot = reinterpret_cast<T*>(wide + 2 * groups);
    return {pivot, wide, wide + groups, reinterpret_cast<Exponent<T>*>(pivot + groups)};
  }
};

template <Scalar T>
struct PartialStore<GradientSums<T>> {
  Wide<T> dy[max_groups], dy_x[max_groups];
  Exponent<T> dy_exponent[max_groups], dy_x_exponent[max_groups];

  GradientSums<T> view() noexcept { return {dy, dy_x, dy_exponent, dy_x_exponent}; }

  static constexpr std::size_t bytes(Index groups) noexcept {
    return aligned(static_cast<std::size_t>(groups) * 2 * (sizeof(Wide<T>) + sizeof(Exponent<T>)));
  }
  static GradientSums<T> in(std::byte* memory, Index groups) noexcept {
    auto* const wide = reinterpret_cast<Wide<T>*>(memory);
    auto* const exponents = reinterpret_cast<Exponent<T>*>(wide + 2 * groups);
    return {wide, wide + groups, exponents, exponents + groups};
  }
};

}  // namespace normkit::detail
