// Each rank normalizes its own images by the statistics of all: mpirun -n 4 ./consumer
#include <cmath>
#include <cstdio>

#include <normkit/mpi.hpp>
#include <normkit/normkit.hpp>

int main(int argc, char** argv) {
  int level = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  float mean = 0;
  {
    normkit::MpiCommunicator ranks;  // of MPI_COMM_WORLD; gone before MPI_Finalize
    normkit::BatchNorm2d<float> norm(3);
    Eigen::Tensor<float, 4, Eigen::RowMajor> x(2, 3, 8, 8), y(x.dimensions()), dy(x.dimensions()), dx(x.dimensions());
    x.setConstant(static_cast<float>(ranks.rank()));
    dy.setConstant(1);
    norm.forward(ranks, x, y);  // with a thread pool: norm.forward(device, ranks, x, y)
    norm.backward(ranks, x, dy, dx);
    mean = norm.running_mean()(0) / 0.1f;
    std::printf("rank %d of %d: mean %g\n", ranks.rank(), ranks.size(), static_cast<double>(mean));
  }
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Finalize();
  return std::fabs(mean - static_cast<float>(size - 1) / 2) < 1e-5f ? 0 : 1;
}
