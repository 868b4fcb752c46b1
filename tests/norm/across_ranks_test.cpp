// A batch in parts on several ranks, as one process would do the whole of it. The ranks are threads here.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <atomic>
#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
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
  for (const int size : {2, 7}) {  // tests/mpi has more
    ThreadRanks ranks(size);
    expect_any_split<TypeParam>(ranks);
  }
}

TYPED_TEST(AcrossRanks, InChunksAndPieces) {
  using Volume = typename TypeParam::template Tensor<3>;
  const Extents extents{3, 2, 40'009};
  ThreadRanks ranks(2);
  expect_step_of_parts<typename TypeParam::Device>(ranks, {.momentum = 1}, random<Volume>(extents, 1, 3),
                                                   random<Volume>(extents, 2), {1, 3});
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

/// How far two numbers may be from each other that both keep the rule, of terms that are `size` together: those of Rank are below 5,
/// and so is each xhat and the mean of their magnitudes.
float apart(int k, float size) { return 2 * static_cast<float>(k) * 0x1p-24f * size; }
const float y_apart = apart(roundings::y, 10), running_apart = apart(roundings::running, 25),
            dweight_apart = apart(roundings::dweight, 16 * 5 * 10), dbias_apart = apart(roundings::dbias, 16 * 5),
            dx_apart = apart(roundings::dx, 10 * 60);

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
    for (Index i = 0; i < y.size(); ++i) EXPECT_NEAR(y.data()[i], expected.data()[i], y_apart);
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
      EXPECT_NEAR(norm.weight_grad()(c), whole.norm.weight_grad()(c), dweight_apart);
      EXPECT_NEAR(norm.bias_grad()(c), whole.norm.bias_grad()(c), dbias_apart);
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
    Eigen::TensorMap<Rank::Images> into(other_dx.size() > 0 ? other_dx.data() : r.dx.data(), other_dx.dimensions());
    own.backward(communicator, x, dy, into, {.own_part = true});
    EXPECT_TRUE(same_bits(dx, other_dx));
  });
  for (Index c = 0; c < 3; ++c) {
    EXPECT_NEAR(parts[0].weight_grad()(c) + parts[2].weight_grad()(c), whole[0].weight_grad()(c), dweight_apart);
    EXPECT_NEAR(parts[0].bias_grad()(c) + parts[2].bias_grad()(c), whole[0].bias_grad()(c), dbias_apart);
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
      EXPECT_NEAR(norm.running_mean()(c), whole.norm.running_mean()(c), running_apart);
      EXPECT_NEAR(norm.running_var()(c), whole.norm.running_var()(c), running_apart);
    }
  });
}

/// Messages are memory, not state.
TEST(AcrossRanksState, LayersThatAreCopiedAndMoved) {
  ThreadRanks(2).run([](int, auto& communicator) {
    Rank r;
    r.norm.forward(communicator, r.x, r.y);
    BatchNorm2d<float> copy = r.norm, moved = std::move(r.norm);
    moved.backward(communicator, r.x, r.dy, r.dx);
    Rank::Images dx = r.dx;
    copy.backward(communicator, r.x, r.dy, dx);
    EXPECT_TRUE(same_bits(dx, r.dx));
    expect_error<normkit::shape_error>([&] { r.norm.forward(communicator, r.x, r.y); }, {"weight of shape (3,)"});
    BatchNorm2d<float> plain(3, {.affine = false, .track_running_stats = false});
    plain.forward(communicator, r.x, r.y);
    const BatchNorm2d<float> away = std::move(plain);
    plain.forward(communicator, r.x, dx);  // of nothing that has been moved from
    EXPECT_TRUE(same_bits(dx, r.y));
    r.norm = moved;
    r.norm.forward(communicator, r.x, r.y);
  });
}

/// What all_gather returns may be a container of its own, too.
TEST(AcrossRanksState, MessagesByValue) {
  struct Values {
    std::vector<std::byte> all_gather(std::span<const std::byte> own) const { return {own.begin(), own.end()}; }
  };
  const Values values;
  Rank r, alone;
  r.norm.forward(values, r.x, r.y);
  r.norm.backward(values, r.x, r.dy, r.dx);
  alone.norm.forward(alone.x, alone.y);
  alone.norm.backward(alone.x, alone.dy, alone.dx);
  EXPECT_TRUE(same_bits(r.y, alone.y));
  EXPECT_TRUE(same_bits(r.dx, alone.dx));
}

