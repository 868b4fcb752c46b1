// The norm that docs/adding-a-norm.md builds, taken from that page: what it promises there, checked.
#include <normkit/normkit.hpp>

#include <cstdio>
#include <cstring>

#include "adding_a_norm.hpp"  // made of the page by CMake

int main() {
  using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
  Tensor x(2, 5, 4, 3), y(x.dimensions()), expected(x.dimensions()), dx(x.dimensions()), expected_dx(x.dimensions());
  for (Eigen::Index i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>((i * 7919) % 101) / 13.0f;
  SampleNorm<float> norm;
  normkit::LayerNorm<float, 3> same({5, 4, 3}, {.elementwise_affine = false});  // reduces the same axes
  norm.forward(x, y);
  same.forward(x, expected);
  norm.backward(x, x, dx);
  same.backward(x, x, expected_dx);
  const auto bytes = static_cast<std::size_t>(x.size()) * sizeof(float);
  const bool kept =
      std::memcmp(y.data(), expected.data(), bytes) == 0 && std::memcmp(dx.data(), expected_dx.data(), bytes) == 0;
  std::puts(kept ? "the page keeps its promise" : "SampleNorm of the page differs");
  return kept ? 0 : 1;
}
