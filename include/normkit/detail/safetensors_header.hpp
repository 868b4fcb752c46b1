#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <normkit/detail/view/shape.hpp>
#include <normkit/error.hpp>

namespace normkit {

/// A file is not what it should be, or lacks what is asked of it. Nothing has been changed.
struct format_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace normkit

/// The header of a safetensors file: whatever stands in it, it is an error or it fits the data.
namespace normkit::detail::safetensors {

using Texts = std::map<std::string, std::string, std::less<>>;

/// A tensor that a header names, its elements in [begin, end) of the data.
struct Entry {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;
};

inline std::vector<Index> extents(const std::vector<std::int64_t>& shape) { return {shape.begin(), shape.end()}; }

/// The dtypes of the format and the bytes of their elements, in the order of the reference implementation.
inline constexpr std::pair<std::string_view, std::size_t> dtypes[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
    {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"C64", 8},     {"F64", 8}, {"I64", 8}, {"U64", 8}};

inline const std::pair<std::string_view, std::size_t>* find_dtype(std::string_view dtype) noexcept {
  return std::find_if(std::begin(dtypes), std::end(dtypes), [&](const auto& known) { return known.first == dtype; });
}

/// So many bytes are the elements of a tensor.
inline void require_size(const std::string& name, const std::string& dtype, const std::vector<std::int64_t>& shape,
                         std::uint64_t given) {
  const auto* const known = find_dtype(dtype);
  if (known == std::end(dtypes)) raise(format_error(name + ": expected a dtype of the format, got " + dtype));
  const std::size_t bytes = known->second;
  const auto elements = checked_product(extents(shape));
  if (!elements || given % bytes != 0 || given / bytes != static_cast<std::uint64_t>(*elements))
    raise(format_error(name + ": expected " + list_of(extents(shape)) + " elements of " + dtype + ", got " +
                       std::to_string(given) + " bytes"));
}

/// The header as JSON in which no name stands twice, not deeper than it should be.
inline nlohmann::json header(std::span<const std::byte> text) {
  std::vector<std::set<std::string>> open;  // the names in each object that has not ended
  const auto watch = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if (depth > 3) raise(format_error("expected a header three deep at most, got a deeper one"));
    if (event == Event::object_start) open.emplace_back();
    if (event == Event::object_end) open.pop_back();
    if (event == Event::key && !open.back().insert(value.get<std::string>()).second)
      raise(format_error("expected each name once in the header, got " + value.get<std::string>() + " twice"));
    return true;
  };
  const auto* const begin = reinterpret_cast<const char*>(text.data());
  if (text.empty() || *begin != '{') raise(format_error("expected a header that begins with {"));
  nlohmann::json names = nlohmann::json::parse(begin, begin + text.size(), watch, false);  // throws nothing of its own
  if (names.is_discarded()) raise(format_error("expected a header in JSON, got other text"));
  return names;
}

inline Texts metadata_of(const nlohmann::json& value) {
  Texts texts;
  bool fits = value.is_object();
  if (fits)
    for (const auto& [name, text] : value.items()) {
      fits &= text.is_string();
      if (text.is_string()) texts.emplace(name, text.get<std::string>());
    }
  if (!fits) raise(format_error("expected __metadata__ to be texts by name"));
  return texts;
}

inline Entry entry(const std::string& name, const nlohmann::json& value) {
  const auto wants = [&](bool fits, const char* what) {
    if (!fits) raise(format_error(name + ": expected " + what));
  };
  wants(value.is_object() && value.size() == 3 && value.contains("dtype") && value.contains("shape") &&
            value.contains("data_offsets"),
        "dtype, shape and data_offsets");
  const auto &dtype = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
  wants(dtype.is_string(), "a dtype that is a text");
  wants(shape.is_array(), "a shape that is a list");
  wants(offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() &&
            offsets[1].is_number_unsigned() && offsets[0].get<std::uint64_t>() <= offsets[1].get<std::uint64_t>(),
        "data_offsets of two numbers, the second not below the first");
  Entry entry{name, dtype.get<std::string>(), {}, offsets[0].get<std::uint64_t>(), offsets[1].get<std::uint64_t>()};
  for (const auto& extent : shape) {
    wants(extent.is_number_unsigned() &&
              extent.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
          "a shape of numbers from 0 to 2^63 - 1");
    entry.shape.push_back(extent.get<std::int64_t>());
  }
  require_size(name, entry.dtype, entry.shape, entry.end - entry.begin);
  return entry;
}

/// What a header says, all of it checked against so many bytes of data.
inline std::vector<Entry> entries(std::span<const std::byte> text, Texts& metadata, std::uint64_t data) {
  std::vector<Entry> all;
  const nlohmann::json names = header(text);
  for (const auto& [name, value] : names.items())
    if (name == "__metadata__")
      metadata = metadata_of(value);
    else
      all.push_back(entry(name, value));
  std::sort(all.begin(), all.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t end = 0;
  for (const Entry& e : all) {
    if (e.begin != end)
      raise(format_error(e.name + ": expected data from " + std::to_string(end) +
                         " on, where the one before ends, got " + std::to_string(e.begin)));
    end = e.end;
  }
  if (end != data)
    raise(format_error("expected " + std::to_string(end) + " bytes of data, as the header says, got " +
                       std::to_string(data)));
  return all;
}

}  // namespace normkit::detail::safetensors
