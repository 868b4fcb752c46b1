// Rank 1 is lost in the middle of a step, in the way that the argument names, while the others wait for its part.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include <normkit/batch_norm.hpp>
#include <normkit/mpi.hpp>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  if (argc != 2) return 2;
  {
    normkit::MpiCommunicator ranks;
    normkit::BatchNorm2d<float> norm(3);
    Eigen::Tensor<float, 4, Eigen::RowMajor> x(2, 3, 4, 4), y(x.dimensions()), dx(x.dimensions());
    x.setConstant(static_cast<float>(ranks.rank()));
    norm.forward(ranks, x, y);
    std::puts("in the middle");
    std::fflush(stdout);
    if (ranks.rank() == 1) {
      if (std::strcmp(argv[1], "killed") == 0) std::raise(SIGKILL);
      if (std::strcmp(argv[1], "exits") == 0) std::_Exit(3);
      throw std::runtime_error("lost");
    }
    norm.backward(ranks, x, y, dx);
    std::puts("to the end");
  }
  MPI_Finalize();
}
