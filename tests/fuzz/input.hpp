// What a fuzzer gives, as choices and numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

namespace fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : left_(data, size) {}

  bool is_empty() const { return left_.empty(); }
  /// One of 0 to count - 1, at most 65536 of them; 0 where nothing is left.
  std::uint32_t choose(std::uint32_t count) { return count > 256 ? (256u * byte() + byte()) % count : byte() % count; }
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + choose(static_cast<std::uint32_t>(most - least + 1));
  }
  template <class T, std::size_t count>
  const T& one_of(const T (&all)[count]) {
    return all[choose(count)];
  }

 private:
  std::uint8_t byte() {
    if (left_.empty()) return 0;
    const std::uint8_t first = left_.front();
    left_ = left_.subspan(1);
    return first;
  }

  std::span<const std::uint8_t> left_;
};

/// Ends the program, which is how a fuzzer is told of a mistake.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::abort();
}

}  // namespace fuzz
