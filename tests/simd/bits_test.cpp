// Runs of bits that begin and end within a byte, against a list of booleans.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <normkit/detail/kernel/kernels.hpp>
#include <vector>

#include "support/numbers.hpp"

namespace {

namespace base = normkit::detail::baseline;
using normkit::Index;

TEST(Bits, AreWrittenFromAnyBitOn) {
  support::Numbers numbers(1);
  for (int first = 0; first < 8; ++first)
    for (const Index piece : {1, 4, 8, 16})
      for (Index length = 0; length <= 40; ++length) {
        std::vector<std::uint8_t> bytes(12, 0xa5);
        std::vector<bool> expected(8 * bytes.size());
        for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = 0xa5 >> i % 8 & 1;
        base::BitWriter writer = base::BitWriter::at(bytes.data(), first);
        for (Index i = 0; i < length; i += piece) {
          const Index count = std::min(piece, length - i);
          const auto bits = static_cast<unsigned>(numbers.bits(static_cast<int>(count)));
          writer.put(i, count, bits);
          for (Index k = 0; k < count; ++k) expected[static_cast<std::size_t>(first + i + k)] = bits >> k & 1u;
        }
        writer.end(length);
        for (auto i = static_cast<std::size_t>(first + length); i % 8 != 0; ++i) expected[i] = false;
        for (std::size_t i = 0; i < expected.size(); ++i)
          ASSERT_EQ(bytes[i / 8] >> i % 8 & 1, int{expected[i]}) << first << ' ' << length << ' ' << i;
        for (Index i = 0; i < length; ++i) {
          const unsigned read = base::bits_from(bytes.data(), first + i);
          for (std::size_t k = 0; k < 16; ++k)
            ASSERT_EQ(read >> k & 1u, expected[static_cast<std::size_t>(first + i) + k])
                << first << ' ' << i << ' ' << k;
        }
      }
}

}  // namespace
