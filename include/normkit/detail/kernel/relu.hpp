#pragma once

#include <normkit/detail/kernel/table.hpp>

/// What kernels are called with in the place of a pointer where a ReLU stands behind the norm.
namespace normkit::detail {

/// One bit for each element of a tensor. Elements that lie in memory one after the other and belong to one run of a kernel, `row`
/// of them, begin with a byte of their own: no two threads write the same one.
template <class Byte>  // std::uint8_t, perhaps const
struct BitRows {
  /// Kernels read bits by words of 32 from any byte on.
  static constexpr Index padding = 4;

  Byte* bytes;
  Index row;

  static constexpr Index row_bytes(Index row) noexcept { return (row + 7) / 8; }

  /// The byte that a bit is in, and which it is there.
  struct Place {
    Byte* byte;
    int bit;
  };
  Place at(Index element) const noexcept {
    const Index above = element / row, within = element - above * row;
    return {bytes + above * row_bytes(row) + within / 8, static_cast<int>(within % 8)};
  }
};

/// dy where the mask has a bit, and zero elsewhere. A kernel that writes dx writes that to `passed` too, if that is not null.
template <Stored S>
struct Masked {
  const S* values;
  BitRows<const std::uint8_t> mask;
  S* passed;
  Index offset = 0;  // of values[0] in the tensor

  S operator[](Index i) const noexcept {
    const auto place = mask.at(offset + i);
    return *place.byte >> place.bit & 1 ? values[i] : S{};
  }
  friend Masked operator+(const Masked& masked, Index by) noexcept {
    return {masked.values + by, masked.mask, masked.passed ? masked.passed + by : nullptr, masked.offset + by};
  }
};

/// Where y = relu(v + added) goes, and into the mask where it is not zero: not for v + added <= 0, so that NaN stays. Without
/// what is added, and without a mask, where they are null.
template <Stored S>
struct Rectified {
  S* values;
  const S* added;
  BitRows<std::uint8_t> mask;
  Index offset = 0;

  friend Rectified operator+(const Rectified& to, Index by) noexcept {
    return {to.values + by, to.added ? to.added + by : nullptr, to.mask, to.offset + by};
  }
};

/// The first element of what a kernel reads or writes.
template <class S>
S* address_of(S* values) noexcept {
  return values;
}
template <Stored S>
const S* address_of(const Masked<S>& masked) noexcept {
  return masked.values;
}
template <Stored S>
S* address_of(const Rectified<S>& to) noexcept {
  return to.values;
}

/// The kernels with a ReLU: where no weight goes by element, and nothing is added to dx. All by walk.
template <Stored S>
struct ReluKernels {
  using T = Arithmetic<S>;
  using NormalizeOf = void (*)(const Block&, const S* x, const Normalization<T>&, Rectified<S>) noexcept;
  using ScaleOf = void (*)(const Block&, Masked<S> dy, const Normalization<T>&, S* dx) noexcept;
  using SumsOf = void (*)(const Block&, const S* x, Masked<S> dy, const Centre<T>&, GradientSums<T>) noexcept;
  using GradientOf = void (*)(const Block&, const S* x, Masked<S> dy, const S* added, const InputGradient<T>&,
                              S* dx) noexcept;

  SumsOf sums[2];
  NormalizeOf normalize[2];  // what is in L2 is asked for too: half of them less to compile
  ScaleOf scale[2];
  GradientOf gradient[2];
};

}  // namespace normkit::detail
