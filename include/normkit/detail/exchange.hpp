#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <normkit/communicator.hpp>
#include <normkit/detail/plan/workspace.hpp>
#include <normkit/error.hpp>

namespace normkit::detail {

/// What a rank says of its part of a call, ahead of the arrays that the call is about.
struct RankHeader {
  enum Call : std::int32_t { forward = 1, backward = 2 };

  std::int64_t count = 0;  // values of each channel
  std::int64_t before =
      0;  // of a backward: those that its forward had on all ranks, -1 where it used running statistics
  Call call = forward;
  std::int32_t refused = 0;  // the part cannot be done: in place of the arrays stands why

  bool belongs_to(const RankHeader& other) const noexcept { return call == other.call && before == other.before; }
  std::string text() const {
    if (call == forward) return "a forward";
    if (before < 0) return "the backward of running statistics";
    return "the backward of a forward of " + std::to_string(before) + " values per channel";
  }
};

/// A header and the arrays of every channel, as they are sent. What is received is copied into one before it is read: it may stand at
/// any address.
template <class Arrays>
class RankMessage {
  static constexpr std::size_t header_bytes = aligned(sizeof(RankHeader));

 public:
  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  Index channels() const noexcept { return channels_; }
  Arrays arrays() noexcept { return PartialStore<Arrays>::in(bytes_.data() + header_bytes, channels_); }

  /// All of it is 0 then: bytes that nobody has written would be sent otherwise.
  void resize(Index channels) {
    bytes_.assign(header_bytes + PartialStore<Arrays>::bytes(channels), std::byte{0});
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
    std::ranges::fill(room, std::byte{0});
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

/// What the ranks know of one call each, and together. `Whole` is Moments or GradientSums.
template <class Whole>
class Exchange {
 public:
  using Arrays = decltype(std::declval<Whole&>().arrays());

  /// This rank's own part, and that of all ranks, of the last `combine`.
  Arrays own() noexcept { return own_.arrays(); }
  Whole& whole() noexcept { return whole_; }

  /// Does this rank's part of a call: part(arrays) fills them and returns of how many values of each channel. Then merges those of
  /// all ranks, in their order. What the part throws is thrown after the exchange, and rank_error on all other ranks: none of them
  /// is left waiting.
  /// Throws   also state_error on all ranks, where they are not in the same call
  template <class C, class Part>
  void combine(C& communicator, std::string_view layer, Index channels, RankHeader header, const Part& part) {
    if (own_.channels() != channels) {
      whole_ = Whole(channels);
      received_.resize(channels);
      own_.resize(channels);
    }
    std::exception_ptr error;
    try {
      header.count = part(own_.arrays());
      own_.set(header);
    } catch (const std::exception& refusal) {
      own_.refuse(header, refusal.what());
      error = std::current_exception();
    } catch (...) {
      own_.refuse(header, "");
      error = std::current_exception();
    }
    const std::span<const std::byte> all = communicator.all_gather(own_.bytes());
    if (error) std::rethrow_exception(error);

    const std::size_t size = own_.bytes().size();
    if (all.empty() || all.size() % size != 0)
      throw argument_error(std::string(layer) + ": expected all_gather to give a message of " + std::to_string(size) +
                           " bytes from each rank, got " + std::to_string(all.size()) + " bytes in all");
    const auto each = [&](const auto& action) {
      for (std::size_t rank = 0; rank * size < all.size(); ++rank) {
        const std::span<const std::byte> message = all.subspan(rank * size, size);
        action(rank, message, RankMessage<Arrays>::header_of(message));
      }
    };
    each([&](std::size_t rank, std::span<const std::byte> message, const RankHeader& other) {
      if (other.refused) {
        received_.receive(message);
        throw rank_error(std::string(layer) + ": rank " + std::to_string(rank) +
                         " has refused its part: " + received_.reason());
      }
      if (!other.belongs_to(header))
        throw state_error(std::string(layer) + ": expected all ranks to be in " + header.text() + ", got rank " +
                          std::to_string(rank) + " in " + other.text());
    });
    whole_.clear();
    each([&](std::size_t, std::span<const std::byte> message, const RankHeader& other) {
      received_.receive(message);
      whole_.add(received_.arrays(), other.count);
    });
  }

 private:
  RankMessage<Arrays> own_, received_;
  Whole whole_;
};

}  // namespace normkit::detail
