// What a project that uses normkit writes: Eigen, normkit, and nothing else of ours.
#include <cmath>
#include <cstdio>
#include <normkit/normkit.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

int main() {
  Eigen::Tensor<float, 4, Eigen::RowMajor> x(8, 3, 5, 5);
  x.setRandom();
  normkit::BatchNorm2d<float> norm(3);
  const Eigen::Tensor<float, 0, Eigen::RowMajor> mean = norm(x).mean();
  std::printf("normkit %s: the mean of a normalized batch is %g\n", normkit::version.data(),
              static_cast<double>(mean()));
  return std::abs(mean()) < 1e-6f ? 0 : 1;
}
