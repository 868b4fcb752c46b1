#pragma once

#include <concepts>
#include <cstddef>
#include <span>

namespace normkit {

/// Processes that train on parts of one batch, each of them a rank. One operation:
///   all_gather(own)   the messages of all ranks in the order of ranks, one after the other, as a container or as a view that holds
///                     until the next call. Every rank calls it the same number of times, with messages of the same length, and
///                     gets the same bytes.
/// It may throw where the exchange itself fails. All merging is the library's, in the order of ranks: whatever the transport, all
/// ranks have the same bits, in every run.
template <class C>
concept Communicator = requires(C& communicator, std::span<const std::byte> own) {
  { communicator.all_gather(own) } -> std::convertible_to<std::span<const std::byte>>;
};

/// The only rank there is. A call with it is the call without a communicator.
struct SingleProcess {
  /// Its own message.
  std::span<const std::byte> all_gather(std::span<const std::byte> own) const noexcept { return own; }
};
inline constexpr SingleProcess single_process;  // one for all

}  // namespace normkit
