// Every allocation of a call made to fail in turn, and pools that refuse work: the call throws std::bad_alloc and parameters, running
// statistics, counters, gradients and what was saved are as before, or it gives what it always gives. Done again, it does so.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <cstdint>
#include <new>

#include "support/allocations.hpp"
#include "support/configs.hpp"
#include "support/judge.hpp"
#include "support/refusing_pool.hpp"
#include "support/snapshot.hpp"

#if !defined(NORMKIT_TESTS_SANITIZED) && defined(__GLIBC__)

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::GroupNorm;
using normkit::InstanceNorm;
using normkit::LayerNorm;
using normkit::RMSNorm;
using Volume = Eigen::Tensor<float, 3, Eigen::RowMajor>;

/// Whether `action` has thrown std::bad_alloc, with memory for `allocations` of its allocations and then none for one.
template <class Action>
bool fails_after(long allocations, const Action& action) {
  allocations_left = allocations;
  bool failed = false;
  try {
    action();
  } catch (const std::bad_alloc&) {
    failed = true;
  }
  allocations_left = -1;
  return failed;
}

/// All that a layer holds.
template <class Norm>
Bytes everything_of(Norm& norm) {
  Bytes bytes = state_of(norm);
  for (const auto* tensor : {&norm.weight_grad(), &norm.bias_grad()}) append(bytes, *tensor);
  append(bytes, static_cast<std::int64_t>(norm.saved().source));
  return bytes;
}

class Failures : public ::testing::Test {
 protected:
  /// `call(norm, y)`, on a layer that `prepare` has made ready.
  template <class Norm, class Prepare, class Call>
  void check(const Norm& made, const Prepare& prepare, const Call& call) {
    const auto ready = [&] {
      Norm norm = made;
      set_parameters(norm, 3);
      prepare(norm);
      return norm;
    };
    Norm undisturbed = ready();
    Volume expected = blank_, y = blank_;
    const long all = allocations_of([&] { call(undisturbed, expected); });
    const Bytes after = everything_of(undisturbed);
    for (long memory = 0; memory < all; ++memory) {
      SCOPED_TRACE(::testing::Message() << made << ", memory for " << memory << " of " << all);
      Norm norm = ready();
      const Bytes before = everything_of(norm);
      y = blank_;
      const bool failed = fails_after(memory, [&] { call(norm, y); });
      if (failed) {
        EXPECT_TRUE(everything_of(norm) == before) << "something moved";
        y = blank_;
        call(norm, y);
      }
      EXPECT_TRUE(everything_of(norm) == after);
      EXPECT_TRUE(same_bits(y, expected));
    }
    failures_ += all;
  }
  template <class Norm, class Call>
  void check(const Norm& made, const Call& call) {
    check(
        made, [](Norm&) {}, call);
  }
  /// The same of a call that needs a forward before it.
  template <class Norm, class Call>
  void check_behind_forward(const Norm& made, const Call& call) {
    check(
        made,
        [&](Norm& norm) {
          Volume y = blank_;
          norm.forward(x_, y);
        },
        call);
  }

  const Volume x_ = random<Volume>({4, 6, 50}, 1, 0.5, 2), dy_ = random<Volume>({4, 6, 50}, 2);
  const Volume other_ = random<Volume>({4, 6, 50}, 4), blank_ = constant<Volume>({4, 6, 50}, -77);
  long failures_ = 0;  // that there have been
};

TEST_F(Failures, OfAnAllocationAreSeen) {
  EXPECT_TRUE(fails_after(0, [] { (void)Volume(3, 3, 3); }));
  EXPECT_FALSE(fails_after(1, [] { (void)Volume(3, 3, 3); }));
}

TEST_F(Failures, InForward) {
  const auto forward = [&](auto& norm, Volume& y) { norm.forward(x_, y); };
  const auto evaluates = [](auto& norm) { norm.eval(); };
  const auto called = [&](auto& norm, Volume& y) { y = norm(x_); };
  const auto of_expression = [&](auto& norm, Volume& y) { norm.forward(x_ * 2.0f, y); };
  const auto inferred = [&](auto& norm, Volume& y) { norm.infer(x_ * 2.0f, y); };
  const auto all = [&](const auto& norm) {
    check(norm, forward);
    check(norm, evaluates, forward);
    check(norm, called);
    check(norm, of_expression);
    check(norm, inferred);
  };
  all(BatchNorm<float>(6));
  all(BatchNorm<float>(6, {.reject_nonfinite = true}));
  all(BatchNorm<float>(50, {.channel_axis = -1}));
  all(LayerNorm<float>(50));
  all(RMSNorm<float>(6, {.axis = 1}));
  all(GroupNorm<float>(2, 6));
  all(InstanceNorm<float>(6, {.affine = true, .track_running_stats = true}));
  EXPECT_GT(failures_, 0);
}

