// A layer written to a file and read back.
#include <cstdio>
#include <filesystem>

#include <normkit/normkit.hpp>
#include <normkit/safetensors.hpp>

int main() {
  const std::filesystem::path path = "normkit_consumer.safetensors";  // where it is run
  normkit::LayerNorm<float> written(3), read(3);
  written.parameters()[0].value.setConstant(0.5f);
  normkit::Safetensors file;
  file.put("norm.", written);
  file.save(path);
  normkit::Safetensors::load(path).get("norm.", read);
  std::filesystem::remove(path);
  const float weight = read.parameters()[0].value(2);
  std::printf("a weight of 0.5, written and read: %g\n", static_cast<double>(weight));
  return weight == 0.5f ? 0 : 1;
}
