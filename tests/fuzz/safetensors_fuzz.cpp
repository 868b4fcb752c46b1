// Whatever a safetensors file holds, reading it ends with an error that has a type, or with tensors that can be written and read again.
#include <normkit/batch_norm.hpp>
#include <normkit/safetensors.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto file = normkit::Safetensors::parse(std::as_bytes(std::span(data, size)));
    const auto again = normkit::Safetensors::parse(file.bytes());
    if (again.bytes() != file.bytes() || again.tensors.size() != file.tensors.size()) std::abort();
    normkit::BatchNorm<float> norm(3);
    file.get("layer1.0.bn1.", norm);
  } catch (const normkit::format_error&) {
  } catch (const normkit::shape_error&) {
  } catch (const normkit::argument_error&) {
  }
  return 0;
}
