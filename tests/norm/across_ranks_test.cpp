// A batch in parts on several ranks, as one process would do the whole of it. The ranks are threads here.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <atomic>
#include <limits>
#include <string>
#include <vector>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/split_batch.hpp"
#include "support/thread_ranks.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::BatchNorm2d;
using normkit::BatchNormOptions;

static_assert(normkit::Communicator<normkit::SingleProcess>);
static_assert(normkit::Communicator<const normkit::SingleProcess>);
static_assert(normkit::Communicator<ThreadRanks::Communicator>);
static_assert(!normkit::Communicator<const ThreadRanks::Communicator>);
static_assert(!normkit::Communicator<Eigen::DefaultDevice>);

template <class C>
class AcrossRanks : public ::testing::Test {};
TYPED_TEST_SUITE(AcrossRanks, ScalarsLayoutsAndDevices, ConfigName);

TYPED_TEST(AcrossRanks, EqualOneProcess) {
  for (const int size : {1, 2, 3, 7}) {
    ThreadRanks ranks(size);
    expect_any_split<TypeParam>(ranks);
  }
}

TYPED_TEST(AcrossRanks, InChunksAndPieces) {
  using Volume = typename TypeParam::template Tensor<3>;
  const Extents extents{5, 3, 40'009};
  ThreadRanks ranks(3);
  expect_step_of_parts<typename TypeParam::Device>(ranks, {.momentum = 1}, random<Volume>(extents, 1, 3),
                                                   random<Volume>(extents, 2), {1, 4, 5});
}

/// A rank alone is the call without a communicator, bit for bit.
TYPED_TEST(AcrossRanks, OfOneRankAreTheSameBits) {
  using T = typename TypeParam::Scalar;
  using Images = typename TypeParam::template Tensor<4>;
  for (const BatchNormOptions& options :
       {BatchNormOptions{}, BatchNormOptions{.momentum = std::nullopt}, BatchNormOptions{.affine = false},
        BatchNormOptions{.track_running_stats = false}, BatchNormOptions{.unbiased_running_var = false}}) {
    auto x = random<Images>({6, 9, 5, 7}, 1, 0.5, 2), dy = random<Images>({6, 9, 5, 7}, 2);
    for (Index i = 0; i < 7; ++i) {  // the ends of the range
      x(1, 3, 0, i) *= std::numeric_limits<T>::max() / 64;
      x(2, 5, 1, i) = std::numeric_limits<T>::quiet_NaN();
      dy(3, 7, 2, i) *= std::numeric_limits<T>::max() / 64;
    }
    BatchNorm2d<T> alone(9, options), norm(9, options), single(9, options);
    set_parameters(alone, 3);
    set_parameters(norm, 3);
    set_parameters(single, 3);
    Images y = x, dx = x, own_y = x, own_dx = x;
    typename TypeParam::Device where;
    alone.forward(where.device, x, y);
    alone.backward(where.device, x, dy, dx);
    const auto expect_same = [&](const BatchNorm2d<T>& other) {
      EXPECT_TRUE(same_bits(own_y, y));
      EXPECT_TRUE(same_bits(own_dx, dx));
      EXPECT_TRUE(same_bits(other.running_mean(), alone.running_mean()));
      EXPECT_TRUE(same_bits(other.running_var(), alone.running_var()));
      EXPECT_TRUE(same_bits(other.weight_grad(), alone.weight_grad()));
      EXPECT_TRUE(same_bits(other.bias_grad(), alone.bias_grad()));
      EXPECT_EQ(other.num_batches_tracked(), alone.num_batches_tracked());
    };
    ThreadRanks(1).run([&](int, auto& communicator) {
      norm.forward(where.device, communicator, x, own_y);
      norm.backward(where.device, communicator, x, dy, own_dx);
      expect_same(norm);
    });
    single.forward(where.device, normkit::single_process, x, own_y);
    single.backward(where.device, normkit::single_process, x, dy, own_dx);
    expect_same(single);
  }
}

/// What a rank does with 4 x 3 x 2 x 2 images, on two ranks, and what it has then.
struct Rank {
  using Images = Eigen::Tensor<float, 4, Eigen::RowMajor>;
  Images x = random<Images>({4, 3, 2, 2}, 1), dy = random<Images>({4, 3, 2, 2}, 2), y = x, dx = x;
  BatchNorm2d<float> norm{3};
};

TEST(AcrossRanksState, RunningStatisticsAreUsedWithoutAnExchange) {
  ThreadRanks(2).run([](int rank, auto& communicator) {
    Rank r;
    r.norm.forward(communicator, r.x, r.y);
    r.norm.eval();
    EXPECT_EQ(communicator.calls, 1u);
    if (rank == 1) return;  // rank 0 evaluates alone
    r.norm.forward(communicator, r.x, r.y);
    EXPECT_EQ(communicator.calls, 1u);
    Rank::Images expected = r.norm(r.x);
    EXPECT_TRUE(same_bits(r.y, expected));
  });
}

TEST(AcrossRanksState, WithoutRunningStatisticsEvaluationIsOfAllRanksToo) {
  Rank whole;
  whole.norm.forward(whole.x, whole.y);
  ThreadRanks(2).run([&](int rank, auto& communicator) {
    BatchNorm2d<float> norm(3, {.track_running_stats = false});
    norm.eval();
    const Rank::Images x = samples_of(whole.x, rank == 0 ? 0 : 3, rank == 0 ? 3 : 4);
    Rank::Images y = x;
    norm.forward(communicator, x, y);
    const Rank::Images expected = samples_of(whole.y, rank == 0 ? 0 : 3, rank == 0 ? 3 : 4);
    for (Index i = 0; i < y.size(); ++i) EXPECT_NEAR(y.data()[i], expected.data()[i], 1e-6f);
  });
}

/// Frozen statistics: dx is each rank's own affair, the gradients of parameters are of all.
TEST(AcrossRanksState, FrozenLayersHaveTheGradientsOfTheWholeBatch) {
  Rank whole;
  set_parameters(whole.norm, 3);
  whole.norm.eval();
  whole.norm.forward(whole.x, whole.y);
  whole.norm.backward(whole.x, whole.dy, whole.dx);
  ThreadRanks(3).run([&](int rank, auto& communicator) {
    const Index ends[] = {0, 1, 1, 4};
    BatchNorm2d<float> norm(3);
    set_parameters(norm, 3);
    norm.eval();
    const Rank::Images x = samples_of(whole.x, ends[rank], ends[rank + 1]),
                       dy = samples_of(whole.dy, ends[rank], ends[rank + 1]),
                       expected = samples_of(whole.dx, ends[rank], ends[rank + 1]);
    Rank::Images y = x, dx = x;
    norm.forward(communicator, x, y);
    norm.backward(communicator, x, dy, dx);
    EXPECT_EQ(communicator.calls, 1u);
    EXPECT_TRUE(same_bits(dx, expected));
    for (Index c = 0; c < 3; ++c) {
      EXPECT_NEAR(norm.weight_grad()(c), whole.norm.weight_grad()(c), 1e-5f);
      EXPECT_NEAR(norm.bias_grad()(c), whole.norm.bias_grad()(c), 1e-5f);
    }
  });
}

TEST(AcrossRanksState, OwnPartsOfGradientsAddUpToTheWhole) {
  std::vector<float> weight(3), bias(3);
  std::vector<BatchNorm2d<float>> whole(3, BatchNorm2d<float>(3)), parts = whole;
  ThreadRanks(3).run([&](int rank, auto& communicator) {
    Rank r;
    const Index ends[] = {0, 1, 1, 4};
    const Rank::Images x = samples_of(r.x, ends[rank], ends[rank + 1]),
                       dy = samples_of(r.dy, ends[rank], ends[rank + 1]);
    Rank::Images y = x, dx = x, other_dx = x;
    auto &all = whole[static_cast<std::size_t>(rank)], &own = parts[static_cast<std::size_t>(rank)];
    all.forward(communicator, x, y);
    all.backward(communicator, x, dy, dx);
    own.forward(communicator, x, y);
    own.backward(communicator, x, dy, other_dx, {.own_part = true});
    EXPECT_TRUE(same_bits(dx, other_dx));
  });
  for (Index c = 0; c < 3; ++c) {
    EXPECT_NEAR(parts[0].weight_grad()(c) + parts[2].weight_grad()(c), whole[0].weight_grad()(c), 1e-5f);
    EXPECT_NEAR(parts[0].bias_grad()(c) + parts[2].bias_grad()(c), whole[0].bias_grad()(c), 1e-5f);
    EXPECT_EQ(parts[1].weight_grad()(c), 0.0f) << "of a rank without samples";
  }
}

TEST(AcrossRanksState, OnlyTheGradientsThatAreAskedFor) {
  ThreadRanks(2).run([](int rank, auto& communicator) {
    Rank r;
    r.norm.forward(communicator, r.x, r.y);
    r.dx.setConstant(-77);
    Rank::Images small(1, 1, 1, 1);
    if (rank == 0)  // each rank may ask for others
      r.norm.backward(communicator, r.x, r.dy, small, {.input = false, .bias = false});
    else
      r.norm.backward(communicator, r.x, r.dy, r.dx, {.weight = false});
    EXPECT_EQ(r.norm.weight_grad()(0) == 0, rank == 1);
    EXPECT_EQ(r.norm.bias_grad()(0) == 0, rank == 0);
    EXPECT_EQ(r.dx(0, 0, 0, 0) == -77, rank == 0);
  });
}

TEST(AcrossRanksState, OneSampleOfOneRankMakesABatchWithAnother) {
  using Features = Eigen::Tensor<double, 2, Eigen::RowMajor>;
  ThreadRanks(2).run([](int rank, auto& communicator) {
    BatchNorm<double> norm(1, {.eps = 0});
    Features x(1, 1), y(1, 1);
    x(0, 0) = rank == 0 ? 3 : 7;
    norm.forward(communicator, x, y);
    EXPECT_EQ(y(0, 0), rank == 0 ? -1 : 1);
    EXPECT_DOUBLE_EQ(norm.running_mean()(0), 0.5);
    EXPECT_DOUBLE_EQ(norm.running_var()(0), 0.9 + 0.1 * 8);
  });
}

TEST(AcrossRanksState, NothingMovesWhereNoRankHasSamples) {
  ThreadRanks(2).run([](int, auto& communicator) {
    BatchNorm2d<float> norm(3);
    Rank::Images none(0, 3, 2, 2), y = none, dx = none;
    norm.forward(communicator, none, y);
    norm.backward(communicator, none, none, dx);
    EXPECT_EQ(norm.num_batches_tracked(), 0);
    EXPECT_EQ(norm.running_var()(0), 1.0f);
    EXPECT_EQ(norm.weight_grad()(0), 0.0f);
  });
}

TEST(AcrossRanksState, ABatchWithNaNOnOneRankMovesNone) {
  ThreadRanks(3).run([](int rank, auto& communicator) {
    Rank r;
    BatchNorm2d<float> norm(3, {.reject_nonfinite = true});
    if (rank == 1) r.x(0, 1, 1, 1) = std::numeric_limits<float>::quiet_NaN();
    norm.forward(communicator, r.x, r.y);
    EXPECT_EQ(norm.num_batches_rejected(), 1);
    EXPECT_EQ(norm.num_batches_tracked(), 0);
    EXPECT_EQ(norm.running_mean()(0), 0.0f);
    EXPECT_TRUE(std::isnan(r.y(0, 1, 0, 0))) << "the channel is that of all ranks";
    EXPECT_FALSE(std::isnan(r.y(0, 0, 0, 0)));
  });
}

TEST(AcrossRanksState, MicroBatchesOfAllRanksAddUp) {
  Rank whole;
  whole.norm.set_momentum(1.0);
  whole.norm.forward(whole.x, whole.y);
  ThreadRanks(2).run([&](int rank, auto& communicator) {
    BatchNorm2d<float> norm(3, {.momentum = 1.0});
    norm.gather_running_stats();
    for (const Index first : {0, 2}) {
      const Rank::Images x = samples_of(whole.x, first + rank, first + rank + 1);
      Rank::Images y = x;
      norm.forward(communicator, x, y);
    }
    norm.move_running_stats();
    EXPECT_EQ(norm.num_batches_tracked(), 1);
    for (Index c = 0; c < 3; ++c) {
      EXPECT_NEAR(norm.running_mean()(c), whole.norm.running_mean()(c), 1e-6f);
      EXPECT_NEAR(norm.running_var()(c), whole.norm.running_var()(c), 1e-6f);
    }
  });
}

TEST(AcrossRanksState, NumbersOf16Bits) {
  using Images = Eigen::Tensor<Eigen::bfloat16, 4, Eigen::RowMajor>;
  Images x(4, 3, 2, 2), dy = x, y = x, dx = x;
  const Rank numbers;
  for (Index i = 0; i < x.size(); ++i) {
    x.data()[i] = Eigen::bfloat16(numbers.x.data()[i]);
    dy.data()[i] = Eigen::bfloat16(numbers.dy.data()[i]);
  }
  BatchNorm2d<float> whole(3);
  whole.forward(x, y);
  whole.backward(x, dy, dx);
  ThreadRanks(2).run([&](int rank, auto& communicator) {
    const Images own = samples_of(x, 2 * rank, 2 * rank + 2), own_dy = samples_of(dy, 2 * rank, 2 * rank + 2);
    Images own_y = own, own_dx = own;
    BatchNorm2d<float> norm(3);
    norm.forward(communicator, own, own_y);
    norm.backward(communicator, own, own_dy, own_dx);
    const Images expected = samples_of(y, 2 * rank, 2 * rank + 2), expected_dx = samples_of(dx, 2 * rank, 2 * rank + 2);
    for (Index i = 0; i < own.size(); ++i) {  // an ulp of bfloat16 at most
      EXPECT_NEAR(static_cast<float>(own_y.data()[i]), static_cast<float>(expected.data()[i]), 0x1p-7f);
      EXPECT_NEAR(static_cast<float>(own_dx.data()[i]), static_cast<float>(expected_dx.data()[i]), 0x1p-7f);
    }
  });
}

/// All that a refused call could have touched.
void expect_untouched(const Rank& r, const Rank& before) {
  EXPECT_TRUE(same_bits(r.y, before.y));
  EXPECT_TRUE(same_bits(r.dx, before.dx));
  EXPECT_TRUE(same_bits(r.norm.running_mean(), before.norm.running_mean()));
  EXPECT_TRUE(same_bits(r.norm.running_var(), before.norm.running_var()));
  EXPECT_TRUE(same_bits(r.norm.weight_grad(), before.norm.weight_grad()));
  EXPECT_TRUE(same_bits(r.norm.bias_grad(), before.norm.bias_grad()));
  EXPECT_EQ(r.norm.num_batches_tracked(), before.norm.num_batches_tracked());
}

TEST(AcrossRanksErrors, OfOneRankAreThrownOnAllAndNothingMoves) {
  ThreadRanks(3).run([](int rank, auto& communicator) {
    Rank r;
    const Rank before = r;
    Rank::Images wrong(4, 5, 2, 2);
    if (rank == 1)
      expect_error<normkit::shape_error>([&] { r.norm.forward(communicator, wrong, r.y); }, {"3 channels", "got 5"});
    else
      expect_error<normkit::rank_error>([&] { r.norm.forward(communicator, r.x, r.y); },
                                        {"BatchNorm2d: rank 1 has refused", "BatchNorm2d: expected"});
    expect_untouched(r, before);
    EXPECT_EQ(r.norm.saved().mean.size(), 0);

    // And the ranks go on together.
    r.norm.forward(communicator, r.x, r.y);
    const Rank after = r;
    if (rank == 2)
      expect_error<normkit::shape_error>([&] { r.norm.backward(communicator, r.x, wrong, r.dx); }, {"dy"});
    else
      expect_error<normkit::rank_error>([&] { r.norm.backward(communicator, r.x, r.dy, r.dx); }, {"rank 2"});
    expect_untouched(r, after);
    r.norm.backward(communicator, r.x, r.dy, r.dx);
    EXPECT_FALSE(same_bits(r.dx, after.dx));
  });
}

TEST(AcrossRanksErrors, AReasonIsCutToTheRoomThatThereIs) {
  ThreadRanks(2).run([](int rank, auto& communicator) {
    Rank r;
    r.norm.forward(communicator, r.x, r.y);
    Rank::Images wrong(4, 3, 2, 3);
    try {
      r.norm.backward(communicator, r.x, rank == 0 ? wrong : r.dy, r.dx);
      ADD_FAILURE() << "no error";
    } catch (const normkit::rank_error& error) {
      EXPECT_EQ(rank, 1);
      const std::string prefix = "BatchNorm2d: rank 0 has refused its part: ";
      EXPECT_EQ(std::string(error.what()).size(), prefix.size() + 64)
          << error.what();  // 3 channels of 18 bytes, aligned
    } catch (const normkit::shape_error&) {
      EXPECT_EQ(rank, 0);
    }
  });
}

TEST(AcrossRanksErrors, TooFewValuesOnAllRanksTogether) {
  using Features = Eigen::Tensor<float, 2, Eigen::RowMajor>;
  ThreadRanks(2).run([](int rank, auto& communicator) {
    BatchNorm<float> norm(4);
    Features x(rank, 4), y(rank, 4);
    x.setConstant(1);
    expect_error<normkit::shape_error>([&] { norm.forward(communicator, x, y); }, {"more than 1 value per channel"});
    EXPECT_EQ(norm.num_batches_tracked(), 0);
  });
}

TEST(AcrossRanksErrors, CallsThatDoNotBelongTogether) {
  ThreadRanks(2).run([](int rank, auto& communicator) {
    Rank r;
    r.norm.forward(communicator, r.x, r.y);
    // One rank goes back from an older forward, of another batch.
    const auto older = r.norm.saved();
    const Rank::Images half = samples_of(r.x, 0, 2);
    Rank::Images y = half, dx = half;
    rank == 0 ? r.norm.forward(communicator, r.x, r.y) : r.norm.forward(communicator, half, y);
    const Rank before = r;
    if (rank == 0)
      expect_error<normkit::state_error>([&] { r.norm.backward(communicator, r.x, r.dy, r.dx); },
                                         {"a forward of 24 values", "rank 1", "a forward of 32 values"});
    else
      expect_error<normkit::state_error>([&] { r.norm.backward(communicator, r.x, r.dy, r.dx, older); },
                                         {"a forward of 32 values", "rank 0", "a forward of 24 values"});
    expect_untouched(r, before);
    // And one from running statistics.
    r.norm.train(rank == 0);
    if (rank == 1) r.norm.forward(r.x, r.y);
    expect_error<normkit::state_error>([&] { r.norm.backward(communicator, r.x, r.dy, r.dx); },
                                       {"running statistics", "24 values"});
  });
}

TEST(AcrossRanksErrors, ForwardAndBackwardAreBothWithACommunicatorOrNeither) {
  ThreadRanks(1).run([](int, auto& communicator) {
    Rank r;
    r.norm.forward(communicator, r.x, r.y);
    expect_error<normkit::state_error>([&] { r.norm.backward(r.x, r.dy, r.dx); }, {"without a communicator"});
    expect_error<normkit::state_error>([&] { r.norm.jvp(r.x, r.dy, r.dx); }, {"without a communicator"});
    r.norm.forward(r.x, r.y);
    expect_error<normkit::state_error>([&] { r.norm.backward(communicator, r.x, r.dy, r.dx); },
                                       {"with a communicator"});
    r.norm.forward(communicator, r.x, r.x);
    expect_error<normkit::state_error>([&] { r.norm.backward(communicator, r.x, r.dy, r.dx); }, {"in place"});
  });
}

TEST(AcrossRanksErrors, ACommunicatorThatLosesBytes) {
  struct Broken {
    std::vector<std::byte> bytes;
    std::span<const std::byte> all_gather(std::span<const std::byte> own) {
      bytes.assign(own.begin(), own.end() - 1);
      return bytes;
    }
  } broken;
  Rank r;
  const Rank before = r;
  expect_error<normkit::argument_error>([&] { r.norm.forward(broken, r.x, r.y); }, {"all_gather", "from each rank"});
  expect_untouched(r, before);
}

/// docs/distributed.md has these figures: one message a call, 32 bytes and 21 or 18 (double: 44 or 40) a channel, rounded up to 16.
TEST(AcrossRanksCost, IsOneMessageForAForwardAndOneForABackward) {
  const auto count = [](auto scalar, std::size_t forward_bytes, std::size_t backward_bytes) {
    using T = decltype(scalar);
    using Images = Eigen::Tensor<T, 4, Eigen::RowMajor>;
    ThreadRanks(2).run([&](int, auto& communicator) {
      BatchNorm2d<T> norm(256);
      const auto x = random<Images>({2, 256, 3, 3}, 1);
      Images y = x, dx = x;
      norm.forward(communicator, x, y);
      EXPECT_EQ(communicator.calls, 1u);
      EXPECT_EQ(communicator.bytes, forward_bytes);
      norm.backward(communicator, x, x, dx);
      EXPECT_EQ(communicator.calls, 2u);
      EXPECT_EQ(communicator.bytes, forward_bytes + backward_bytes);
    });
  };
  count(float(), 32 + 256 * 21, 32 + 256 * 18);
  count(double(), 32 + 256 * 44, 32 + 256 * 40);
}

TEST(AcrossRanksCost, NothingIsAllocatedAfterTheFirstStep) {
  std::atomic<long> most{0};
  ThreadRanks(1).run([&](int, auto& communicator) {
    Rank r;
    const auto step = [&] {
      r.norm.forward(communicator, r.x, r.y);
      r.norm.backward(communicator, r.x, r.dy, r.dx);
    };
    step();
    most = allocations_of(step);
  });
  EXPECT_EQ(most.load(), 0);
}

}  // namespace
