// A program with the flags of other projects: no exceptions, no run-time types, indices of 32 bits, C++23. Layers work, on threads
// too, an error reaches the handler, and behind that the program ends.
#define EIGEN_USE_THREADS
#include <normkit/normkit.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <unsupported/Eigen/CXX11/ThreadPool>

#if defined(__cpp_exceptions) || defined(__cpp_rtti) || __cplusplus <= 202002L
#error "not the flags that this program is for"
#endif
static_assert(sizeof(Eigen::Index) == 4);

int main() {
  normkit::on_error = [](const std::exception& error) { std::printf("%s\n", error.what()); };
  std::set_terminate([] {
    std::printf("the end\n");
    std::fflush(stdout);
    std::_Exit(0);
  });

  using Images = Eigen::Tensor<float, 4, Eigen::RowMajor>;
  normkit::BatchNorm2d<float> norm(3);
  Images x(8, 3, 64, 64), y(8, 3, 64, 64), dx(8, 3, 64, 64);
  const normkit::OwnTensor<float> weight = norm.weight();
  norm.weight() = 2.0f * weight;
  x.setRandom();
  Eigen::ThreadPool threads(2);
  Eigen::ThreadPoolDevice pool(&threads, 2);
  norm.forward(pool, x, y);
  norm.backward(pool, x, y, dx);
  const Eigen::Tensor<float, 0, Eigen::RowMajor> mean = y.mean();
  if (!(std::fabs(mean()) < 1e-4f)) return 1;

  norm.forward(Images(8, 4, 64, 64), y);
  return 1;  // not reached
}