/// A rank that evaluates no samples without the communicator goes back with the others.
TEST(AcrossRanksState, AFrozenForwardOfNoSamples) {
  ThreadRanks(2).run([](int rank, auto& communicator) {
    Rank r;
    r.norm.eval();
    Rank::Images none(0, 3, 2, 2), y = none, dx = none;
    rank == 0 ? r.norm.forward(none, y) : r.norm.forward(r.x, r.y);
    rank == 0 ? r.norm.backward(communicator, none, none, dx) : r.norm.backward(communicator, r.x, r.dy, r.dx);
    EXPECT_NE(r.norm.weight_grad()(0), 0.0f);
    expect_same_on_all(communicator, r.norm.weight_grad(), "gradient of weight");
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
      const float one = static_cast<float>(expected.data()[i]), two = static_cast<float>(expected_dx.data()[i]);
      EXPECT_NEAR(static_cast<float>(own_y.data()[i]), one, 0x1p-7f * std::fabs(one) + y_apart);
      EXPECT_NEAR(static_cast<float>(own_dx.data()[i]), two, 0x1p-7f * std::fabs(two) + dx_apart);
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

/// An expression that throws an Error, or is x.
template <class Error>
struct Thrower {
  bool throws;

  template <class X>
  Eigen::DSizes<Index, 4> dimensions(const X& x) const {
    return x.dimensions();
  }
  template <class X, class Y, class Device>
  void eval(const X& x, Y& y, const Device& device) const {
    if constexpr (std::is_same_v<Error, int>) {
      if (throws) throw 7;
    } else {
      if (throws) throw Error();
    }
    y.device(device) = x;
  }
};

TEST(AcrossRanksErrors, OfOneRankAreThrownOnAllAndNothingMoves) {
  ThreadRanks(3).run([](int rank, auto& communicator) {
    Rank r;
    const Rank before = r;
    Rank::Images wrong(4, 5, 2, 2);
    if (rank == 1)
      expect_error<normkit::shape_error>([&] { r.norm.forward(communicator, wrong, r.y); }, {"3 channels", "got 5"});
    else
      expect_error<normkit::rank_error>(
          [&] { r.norm.forward(communicator, r.x, r.y); },
          {"BatchNorm2d: rank 1 has refused", "BatchNorm2d: expected 3 channels", "(4, 5, 2, 2)"});
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
  struct Long : std::runtime_error {
    Long() : std::runtime_error(std::string(1000, 'x')) {}
  };
  ThreadRanks(2).run([](int rank, auto& communicator) {
    Rank r;
    try {
      const Thrower<Long> thrower{rank == 0};
      r.norm.forward(communicator, r.x.customOp(thrower), r.y);
      ADD_FAILURE() << "no error";
    } catch (const normkit::rank_error& error) {
      EXPECT_EQ(rank, 1);
      EXPECT_EQ(error.rank, 0);
      EXPECT_EQ(std::string(error.what()), "BatchNorm2d: rank 0 has refused its part: " + std::string(192, 'x'));
    } catch (const Long&) {
      EXPECT_EQ(rank, 0);
    }
  });
}

/// What is no std::exception, or comes of an expression that is evaluated on the way, is an error like others.
TEST(AcrossRanksErrors, OfExpressionsAndOfOtherTypes) {
  ThreadRanks(2).run([](int rank, auto& communicator) {
    Rank r;
    r.norm.forward(communicator, r.x, r.y);
    const Rank before = r;
    const auto check = [&](const auto& call) {
      try {
        call();
        ADD_FAILURE() << "no error";
      } catch (int number) {
        EXPECT_EQ(rank, 0);
        EXPECT_EQ(number, 7);
      } catch (const normkit::rank_error&) {
        EXPECT_EQ(rank, 1);
      }
      expect_untouched(r, before);
    };
    const Thrower<int> thrower{rank == 0};
    check([&] { r.norm.forward(communicator, r.x.customOp(thrower), r.y); });
    check([&] { r.norm.backward(communicator, r.x.customOp(thrower), r.dy, r.dx); });
    check([&] { r.norm.backward(communicator, r.x, r.dy.customOp(thrower), r.dx); });
    Rank::Images expected = r.y;
    BatchNorm2d<float> other(3);
    other.forward(communicator, r.x + r.x, expected);
    other.forward(communicator, Rank::Images(r.x + r.x), r.y);
    EXPECT_TRUE(same_bits(r.y, expected));
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

/// Messages of forward and backward are of one length, so that ranks in different calls, or in different modes, find out.
TEST(AcrossRanksErrors, ForwardOnOneRankAndBackwardOnAnother) {
  for (const Index channels : {1, 4, 256}) {
    ThreadRanks(2).run([&](int rank, auto& communicator) {
      BatchNorm<double> norm(channels);
      const auto x = random<Eigen::Tensor<double, 2>>({4, channels}, 1);
      auto y = x, dx = x;
      norm.train(rank == 0);
      if (rank == 1) norm.forward(communicator, x, y);  // nothing is exchanged
      const auto call = [&] { rank == 0 ? norm.forward(communicator, x, y) : norm.backward(communicator, x, y, dx); };
      expect_error<normkit::state_error>(call, {"a forward of", "the backward of running statistics"});
      EXPECT_EQ(norm.num_batches_tracked(), 0);
    });
  }
}

/// Of equal length: 32 + 44 bytes, and 32 + 2 * 21, and both less than there is room for a reason.
TEST(AcrossRanksErrors, OtherLayersOnOtherRanks) {
  for (const Index channels : {1, 2}) {
    const std::string floats = std::to_string(channels) + " channels of float";
    ThreadRanks(2).run([&](int rank, auto& communicator) {
      const auto refused = [&](auto scalar, Index own) {
        using Features = Eigen::Tensor<decltype(scalar), 2>;
        BatchNorm<decltype(scalar)> norm(own);
        const auto x = random<Features>({4, own}, 1);
        Features y = x;
        expect_error<normkit::state_error>([&] { norm.forward(communicator, x, y); },
                                           {"1 channels of double", floats.c_str()});
      };
      rank == 0 ? refused(double(), 1) : refused(float(), channels);
    });
  }
}

TEST(AcrossRanksErrors, ForwardAndBackwardAreBothWithACommunicatorOrNeither) {
  ThreadRanks(1).run([](int, auto& communicator) {
    Rank r;
    r.norm.forward(communicator, r.x, r.y);
    expect_error<normkit::state_error>([&] { r.norm.backward(r.x, r.dy, r.dx); }, {"without a communicator"});
    expect_error<normkit::state_error>([&] { r.norm.jvp(r.x, r.dy, r.dx); }, {"without a communicator"});
    EXPECT_FALSE(r.norm.recovers());
    r.norm.forward(r.x, r.y);
    expect_error<normkit::state_error>([&] { r.norm.backward(communicator, r.x, r.dy, r.dx); },
                                       {"with a communicator"});
    r.norm.forward(communicator, r.x, r.x);
    expect_error<normkit::state_error>([&] { r.norm.backward(communicator, r.x, r.dy, r.dx); }, {"in place"});
  });
}

TEST(AcrossRanksErrors, OtherRanksInBackwardThanInForward) {
  struct Alone {
    std::span<const std::byte> all_gather(std::span<const std::byte> own) { return own; }
  };
  ThreadRanks(2).run([](int, auto& communicator) {
    Rank r;
    r.norm.forward(communicator, r.x, r.y);
    Alone alone;
    const Rank before = r;
    expect_error<normkit::state_error>([&] { r.norm.backward(alone, r.x, r.dy, r.dx); },
                                       {"a batch of", "values per channel"});
    expect_untouched(r, before);
  });
  const std::byte own[3]{};
  EXPECT_EQ(normkit::single_process.all_gather(own).size(), 3u);
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

/// docs/distributed.md has these figures: one message a call, 32 bytes and 21 (double: 44) a channel, rounded up to 16, and at least
/// 224.
TEST(AcrossRanksCost, IsOneMessageForAForwardAndOneForABackward) {
  const auto count = [](auto scalar, Index channels, std::size_t bytes) {
    using T = decltype(scalar);
    using Images = Eigen::Tensor<T, 4, Eigen::RowMajor>;
    ThreadRanks(2).run([&](int, auto& communicator) {
      BatchNorm2d<T> norm(channels);
      const auto x = random<Images>({2, channels, 3, 3}, 1);
      Images y = x, dx = x;
      norm.forward(communicator, x, y);
      EXPECT_EQ(communicator.calls, 1u);
      EXPECT_EQ(communicator.bytes, bytes);
      norm.backward(communicator, x, x, dx);
      EXPECT_EQ(communicator.calls, 2u);
      EXPECT_EQ(communicator.bytes, 2 * bytes);
    });
  };
  count(float(), 256, 32 + 256 * 21);
  count(double(), 256, 32 + 256 * 44);
  count(float(), 1, 224);
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
