#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

/// Numbers of a safetensors file: little-endian, tensors in row-major order, on any machine and of any layout.
namespace normkit::detail::safetensors {

template <class Bits>
Bits load_bits(const std::byte* from) noexcept {
  std::uint64_t bits = 0;
  for (std::size_t i = sizeof(Bits); i-- > 0;) bits = bits << 8 | std::to_integer<std::uint64_t>(from[i]);
  return static_cast<Bits>(bits);
}
template <class Bits>
void store_bits(Bits bits, std::byte* to) noexcept {
  for (std::size_t i = 0; i < sizeof(Bits); ++i)
    to[i] = static_cast<std::byte>(static_cast<std::uint64_t>(bits) >> 8 * i & 0xffu);
}
template <class Number>
using BitsOf = std::conditional_t<sizeof(Number) == 8, std::uint64_t,
                                  std::conditional_t<sizeof(Number) == 4, std::uint32_t, std::uint16_t>>;

/// Calls f with a number of the type that a dtype of floating point names. Returns whether it names one.
template <class F>
bool with_float(std::string_view dtype, const F& f) {
  if (dtype == "F64")
    f(double());
  else if (dtype == "F32")
    f(float());
  else if (dtype == "F16")
    f(Eigen::half());
  else if (dtype == "BF16")
    f(Eigen::bfloat16());
  else
    return false;
  return true;
}
/// Rounded once: of double to 16 bits by way of a float whose last digit says whether anything was lost.
template <class Number, class T>
Number rounded(T value) {
  if constexpr (sizeof(Number) == 2 && sizeof(T) == 8) {
    auto near = static_cast<float>(value);
    if (static_cast<double>(near) != value && std::isfinite(near)) {
      if (std::fabs(static_cast<double>(near)) > std::fabs(value)) near = std::nextafter(near, 0.0f);
      near = std::bit_cast<float>(std::bit_cast<std::uint32_t>(near) | 1u);
    }
    return static_cast<Number>(near);
  } else {
    return static_cast<Number>(value);
  }
}

/// Calls f(i, place): element i in row-major order stands at `place` in memory.
template <class Values, class F>
void each_element(const Values& values, const F& f) {
  constexpr auto rank = static_cast<std::size_t>(Values::NumDimensions);
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    Eigen::Index place = 0, rest = i;
    for (std::size_t axis = rank; axis-- > 0;) {
      Eigen::Index stride = 1;
      for (std::size_t faster = 0; faster < rank; ++faster)
        if (static_cast<int>(Values::Layout) == Eigen::RowMajor ? faster > axis : faster < axis)
          stride *= values.dimension(faster);
      place += rest % values.dimension(axis) * stride;
      rest /= values.dimension(axis);
    }
    f(static_cast<std::size_t>(i), place);
  }
}

/// The bytes of a tensor in a dtype. Returns whether that is one of floating point.
template <class Values>
bool encode(const Values& values, std::string_view dtype, std::vector<std::byte>& bytes) {
  return with_float(dtype, [&](auto number) {
    using Number = decltype(number);
    bytes.resize(static_cast<std::size_t>(values.size()) * sizeof(Number));
    each_element(values, [&](std::size_t i, Eigen::Index place) {
      store_bits(std::bit_cast<BitsOf<Number>>(rounded<Number>(values.data()[place])),
                 bytes.data() + i * sizeof(Number));
    });
  });
}

/// A tensor from its bytes, which are as many as it needs. Returns whether the dtype is one of floating point.
template <class Values>
bool decode(std::span<const std::byte> bytes, std::string_view dtype, Values& values) {
  return with_float(dtype, [&](auto number) {
    using Number = decltype(number);
    each_element(values, [&](std::size_t i, Eigen::Index place) {
      const auto bits = load_bits<BitsOf<Number>>(bytes.data() + i * sizeof(Number));
      values.data()[place] = static_cast<typename Values::Scalar>(std::bit_cast<Number>(bits));
    });
  });
}

}  // namespace normkit::detail::safetensors
