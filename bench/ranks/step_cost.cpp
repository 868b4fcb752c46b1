// What it costs that a batch is on several ranks, as three tables: one collective; merging, on one rank, what others have sent
// (which needs no MPI, and so can be done for ranks that are not there); and whole steps beside those of one process.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include <normkit/batch_norm.hpp>
#include <normkit/mpi.hpp>

namespace {

using Clock = std::chrono::steady_clock;
using Images = Eigen::Tensor<float, 4, Eigen::RowMajor>;
using Eigen::Index;

/// Median of some rounds in microseconds, each as long as its slowest rank, which all begin together.
template <class Action>
double microseconds(int rounds, MPI_Comm ranks, const Action& action) {
  std::vector<double> times;
  for (int round = 0; round < rounds; ++round) {
    MPI_Barrier(ranks);
    const auto start = Clock::now();
    action();
    double time = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
    MPI_Allreduce(MPI_IN_PLACE, &time, 1, MPI_DOUBLE, MPI_MAX, ranks);
    times.push_back(time);
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[static_cast<std::size_t>(rounds / 2)];
}

/// As many ranks as one likes, each of which sends what this one does.
struct Copies {
  std::size_t ranks;
  std::vector<std::byte> all = {};

  std::span<const std::byte> all_gather(std::span<const std::byte> own) {
    if (all.size() != own.size() * ranks) {
      all.clear();
      for (std::size_t rank = 0; rank < ranks; ++rank) all.insert(all.end(), own.begin(), own.end());
    }
    return all;
  }
};

void collectives(normkit::MpiCommunicator& ranks) {
  if (ranks.rank() == 0) std::printf("\none all_gather, us\n%10s %10s %10s\n", "channels", "bytes", "us");
  for (const std::size_t channels : {16u, 64u, 256u, 1024u, 4096u}) {
    const std::vector<std::byte> own(32 + 21 * channels);
    const double time = microseconds(301, MPI_COMM_WORLD, [&] { ranks.all_gather(own); });
    if (ranks.rank() == 0) std::printf("%10zu %10zu %10.1f\n", channels, own.size(), time);
  }
}

void merging() {
  std::printf("\nmerging the messages of so many ranks, us: forward, backward\n%10s %10s %10s %10s\n", "ranks",
              "channels", "forward", "backward");
  for (const std::size_t ranks : {1u, 10u, 100u, 1000u, 10000u})
    for (const Index channels : {64, 256, 2048}) {
      if (ranks * static_cast<std::size_t>(channels) > 3'000'000) continue;
      normkit::BatchNorm2d<float> norm(channels);
      Images x(2, channels, 1, 1), y(x.dimensions()), dx(x.dimensions());
      x.setRandom();
      Copies one{1}, many{ranks}, back_one{1}, back_many{ranks};
      double forward[2], backward[2];
      for (const bool all : {false, true}) {  // without other ranks, and with them
        forward[all] = microseconds(51, MPI_COMM_SELF, [&] { norm.forward(all ? many : one, x, y); });
        backward[all] = microseconds(51, MPI_COMM_SELF, [&] { norm.backward(all ? back_many : back_one, x, y, dx); });
      }
      std::printf("%10zu %10td %10.1f %10.1f\n", ranks, channels, forward[true] - forward[false],
                  backward[true] - backward[false]);
    }
}

void steps(normkit::MpiCommunicator& ranks) {
  if (ranks.rank() == 0)
    std::printf("\na step of float images on each rank, us: alone, across ranks\n%22s %10s %10s %10s %10s\n", "images",
                "forward", "across", "backward", "across");
  for (const auto& [n, c, side] : {std::array<Index, 3>{8, 64, 56}, {8, 256, 28}, {8, 2048, 7}, {2, 16, 8}}) {
    Images x(n, c, side, side), y(x.dimensions()), dx(x.dimensions());
    x.setRandom();
    normkit::BatchNorm2d<float> alone(c), across(c);
    const double forward = microseconds(101, MPI_COMM_WORLD, [&] { alone.forward(x, y); });
    const double forward_across = microseconds(101, MPI_COMM_WORLD, [&] { across.forward(ranks, x, y); });
    const double backward = microseconds(101, MPI_COMM_WORLD, [&] { alone.backward(x, y, dx); });
    const double backward_across = microseconds(101, MPI_COMM_WORLD, [&] { across.backward(ranks, x, y, dx); });
    if (ranks.rank() == 0)
      std::printf("%5td x %4td x %2td x %2td %10.1f %10.1f %10.1f %10.1f\n", n, c, side, side, forward, forward_across,
                  backward, backward_across);
  }
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  {
    normkit::MpiCommunicator ranks;
    if (ranks.rank() == 0) std::printf("%d ranks\n", ranks.size());
    collectives(ranks);
    steps(ranks);
    if (ranks.rank() == 0) merging();
    MPI_Barrier(MPI_COMM_WORLD);
  }
  MPI_Finalize();
}
