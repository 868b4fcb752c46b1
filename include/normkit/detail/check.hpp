#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include <normkit/detail/view/shape.hpp>
#include <normkit/error.hpp>

/// The checks that every layer makes before it writes anything, and the words for them.
namespace normkit::detail {

/// A number as Python prints it: the shortest digits that read back as the same double.
inline std::string python_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char digits[32];
  const double size = std::fabs(value);
  const bool plain = size == 0.0 || (size >= 1e-4 && size < 1e16);
  const auto end = std::to_chars(digits, digits + sizeof digits, value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(digits, end.ptr);
  return plain && text.find('.') == std::string::npos ? text + ".0" : text;
}

inline void require_eps(std::string_view layer, double eps) {
  if (!(eps >= 0.0) || std::isinf(eps))
    raise(argument_error(words(layer) + ": expected eps to be finite and at least 0, got " + python_number(eps)));
}

/// A block of a matrix is refused where it is not as a tensor lies: a silent copy would cost what nobody has asked for.
inline void require_no_gaps(std::string_view layer, const char* name, const Shape& shape) {
  if (shape.has_gaps)
    raise(argument_error(words(layer) + ": expected " + name +
                         " with its elements next to each other, got a matrix of shape " + shape.text() +
                         " with gaps between them; pass its copy, block.eval(), or as an output a matrix of its own, "
                         "to be assigned to it"));
}

/// A tensor without gaps, whose extents multiply to a number that its index type holds.
inline void require_product(std::string_view layer, const Shape& shape, const char* name = "x") {
  require_no_gaps(layer, name, shape);
  if (!checked_product(shape.axes(), shape.index_limit))
    raise(shape_error(words(layer) + ": expected extents whose product is at most " +
                      std::to_string(shape.index_limit) + ", got " + name + " of shape " + shape.text()));
}

inline void require_same_shape(std::string_view layer, const char* name, const Shape& expected, const Shape& got) {
  require_no_gaps(layer, name, got);
  if (!(expected == got))
    raise(shape_error(words(layer) + ": expected " + name + " of shape " + expected.text() + " as x has, got " +
                      got.text()));
}

/// The axis of the channels, counted from 0.
inline Index channel_axis_of(std::string_view layer, const Shape& shape, Index given) {
  const Index axis = given + (given < 0 ? shape.rank : 0);
  if (axis < 0 || axis >= shape.rank)
    raise(argument_error(words(layer) + ": expected channel_axis in [-" + std::to_string(shape.rank) + ", " +
                         std::to_string(shape.rank) + ") for x of shape " + shape.text() + ", got " +
                         std::to_string(given)));
  return axis;
}

inline void require_channels(std::string_view layer, const Shape& shape, Index axis, Index channels) {
  if (shape[axis] != channels)
    raise(shape_error(words(layer) + ": expected " + std::to_string(channels) + " channels on axis " +
                      std::to_string(axis) + ", got " + std::to_string(shape[axis]) + " in x of shape " +
                      shape.text()));
}

/// Axis 0 has the samples, whatever the rank.
inline void require_behind_samples(std::string_view layer, Index channel_axis) {
  if (channel_axis == 0 || channel_axis <= -max_rank || channel_axis >= max_rank)
    raise(argument_error(words(layer) + ": expected channel_axis 1 or the last of some rank, got " +
                         std::to_string(channel_axis)));
}

/// Norms of samples: axis 0 has these, and a view has room for channels right behind them or last.
inline void require_first_or_last(std::string_view layer, const Shape& shape, Index axis) {
  if (axis == 0 || (axis != 1 && axis != shape.rank - 1))
    raise(argument_error(words(layer) + ": expected channel_axis 1 or the last, for x of shape " + shape.text() +
                         ", got " + std::to_string(axis)));
}

[[noreturn]] inline void refuse_extents(std::string_view layer, const char* name, std::span<const Index> expected,
                                        std::span<const Index> got) {
  raise(shape_error(words(layer) + ": expected " + name + " of shape " + list_of(expected) + ", got " + list_of(got)));
}

/// A parameter or statistic still has the extents that the layer gave it: a caller may have resized it. Compared one by one,
/// since a call on a short row makes four such checks.
template <std::size_t Rank>
void require_extents(std::string_view layer, const char* name, const std::array<Index, Rank>& expected,
                     const std::array<Index, Rank>& got) {
  for (std::size_t axis = 0; axis < Rank; ++axis)
    if (expected[axis] != got[axis]) refuse_extents(layer, name, expected, got);
}

/// NaN passes: it is what a NaN in a batch makes of it.
template <Scalar T>
void require_running_var(std::string_view layer, const T* running_var, Index channels) {
  for (Index c = 0; c < channels; ++c)
    if (running_var[c] < T(0))
      raise(argument_error(words(layer) + ": expected running_var of at least 0, got " +
                           python_number(static_cast<double>(running_var[c])) + " in channel " + std::to_string(c)));
}

/// An output is another tensor than the input, or the same elements one for one.
template <Stored S>
void require_no_partial_overlap(std::string_view layer, const char* input_name, const S* input, const char* output_name,
                                const S* output, Index size) {
  const auto in = reinterpret_cast<std::uintptr_t>(input), out = reinterpret_cast<std::uintptr_t>(output);
  const auto bytes = static_cast<std::uintptr_t>(size) * sizeof(S), gap = in < out ? out - in : in - out;
  if (gap != 0 && gap < bytes)
    raise(argument_error(words(layer) + ": expected " + output_name + " to be " + input_name +
                         " or apart from it, got " + output_name + " that begins " + std::to_string(gap) + " bytes " +
                         (in < out ? "after " : "before ") + input_name + ", which has " + std::to_string(bytes)));
}

}  // namespace normkit::detail
