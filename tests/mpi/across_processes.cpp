// A batch in parts on the ranks of MPI, as one process would do the whole of it. To be run by mpirun, on any number of ranks.
#include <gtest/gtest.h>
#include <normkit/mpi.hpp>
#include <normkit/normkit.hpp>

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/split_batch.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::MpiCommunicator;

static_assert(normkit::Communicator<MpiCommunicator>);
static_assert(std::is_nothrow_move_constructible_v<MpiCommunicator> && !std::is_copy_constructible_v<MpiCommunicator>);

/// This process's rank, as ThreadRanks has those of threads.
class World {
 public:
  int size() const { return ranks_.size(); }
  std::vector<int> here() const { return {ranks_.rank()}; }

  template <class Body>
  void run(const Body& body) {
    body(ranks_.rank(), ranks_);
  }

  /// What each rank has written into a tensor of zeros.
  template <class Tensor>
  void complete(Tensor& parts) {
    const MPI_Datatype type = sizeof(ScalarOf<Tensor>) == sizeof(float) ? MPI_FLOAT : MPI_DOUBLE;
    MPI_Allreduce(MPI_IN_PLACE, parts.data(), static_cast<int>(parts.size()), type, MPI_SUM, MPI_COMM_WORLD);
  }

 private:
  MpiCommunicator ranks_;
};

template <class C>
class AcrossProcesses : public ::testing::Test {};
TYPED_TEST_SUITE(AcrossProcesses, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(AcrossProcesses, EqualOneProcess) {
  World world;
  expect_any_split<TypeParam>(world);
}

using Images = Eigen::Tensor<float, 4, Eigen::RowMajor>;

TEST(AcrossProcessesState, ErrorsOfOneRankAreThrownOnAll) {
  MpiCommunicator ranks;
  BatchNorm<float> norm(3);
  const bool is_last = ranks.rank() == ranks.size() - 1;
  const auto x = random<Images>({2, is_last ? 4 : 3, 5, 5}, 1);
  Images y = x;
  y.setConstant(-77);
  if (is_last)
    expect_error<normkit::shape_error>([&] { norm.forward(ranks, x, y); }, {"3 channels", "got 4"});
  else
    expect_error<normkit::rank_error>(
        [&] { norm.forward(ranks, x, y); },
        {("rank " + std::to_string(ranks.size() - 1)).c_str(), "expected 3 channels", "(2, 4, 5, 5)"});
  EXPECT_EQ(y(0, 0, 0, 0), -77.0f);
  EXPECT_EQ(norm.num_batches_tracked(), 0);

  const auto good = random<Images>({2, 3, 5, 5}, 1);
  Images out = good;
  norm.forward(ranks, good, out);
  EXPECT_EQ(norm.num_batches_tracked(), 1);
}

TEST(AcrossProcessesState, TheSameBitsInEveryRun) {
  MpiCommunicator ranks;
  const auto x = random<Images>({3, 17, 9, 5}, static_cast<std::uint64_t>(ranks.rank() + 1), 1e4, 1e-2);
  Images y = x, again = x;
  BatchNorm<float> first(17), second(17);
  first.forward(ranks, x, y);
  for (int run = 0; run < 20; ++run) {
    second = first;
    second.reset_running_stats();
    second.forward(ranks, x, again);
    EXPECT_TRUE(same_bits(again, y));
    EXPECT_TRUE(same_bits(second.running_var(), first.running_var()));
  }
}

TEST(AcrossProcessesState, SomeOfTheRanks) {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm half = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &half);
  {
    MpiCommunicator ranks(half), moved = std::move(ranks);
    BatchNorm<double> norm(1);
    Eigen::Tensor<double, 2, Eigen::RowMajor> x(2, 1), y(2, 1);
    x(0, 0) = 1 + rank % 2;
    x(1, 0) = 3 + rank % 2;
    norm.forward(moved, x, y);
    EXPECT_DOUBLE_EQ(norm.running_mean()(0), 0.1 * (2 + rank % 2));
    ranks = MpiCommunicator(half);
    norm.forward(ranks, x, y);
    EXPECT_EQ(norm.num_batches_tracked(), 2);
  }
  MPI_Comm_free(&half);
}

/// Where MPI's error handler returns, its errors are exceptions.
TEST(AcrossProcessesState, AnErrorOfMpiIsTyped) {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  expect_error<normkit::mpi_error>([] { MpiCommunicator none(MPI_COMM_NULL); }, {"MPI: ", "communicator"});
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
}

TEST(AcrossProcessesState, AMessageOfTwoGigabytesIsRefused) {
  const std::byte first{};  // no more of it is read
  MpiCommunicator ranks;
  expect_error<normkit::argument_error>([&] { ranks.all_gather({&first, std::size_t{1} << 31}); }, {"2147483648"});
}

/// Before MPI_Init and after MPI_Finalize.
bool is_refused() {
  try {
    MpiCommunicator ranks;
  } catch (const normkit::state_error&) {
    return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  int level = 0;
  const bool before = is_refused();
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  ::testing::InitGoogleTest(&argc, argv);
  int failed = level < MPI_THREAD_FUNNELED || RUN_ALL_TESTS() ? 1 : 0;
  MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  std::optional<MpiCommunicator> left(std::in_place);  // what is not gone before MPI_Finalize does no more
  MPI_Finalize();
  left.reset();
  return before && is_refused() ? failed : 1;
}