TEST_F(Failures, InBackward) {
  const auto backward = [&](auto& norm, Volume& dx) { norm.backward(x_, dy_, dx); };
  const auto of_expressions = [&](auto& norm, Volume& dx) { norm.backward(x_ * 1.0f, dy_ * 2.0f, dx); };
  const auto all = [&](const auto& norm) {
    check_behind_forward(norm, backward);
    check_behind_forward(norm, of_expressions);
  };
  all(BatchNorm<float>(6));
  all(BatchNorm<float>(50, {.channel_axis = -1}));
  all(LayerNorm<float>(50));
  all(RMSNorm<float>(6, {.axis = 1}));
  all(GroupNorm<float>(2, 6));
  all(InstanceNorm<float>(6, {.affine = true}));
  EXPECT_GT(failures_, 0);
}

TEST_F(Failures, InWhatSomeLayersCanDo) {
  Eigen::Tensor<std::int32_t, 1> lengths(4);
  lengths.setValues({50, 3, 0, 21});
  check(BatchNorm<float>(6), [&](auto& norm, Volume& y) { norm.forward(x_, lengths, y); });
  check(
      BatchNorm<float>(6),
      [&](auto& norm) {
        Volume y = blank_;
        norm.forward(x_, lengths, y);
      },
      [&](auto& norm, Volume& dx) { norm.backward(x_, lengths, dy_, dx); });
  check(BatchNorm<float>(6), [&](auto& norm, Volume& y) {
    normkit::ReLUMask mask;
    norm.forward_add_relu(x_, other_, y, mask);
  });
  check(LayerNorm<float>(50), [&](auto& norm, Volume& y) {
    Volume sum = y;
    norm.forward_add(x_, other_ * 1.0f, sum, y);
  });
  const auto jvp = [&](auto& norm, Volume& y) { norm.jvp(x_, other_, y); };
  const auto twice = [&](auto& norm, Volume& y) {
    Volume more = y;
    norm.double_backward(x_, dy_, other_, y, more);
  };
  check_behind_forward(BatchNorm<float>(6), jvp);
  check_behind_forward(LayerNorm<float>(50), jvp);
  check_behind_forward(BatchNorm<float>(6), twice);
  check_behind_forward(RMSNorm<float>(50), twice);
  const auto from_output = [&](auto& norm, Volume& dx) {
    Volume y = x_;
    norm.infer(y, y);
    norm.backward_from_output(y, dy_, dx);
  };
  check_behind_forward(LayerNorm<float>(50), from_output);
  check(BatchNorm<float>(6), [&](auto& norm, Volume&) { norm.gather_running_stats(); });
  check(
      BatchNorm<float>(6), [](auto& norm) { norm.gather_running_stats(); },
      [&](auto& norm, Volume& y) {
        norm.forward(x_, y);
        norm.move_running_stats();
      });
  EXPECT_GT(failures_, 0);
}

TEST_F(Failures, InCopies) {
  const auto assigned = [&](const auto& made) {
    auto other = made;
    Volume y = blank_;
    other.forward(other_, y);
    other.backward(other_, dy_, y);
    check_behind_forward(made, [&](auto& norm, Volume&) { norm = other; });
    check(made, [&](auto& norm, Volume&) { norm = other; });  // of another size of what is saved
  };
  assigned(BatchNorm<float>(6));
  assigned(LayerNorm<float>(50));
  assigned(InstanceNorm<float>(6, {.affine = true, .track_running_stats = true}));
  EXPECT_GT(failures_, 0);
}

template <class Error>
void a_pool_that_refuses_costs_speed_alone() {
  const auto x = random<Volume>({8, 24, 1030}, 1), dy = random<Volume>({8, 24, 1030}, 2);
  const auto step = [&](auto norm, const auto& device) {
    Volume y = x, dx = x;
    norm.forward(device, x, y);
    norm.backward(device, x, dy, dx);
    Bytes bytes = everything_of(norm);
    append(bytes, y);
    append(bytes, dx);
    return bytes;
  };
  const auto all = [&](const auto& norm) {
    for (const int accepted : {0, 1, 2}) {
      RefusingPool<Error> pool(accepted);
      EXPECT_EQ(step(norm, Eigen::ThreadPoolDevice(&pool, 4)), step(norm, Eigen::DefaultDevice())) << norm;
    }
  };
  all(BatchNorm<float>(24));
  all(BatchNorm<float>(1030, {.channel_axis = -1}));
  all(LayerNorm<float>(1030));
  all(GroupNorm<float>(4, 24));
}

TEST(RefusingPools, CostSpeedAlone) { a_pool_that_refuses_costs_speed_alone<Full>(); }
TEST(RefusingPools, WithoutMemoryTheSame) { a_pool_that_refuses_costs_speed_alone<std::bad_alloc>(); }

}  // namespace

#endif
