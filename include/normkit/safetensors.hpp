#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <normkit/detail/safetensors_header.hpp>
#include <normkit/detail/safetensors_numbers.hpp>
#include <normkit/error.hpp>

// Optional: layers to and from safetensors files, as PyTorch's checkpoints are. Needs nlohmann-json (Debian:
// nlohmann-json3-dev), target normkit::safetensors.
namespace normkit {

/// What the state of a layer is called in a file. Empty: it is not there.
struct StateNames {
  /// The name of this state, behind the prefix of its layer.
  std::string weight = "weight", bias = "bias", running_mean = "running_mean", running_var = "running_var",
              num_batches_tracked = "num_batches_tracked";

  static StateNames pytorch() { return {}; }                                          // the defaults
  static StateNames onnx() { return {"scale", "B", "input_mean", "input_var", ""}; }  // those of ONNX's operators
  static StateNames keras() { return {"gamma", "beta", "moving_mean", "moving_variance", ""}; }  // those of Keras
};

/// Named tensors, as a safetensors file has them.
/// Source   "Format" of github.com/huggingface/safetensors
class Safetensors {
 public:
  /// Elements in row-major order, each with its least significant byte first.
  struct Tensor {
    std::string dtype;                // "F64", "F32", "F16", "BF16", "I64", ...
    std::vector<std::int64_t> shape;  // empty: one number
    std::vector<std::byte> bytes;     // as many as shape and dtype say
  };

  std::map<std::string, Tensor, std::less<>> tensors;        // by name
  std::map<std::string, std::string, std::less<>> metadata;  // "__metadata__" of the header

  /// Those tensors of a file's contents whose names begin with `prefix`.
  /// Memory   that of the header, and of what is kept: never more than the file has, whatever its header says
  /// Throws   format_error
  static Safetensors parse(std::span<const std::byte> file, std::string_view prefix = "") {
    return read(file.size(), prefix, [&](std::size_t from, std::span<std::byte> to) {
      std::copy_n(file.data() + from, to.size(), to.data());
    });
  }
  /// The same of a file, of which the header and what is kept are read.
  /// Throws   format_error, also where it cannot be read
  static Safetensors load(const std::filesystem::path& path, std::string_view prefix = "") {
    Safetensors result;
    const auto whole = [&] {
      std::error_code error;
      const std::uintmax_t size = std::filesystem::file_size(path, error);
      std::ifstream file(path, std::ios::binary);
      if (error || !file) detail::raise(format_error("cannot be read"));
      result = read(static_cast<std::size_t>(size), prefix, [&](std::size_t from, std::span<std::byte> to) {
        file.seekg(static_cast<std::streamoff>(from));
        if (!file.read(reinterpret_cast<char*>(to.data()), static_cast<std::streamsize>(to.size())))
          detail::raise(format_error("cannot be read"));
      });
    };
    detail::attempt<format_error>(
        whole, [&](const char* reason) { detail::raise(format_error(path.string() + ": " + reason)); });
    return result;
  }

