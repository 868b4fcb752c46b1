#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <normkit/communicator.hpp>
#include <normkit/detail/plan/workspace.hpp>
#include <normkit/error.hpp>

namespace normkit::detail {

/// What a rank says of its part of a call, ahead of the arrays that the call is about.
struct RankHeader {
  enum Call : std::int16_t { forward = 1, backward = 2 };

  std::int64_t count = 0;  // values of each channel
  std::int64_t before =
      0;  // of a backward: those that its forward had on all ranks, -1 where it used running statistics
  std::int64_t channels = 0;  // of the layer
  Call call = forward;
  std::int16_t scalar_bytes = 0;
  std::int32_t refused = 0;  // the part cannot be done: in place of the arrays stands why

  bool belongs_to(const RankHeader& other) const noexcept {
    return call == other.call && before == other.before && channels == other.channels &&
           scalar_bytes == other.scalar_bytes;
  }
  std::string text() const {
    std::string text = call == forward ? "a forward" : "the backward of ";
    if (call == backward)
      text += before < 0 ? "running statistics" : "a forward of " + std::to_string(before) + " values per channel";
    return text + " of " + std::to_string(channels) + " channels of " + (scalar_bytes == 4 ? "float" : "double");
  }
};

/// A header and the arrays of every channel, as they are sent: as long for a backward as for a forward, so that two ranks of which
/// one does this and the other that can tell each other. What is received is copied into one before it is read: it may stand at any
/// address.
template <Scalar T>
class RankMessage {
  static constexpr std::size_t header_bytes = aligned(sizeof(RankHeader));
  static constexpr std::size_t reason_bytes = 192;  // for most reasons, where channels are few

 public:
  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  template <class Arrays>
  Arrays arrays() noexcept {
    return PartialStore<Arrays>::in(bytes_.data() + header_bytes, channels_);
  }

  /// Makes room, where there is not. All of it is 0 then: bytes that nobody has written would be sent otherwise.
  void reserve(Index channels) {
    const std::size_t size = header_bytes + std::max({PartialStore<Moments<T>>::bytes(channels),
                                                      PartialStore<GradientSums<T>>::bytes(channels), reason_bytes});
    if (bytes_.size() != size) bytes_.assign(size, std::byte{0});
    channels_ = channels;
  }
  void receive(std::span<const std::byte> message) noexcept {
    std::memcpy(bytes_.data(), message.data(), message.size());
  }

  static RankHeader header_of(std::span<const std::byte> message) noexcept {
    RankHeader header;
    std::memcpy(&header, message.data(), sizeof header);
    return header;
  }
  void set(const RankHeader& header) noexcept { std::memcpy(bytes_.data(), &header, sizeof header); }

  /// As much of `why` as there is room for.
  void refuse(RankHeader header, const char* why) noexcept {
    header.count = 0;
    header.refused = 1;
    set(header);
    const std::span<std::byte> room = std::span(bytes_).subspan(header_bytes);
    std::fill(room.begin(), room.end(), std::byte{0});
    std::memcpy(room.data(), why, std::min(std::strlen(why), room.size()));
  }
  std::string reason() const {
    const char* const text = reinterpret_cast<const char*>(bytes_.data() + header_bytes);
    return std::string(text, std::find(text, text + (bytes_.size() - header_bytes), '\0'));
  }

 private:
  std::vector<std::byte> bytes_;
  Index channels_ = 0;
};

/// The messages of one layer, kept from call to call.
template <Scalar T>
class Exchange {
 public:
  /// This rank's own part of the last `combine`.
  template <class Arrays>
  Arrays own() noexcept {
    return own_.template arrays<Arrays>();
  }

  /// Does this rank's part of a call: part(arrays) fills them and returns of how many values of each channel. Then merges those of
  /// all ranks into `whole`, Moments or GradientSums, in the order of ranks. What the part throws is thrown after the exchange, and
  /// rank_error on all other ranks: none of them is left waiting.
  /// Throws   also state_error on all ranks, where they are not in the same call; std::bad_alloc, before the exchange, where there
  ///          is no memory for messages
  template <class C, class Whole, class Part>
  void combine(C& communicator, std::string_view layer, Whole& whole, RankHeader header, const Part& part) {
    using Arrays = decltype(whole.arrays());
    const Index channels = static_cast<Index>(header.channels);
    if (whole.channels() != channels) whole = Whole(channels);
    received_.reserve(channels);
    own_.reserve(channels);
    header.scalar_bytes = sizeof(T);

    std::exception_ptr error;
    attempt<std::exception>(
        [&] {
          header.count = part(own<Arrays>());
          own_.set(header);
        },
        [&](const char* reason) {
          own_.refuse(header, reason);
          error = std::current_exception();
        });
    auto&& gathered = communicator.all_gather(own_.bytes());  // where it is a container, it lives as long as this
    const std::span<const std::byte> all = gathered;
    if (error) std::rethrow_exception(error);

    const std::size_t size = own_.bytes().size();
    if (all.empty() || all.size() % size != 0)
      raise(argument_error(words(layer) + ": expected all_gather to give a message of " + std::to_string(size) +
                           " bytes from each rank, got " + std::to_string(all.size()) + " bytes in all"));
    const auto each = [&](const auto& action) {
      for (std::size_t rank = 0; rank * size < all.size(); ++rank) {
        const std::span<const std::byte> message = all.subspan(rank * size, size);
        action(rank, message, RankMessage<T>::header_of(message));
      }
    };
    each([&](std::size_t rank, std::span<const std::byte> message, const RankHeader& other) {
      if (!other.refused) return;
      received_.receive(message);
      raise(rank_error(words(layer) + ": rank " + std::to_string(rank) + " has refused its part: " + received_.reason(),
                       static_cast<int>(rank)));
    });
    each([&](std::size_t rank, std::span<const std::byte>, const RankHeader& other) {
      if (!other.belongs_to(header))
        raise(state_error(words(layer) + ": expected all ranks to be in " + header.text() + ", got rank " +
                          std::to_string(rank) + " in " + other.text()));
    });
    whole.clear();
    each([&](std::size_t, std::span<const std::byte> message, const RankHeader& other) {
      received_.receive(message);
      whole.add(received_.template arrays<Arrays>(), static_cast<Index>(other.count));
    });
  }

 private:
  RankMessage<T> own_, received_;
};

}  // namespace normkit::detail
