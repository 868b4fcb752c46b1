// A file that uses layers, of a program that compiles the kernels once: in instances.cpp beside it.
#define NORMKIT_EXTERN_TEMPLATES  // or, for every file of a CMake target, target_compile_definitions()
#include <normkit/normkit.hpp>

#include <iostream>

int main() {
  Eigen::Tensor<float, 2, Eigen::RowMajor> x(4, 256);
  x.setRandom();
  normkit::LayerNorm<float> norm(256);
  std::cout << norm << " made rows of " << norm(x).dimension(1) << "\n";
}
