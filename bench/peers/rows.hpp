// What is measured: the lines of rows/*.txt, each in the passes, layouts, types and thread counts it stands for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace peers {

using Extents = std::vector<std::int64_t>;

enum class Norm { batch, instance, group, layer, rms };

inline const char* name_of(Norm norm) {
  constexpr const char* names[] = {"BatchNorm", "InstanceNorm", "GroupNorm", "LayerNorm", "RMSNorm"};
  return names[static_cast<int>(norm)];
}

enum class Pass { train, eval, backward };

inline const char* name_of(Pass pass) {
  return pass == Pass::train ? "train" : pass == Pass::eval ? "eval" : "backward";
}

/// One norm over one tensor, and what is fused with it. Extents stand in the order of memory, slow to fast, so that no library needs to be told of
/// RowMajor and ColMajor: the latter is the former with its axes reversed.
struct Row {
  std::string network;
  Norm norm;
  bool column_major;
  Extents extents;
  std::size_t axis, axes;  // LayerNorm, RMSNorm: so many axes from this one on. The others: the channels
  std::int64_t groups;     // GroupNorm, and InstanceNorm: of the channels
  bool adds, rectifies;    // BatchNorm: a sum and a ReLU behind it, or a ReLU alone. LayerNorm, RMSNorm: of a sum
  std::string shape;       // as its user would say it: "32x256x56x56 NHWC, add, ReLU"

  std::int64_t product(std::size_t begin, std::size_t end) const {
    std::int64_t n = 1;
    for (std::size_t a = begin; a < end; ++a) n *= extents[a];
    return n;
  }
  std::int64_t size() const { return product(0, extents.size()); }
  std::int64_t outer() const { return product(0, axis); }
  std::int64_t middle() const { return product(axis, axis + axes); }
  std::int64_t inner() const { return product(axis + axes, extents.size()); }
  std::int64_t params() const { return middle(); }
  bool has_channels() const { return norm <= Norm::group; }
  bool is_fused() const { return adds || rectifies; }
  std::int64_t stats() const {
    return norm == Norm::batch ? middle() : has_channels() ? extents.front() * groups : outer() * inner();
  }
};

/// Of one file, named by its network. Images of norms of channels stand for both layouts, NCHW and NHWC. Throws
/// std::runtime_error with file and line where one is not understood.
std::vector<Row> read_rows(const std::filesystem::path& file);

}  // namespace peers