  /// The contents of a file: the same bytes for the same tensors, those that Python's safetensors writes. Elements are aligned, if
  /// it is read to an address that is.
  /// Throws   format_error for a tensor whose bytes are not those of its shape and dtype, or whose name no file can have
  std::vector<std::byte> bytes() const {
    std::vector<const decltype(tensors)::value_type*> order;
    for (const auto& tensor : tensors) order.push_back(&tensor);
    using detail::safetensors::find_dtype;
    std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
      return find_dtype(a->second.dtype) > find_dtype(b->second.dtype);
    });
    nlohmann::ordered_json header = nlohmann::ordered_json::object();  // the order of the reference implementation
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::size_t end = 0;
    for (const auto* tensor : order) {
      require_whole(tensor->first, tensor->second);
      const std::size_t begin = std::exchange(end, end + tensor->second.bytes.size());
      header[tensor->first] = {
          {"dtype", tensor->second.dtype}, {"shape", tensor->second.shape}, {"data_offsets", {begin, end}}};
    }
    using Invalid = nlohmann::ordered_json::error_handler_t;
    std::string text = header.dump(-1, ' ', false, Invalid::ignore);
    if (text != header.dump(-1, ' ', false, Invalid::replace))  // only what is no UTF-8 makes them differ
      detail::raise(format_error("expected names in UTF-8, got others"));
    text.resize((text.size() + 7) / 8 * 8, ' ');
    std::vector<std::byte> file(8 + text.size());
    detail::safetensors::store_bits(std::uint64_t{text.size()}, file.data());
    const auto append = [&](std::span<const std::byte> more) { file.insert(file.end(), more.begin(), more.end()); };
    std::memcpy(file.data() + 8, text.data(), text.size());
    for (const auto* tensor : order) append(tensor->second.bytes);
    return file;
  }
  /// Writes bytes() to a file.
  /// Throws   format_error where it cannot be written
  void save(const std::filesystem::path& path) const {
    const std::vector<std::byte> contents = bytes();
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(contents.data()), static_cast<std::streamsize>(contents.size()));
    if (!file.flush()) detail::raise(format_error(path.string() + ": cannot be written"));
  }

  /// Adds the state of a layer under its names behind `prefix` ("layer1.0.bn1."), in the place of what has these names.
  /// `dtype`: "F64", "F32", "F16" or "BF16", rounded to nearest, ties to even; empty: the layer's own.
  /// Throws   argument_error for another dtype
  template <class Norm>
  void put(std::string_view prefix, const Norm& norm, const StateNames& names = {}, std::string_view dtype = "") {
    std::vector<std::pair<std::string, Tensor>> added;
    each_tensor(norm, names, [&](const std::string& name, const auto& values) {
      if (!name.empty() && values.size() > 0) added.emplace_back(name, encoded(values, dtype));
    });
    if constexpr (requires { norm.num_batches_tracked(); })
      if (!names.num_batches_tracked.empty() && norm.running_mean().size() > 0) {
        Tensor counter{"I64", {}, std::vector<std::byte>(8)};
        detail::safetensors::store_bits(static_cast<std::uint64_t>(norm.num_batches_tracked()), counter.bytes.data());
        added.emplace_back(names.num_batches_tracked, std::move(counter));
      }
    for (auto& [name, tensor] : added) tensors.insert_or_assign(std::string(prefix) + name, std::move(tensor));
  }

  /// Sets the state of a layer from what stands under its names behind `prefix`; whatever points at its tensors stays valid. Any
  /// dtype of floating point is taken, rounded to nearest where the layer has fewer digits. num_batches_tracked may be missing, as
  /// in old files, and then stays.
  /// Throws   format_error for a name that is missing or that the layer has no tensor for, or for another dtype; shape_error;
  ///          argument_error for a counter out of its range. The layer untouched
  template <class Norm>
  void get(std::string_view prefix, Norm& norm, const StateNames& names = {}) const {
    using Values = std::remove_cvref_t<decltype(norm.weight())>;
    std::vector<std::pair<Values, Values*>> loaded;  // all that can fail comes before the layer is touched
    each_tensor(norm, names, [&](const std::string& name, auto& values) {
      if (name.empty()) return;
      const auto [full, tensor] = find(prefix, name);
      if (tensor && values.size() == 0)
        detail::raise(format_error("expected no " + full + " for a layer without " + name + ", got one"));
      if (values.size() == 0) return;
      if (!tensor) detail::raise(format_error("expected a tensor " + full + ", got none of that name"));
      loaded.emplace_back(decoded(full, *tensor, values), &values);
    });
    if constexpr (requires { norm.num_batches_tracked(); })
      if (const auto [full, counter] = find(prefix, names.num_batches_tracked); counter) {
        if (counter->dtype != "I64") detail::raise(format_error(full + ": expected dtype I64, got " + counter->dtype));
        if (counter->bytes.size() != 8)
          detail::raise(shape_error(full + ": expected one number, got shape " +
                                    detail::list_of(detail::safetensors::extents(counter->shape))));
        norm.set_num_batches_tracked(
            std::bit_cast<std::int64_t>(detail::safetensors::load_bits<std::uint64_t>(counter->bytes.data())));
      }
    if constexpr (!requires { norm.running_mean(); })
      for (const std::string* name : {&names.running_mean, &names.running_var, &names.num_batches_tracked})
        if (const auto [full, tensor] = find(prefix, *name); tensor)
          detail::raise(format_error("expected no " + full + " for a layer without running statistics, got one"));
    for (const auto& [values, into] : loaded) std::copy_n(values.data(), values.size(), into->data());
  }

 private:
  static constexpr std::size_t most_header_bytes = 100'000'000;  // as in the reference implementation

  std::pair<std::string, const Tensor*> find(std::string_view prefix, const std::string& name) const {
    const std::string full = std::string(prefix) + name;
    const auto found = name.empty() ? tensors.end() : tensors.find(full);
    return {full, found == tensors.end() ? nullptr : &found->second};
  }

  /// Calls f(name, tensor) for weight and bias, and for running_mean and running_var of layers that can have them.
  template <class Norm, class F>
  static void each_tensor(Norm& norm, const StateNames& names, const F& f) {
    f(names.weight, norm.weight());
    f(names.bias, norm.bias());
    if constexpr (requires { norm.running_mean(); }) {
      f(names.running_mean, norm.running_mean());
      f(names.running_var, norm.running_var());
    }
  }

  static void require_whole(const std::string& name, const Tensor& tensor) {
    if (name == "__metadata__")
      detail::raise(format_error("expected tensors of other names than __metadata__, got one of it"));
    detail::safetensors::require_size(name, tensor.dtype, tensor.shape, tensor.bytes.size());
  }
  template <class Values>
  static Tensor encoded(const Values& values, std::string_view dtype) {
    if (dtype.empty()) dtype = sizeof(typename Values::Scalar) == 8 ? "F64" : "F32";
    Tensor tensor{std::string(dtype), {values.dimensions().begin(), values.dimensions().end()}, {}};
    if (!detail::safetensors::encode(values, dtype, tensor.bytes))
      detail::raise(argument_error("Safetensors: expected dtype F64, F32, F16 or BF16, got " + tensor.dtype));
    return tensor;
  }
  template <class Values>
  static Values decoded(const std::string& name, const Tensor& tensor, const Values& like) {
    const std::vector<Index> expected(like.dimensions().begin(), like.dimensions().end());
    if (detail::safetensors::extents(tensor.shape) != expected)
      detail::raise(shape_error(name + ": expected shape " + detail::list_of(expected) + ", got " +
                                detail::list_of(detail::safetensors::extents(tensor.shape))));
    require_whole(name, tensor);
    Values values(like.dimensions());
    if (!detail::safetensors::decode(std::span<const std::byte>(tensor.bytes), tensor.dtype, values))
      detail::raise(format_error(name + ": expected dtype F64, F32, F16 or BF16, got " + tensor.dtype));
    return values;
  }

  /// read(from, to) fills `to` from that byte of the file on.
  template <class Read>
  static Safetensors read(std::size_t size, std::string_view prefix, const Read& read) {
    std::array<std::byte, 8> first{};
    if (size < first.size())
      detail::raise(format_error("expected the 8 bytes of the header's length, got a file of " + std::to_string(size)));
    read(0, first);
    const auto length = detail::safetensors::load_bits<std::uint64_t>(first.data());
    const std::size_t most = std::min(most_header_bytes, size - first.size());
    if (length > most)
      detail::raise(format_error("expected a header of at most " + std::to_string(most) + " bytes, got a length of " +
                                 std::to_string(length)));
    std::vector<std::byte> text(static_cast<std::size_t>(length));
    read(first.size(), text);
    const std::size_t data = first.size() + text.size();

    Safetensors result;
    for (detail::safetensors::Entry& entry : detail::safetensors::entries(text, result.metadata, size - data)) {
      if (!entry.name.starts_with(prefix)) continue;
      Tensor tensor{std::move(entry.dtype), std::move(entry.shape),
                    std::vector<std::byte>(static_cast<std::size_t>(entry.end - entry.begin))};
      read(data + static_cast<std::size_t>(entry.begin), tensor.bytes);
      result.tensors.emplace(std::move(entry.name), std::move(tensor));
    }
    return result;
  }
};

}  // namespace normkit
