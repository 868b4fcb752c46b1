// Extents that find the seams of a kernel.
#pragma once

#include <cstdint>
#include <vector>

namespace support {

/// 1, W - 1, W, W + 1 for W = 4, 8, 16 and 64, which are the lanes of every register and of a virtual row, and primes.
inline std::vector<std::int64_t> seams() { return {1, 3, 4, 5, 7, 8, 9, 11, 15, 16, 17, 31, 63, 64, 65, 97}; }

/// Around several thousands, where one block ends and the next begins.
inline std::vector<std::int64_t> block_seams() { return {1023, 1024, 1025, 4095, 4096, 4097, 10007}; }

}  // namespace support
