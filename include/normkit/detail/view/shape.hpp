#pragma once

#include <array>
#include <limits>
#include <optional>
#include <span>
#include <string>

#include <normkit/detail/simd/scalar.hpp>

namespace normkit::detail {

/// The most axes a tensor can have here; ADR-0001 says why it is fixed.
inline constexpr int max_rank = 16;

inline std::string list_of(std::span<const Index> numbers) {
  std::string text = "(";
  for (std::size_t i = 0; i < numbers.size(); ++i) text += (i ? ", " : "") + std::to_string(numbers[i]);
  return text + (numbers.size() == 1 ? ",)" : ")");
}

/// The product of the extents, or nothing where one is negative or the product of the nonzero ones exceeds `limit`.
inline std::optional<Index> checked_product(std::span<const Index> extents,
                                            Index limit = std::numeric_limits<Index>::max()) noexcept {
  Index product = 1;
  bool empty = false;
  for (const Index extent : extents) {
    if (extent < 0) return std::nullopt;
    empty |= extent == 0;
    if (extent == 0) continue;
    // Factors of half the digits have a product; a division for each extent is what a call on a short row would notice.
    const bool holds = ((product | extent) >> (std::numeric_limits<Index>::digits / 2)) == 0;
    if (holds ? product * extent > limit : product > limit / extent) return std::nullopt;
    product *= extent;
  }
  return empty ? 0 : product;
}

/// A tensor's extents in logical order, and how its axes lie in memory.
struct Shape {
  std::array<Index, max_rank> extents{};
  int rank = 0;
  bool row_major = true;
  bool has_gaps = false;  // between the elements, of a block of a matrix: refused wherever a tensor is taken
  Index index_limit = std::numeric_limits<Index>::max();  // of the tensor's own index type

  std::span<const Index> axes() const noexcept { return {extents.data(), static_cast<std::size_t>(rank)}; }
  Index operator[](Index axis) const noexcept { return extents[static_cast<std::size_t>(axis)]; }

  /// The place of an axis in memory order, from slow to fast.
  Index place(Index axis) const noexcept { return row_major ? axis : rank - 1 - axis; }

  /// Valid only for a shape whose product has been checked.
  Index size() const noexcept {
    Index product = 1;
    for (const Index extent : axes()) product *= extent;
    return product;
  }
  std::string text() const { return list_of(axes()); }
  std::string order() const { return row_major ? " RowMajor" : " ColMajor"; }

  /// The same extents at the same places in memory; the width of the index type does not matter.
  friend bool operator==(const Shape& a, const Shape& b) noexcept {
    if (a.rank != b.rank || (a.row_major != b.row_major && a.rank > 1)) return false;
    for (Index i = 0; i < a.rank; ++i)
      if (a[i] != b[i]) return false;
    return true;
  }
};

}  // namespace normkit::detail
