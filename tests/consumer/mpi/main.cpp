// A BatchNorm of the ranks of an MPI program, as an installed package gives it. Without mpirun it is one rank.
#include <cmath>
#include <cstdio>

#include <normkit/mpi.hpp>
#include <normkit/normkit.hpp>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  bool is_right = false;
  {
    normkit::MpiCommunicator ranks;
    normkit::BatchNorm1d<float> norm(1);
    Eigen::Tensor<float, 2> x(2, 1), y(2, 1);
    x(0, 0) = 1;
    x(1, 0) = 3;
    norm.forward(ranks, x, y);
    is_right = std::fabs(y(1, 0) - 1) < 1e-4f;
    std::printf("rank %d of %d: %g\n", ranks.rank(), ranks.size(), static_cast<double>(y(1, 0)));
  }
  MPI_Finalize();
  return is_right ? 0 : 1;
}
