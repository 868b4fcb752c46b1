// All of a layer's state as bytes, so that a test can say that nothing moved.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "support/tensors.hpp"

namespace support {

using Bytes = std::vector<unsigned char>;

template <class Tensor>
void append(Bytes& bytes, const Tensor& tensor) {
  const auto* first = reinterpret_cast<const unsigned char*>(tensor.data());
  bytes.insert(bytes.end(), first, first + static_cast<std::size_t>(tensor.size()) * sizeof(ScalarOf<Tensor>));
}

inline void append(Bytes& bytes, std::int64_t number) {
  unsigned char raw[sizeof number];
  std::memcpy(raw, &number, sizeof number);
  bytes.insert(bytes.end(), raw, raw + sizeof number);
}

/// Parameters, their gradients, running statistics, the counter, and what was saved for backward.
template <class Norm>
Bytes state_of(Norm& norm) {
  Bytes bytes;
  for (auto parameter : norm.parameters()) {
    append(bytes, parameter.value);
    append(bytes, parameter.gradient);
  }
  for (auto buffer : norm.buffers()) {
    if (const auto* counter = std::get_if<std::int64_t*>(&buffer.value))
      append(bytes, **counter);
    else
      append(bytes, std::get<0>(buffer.value));
  }
  append(bytes, norm.saved().mean);
  append(bytes, norm.saved().mean_lo);
  append(bytes, norm.saved().rstd);
  append(bytes, static_cast<std::int64_t>(norm.is_training()));
  return bytes;
}

/// A tensor's values as bytes.
template <class Tensor>
Bytes bytes_of(const Tensor& tensor) {
  Bytes bytes;
  append(bytes, tensor);
  return bytes;
}

}  // namespace support
