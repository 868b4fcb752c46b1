// Bad input: a typed error that shows what was expected and what came, and nothing has moved.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"
#include "support/snapshot.hpp"

namespace {

using namespace support;
using normkit::argument_error;
using normkit::BatchNorm;
using normkit::LayerNorm;
using normkit::shape_error;
using normkit::state_error;
template <int Rank>
using Rows = Eigen::Tensor<float, Rank, Eigen::RowMajor>;

// Calls. Each layer has gone through a forward and a backward, so that all of its state is there to be moved.

template <class Norm>
class BadCalls : public ::testing::Test {
 protected:
  explicit BadCalls(Norm norm) : norm_(std::move(norm)) {
    set_parameters(norm_, 3);
    norm_.forward(x_, y_);
    norm_.backward(x_, dy_, dx_);
  }

  /// The call must fail with an Error that says `words`, and all state and tensors must be as before.
  template <class Error, class Action>
  void rejects(Action&& action, std::initializer_list<const char*> words) {
    const Bytes before = everything();
    expect_error<Error>(action, words);
    EXPECT_EQ(everything(), before) << "something moved";
  }

  Bytes everything() {
    Bytes bytes = state_of(norm_);
    for (const Rows<4>* tensor : {&x_, &y_, &dy_, &dx_}) append(bytes, *tensor);
    return bytes;
  }

  Rows<4> x_ = random<Rows<4>>({2, 5, 4, 3}, 1), y_{2, 5, 4, 3};
  Rows<4> dy_ = random<Rows<4>>({2, 5, 4, 3}, 2), dx_{2, 5, 4, 3};
  Rows<4> other_ = random<Rows<4>>({2, 5, 4, 2}, 3);  // of another shape
  Norm norm_;
};

struct BatchNormCalls : BadCalls<BatchNorm<float>> {
  BatchNormCalls() : BadCalls(BatchNorm<float>(5)) {}
};
struct LayerNormCalls : BadCalls<LayerNorm<float, 2>> {
  LayerNormCalls() : BadCalls(LayerNorm<float, 2>({4, 3})) {}
};

TEST_F(BatchNormCalls, WrongNumberOfChannels) {
  const Rows<4> wrong = random<Rows<4>>({2, 7, 4, 3}, 4);
  Rows<4> out = wrong;
  rejects<shape_error>([&] { norm_.forward(wrong, out); }, {"5", "7", "(2, 7, 4, 3)"});
  rejects<shape_error>([&] { norm_.infer(wrong, out); }, {"5", "7"});
  rejects<shape_error>([&] { norm_(wrong); }, {"5", "7"});
  EXPECT_TRUE(same_bits(out, wrong));
  norm_.eval();
  rejects<shape_error>([&] { norm_.forward(wrong, out); }, {"5", "7"});
}

TEST_F(BatchNormCalls, ChannelAxisOutOfRange) {
  BatchNorm<float> far(5, {.channel_axis = 4}), negative(5, {.channel_axis = -5});
  rejects<argument_error>([&] { far.forward(x_, y_); }, {"channel_axis", "[-4, 4)", "got 4"});
  rejects<argument_error>([&] { negative.forward(x_, y_); }, {"channel_axis", "[-4, 4)", "got -5"});
  EXPECT_EQ(far.num_batches_tracked() + negative.num_batches_tracked(), 0);
}

TEST_F(BatchNormCalls, OneValuePerChannelInTraining) {
  const Rows<4> single = random<Rows<4>>({1, 5, 1, 1}, 4);
  Rows<4> out = single;
  rejects<shape_error>([&] { norm_.forward(single, out); }, {"Expected more than 1 value per channel when training"});
  norm_.eval();
  EXPECT_NO_THROW(norm_.forward(single, out));
  BatchNorm<float> untracked(5, {.track_running_stats = false});
  untracked.eval();  // the batch's statistics in evaluation too
  EXPECT_THROW(untracked.forward(single, out), shape_error);
}

TEST_F(BatchNormCalls, NegativeRunningVarianceInEvaluation) {
  norm_.running_var()(3) = -0.5f;
  EXPECT_NO_THROW(norm_.forward(x_, y_)) << "training does not read it";
  norm_.running_var()(3) = -0.5f;
  norm_.eval();
  rejects<argument_error>([&] { norm_.forward(x_, y_); }, {"running_var", "-0.5"});
  rejects<argument_error>([&] { norm_.infer(x_, y_); }, {"running_var", "-0.5"});
  rejects<argument_error>([&] { norm_(x_); }, {"running_var", "-0.5"});
}

TEST_F(BatchNormCalls, OperationInTraining) {
  rejects<state_error>([&] { y_ = x_.customOp(norm_.op()); }, {"train"});
  norm_.eval();
  EXPECT_NO_THROW(y_ = x_.customOp(norm_.op()));
}

TEST_F(BatchNormCalls, ShapeOfY) {
  rejects<shape_error>([&] { norm_.forward(x_, other_); }, {"(2, 5, 4, 3)", "(2, 5, 4, 2)"});
  rejects<shape_error>([&] { norm_.infer(x_, other_); }, {"(2, 5, 4, 3)", "(2, 5, 4, 2)"});
}

TEST_F(LayerNormCalls, ShapeOfY) {
  rejects<shape_error>([&] { norm_.forward(x_, other_); }, {"(2, 5, 4, 3)", "(2, 5, 4, 2)"});
  rejects<shape_error>([&] { norm_.infer(x_, other_); }, {"(2, 5, 4, 3)", "(2, 5, 4, 2)"});
}

TEST_F(BatchNormCalls, ShapeOfGradients) {
  rejects<shape_error>([&] { norm_.backward(x_, other_, dx_); }, {"(2, 5, 4, 3)", "(2, 5, 4, 2)"});
  rejects<shape_error>([&] { norm_.backward(x_, dy_, other_); }, {"(2, 5, 4, 3)", "(2, 5, 4, 2)"});
}

TEST_F(LayerNormCalls, ShapeOfGradients) {
  rejects<shape_error>([&] { norm_.backward(x_, other_, dx_); }, {"(2, 5, 4, 3)", "(2, 5, 4, 2)"});
  rejects<shape_error>([&] { norm_.backward(x_, dy_, other_); }, {"(2, 5, 4, 3)", "(2, 5, 4, 2)"});
}

TEST_F(LayerNormCalls, NormalizedShapeDoesNotMatch) {
  Rows<4> out = other_;
  rejects<shape_error>([&] { norm_.forward(other_, out); }, {"(4, 3)", "(2, 5, 4, 2)"});
  rejects<shape_error>([&] { norm_.infer(other_, out); }, {"(4, 3)", "(2, 5, 4, 2)"});
  rejects<shape_error>([&] { norm_(other_); }, {"(4, 3)", "(2, 5, 4, 2)"});
}

TEST_F(LayerNormCalls, AxisOutOfRange) {
  for (const Eigen::Index axis : {Eigen::Index{3}, Eigen::Index{4}, Eigen::Index{-1}, Eigen::Index{-5}}) {
    LayerNorm<float, 2> norm({4, 3}, {.axis = axis});  // two axes from -1 on are one too many
    rejects<argument_error>([&] { norm.forward(x_, y_); }, {"axis", std::to_string(axis).c_str(), "(2, 5, 4, 3)"});
  }
}

/// Two tensors in one buffer, of which the second begins `shift` elements after the first.
struct Overlap {
  std::vector<float> memory;
  Eigen::TensorMap<Rows<4>> first, second;
  explicit Overlap(std::size_t shift)
      : memory(bell<float>(120 + shift, 7)),
        first(memory.data(), 2, 5, 4, 3),
        second(memory.data() + shift, 2, 5, 4, 3) {}
};

TEST_F(BatchNormCalls, PartialOverlap) {
  for (const std::size_t shift : {1u, 60u, 119u}) {
    Overlap maps(shift);
    const std::vector<float> before = maps.memory;
    rejects<argument_error>([&] { norm_.forward(maps.first, maps.second); }, {"apart", "bytes"});
    rejects<argument_error>([&] { norm_.forward(maps.second, maps.first); }, {"apart", "bytes"});
    rejects<argument_error>([&] { norm_.infer(maps.first, maps.second); }, {"apart", "bytes"});
    rejects<argument_error>([&] { norm_.backward(maps.first, dy_, maps.second); }, {"apart", "bytes"});
    rejects<argument_error>([&] { norm_.backward(x_, maps.first, maps.second); }, {"apart", "bytes"});
    EXPECT_EQ(maps.memory, before);
  }
  Overlap apart(120);
  EXPECT_NO_THROW(norm_.forward(apart.first, apart.second));
}

TEST_F(LayerNormCalls, PartialOverlap) {
  for (const std::size_t shift : {1u, 60u, 119u}) {
    Overlap maps(shift);
    const std::vector<float> before = maps.memory;
    rejects<argument_error>([&] { norm_.forward(maps.first, maps.second); }, {"apart", "bytes"});
    rejects<argument_error>([&] { norm_.forward(maps.second, maps.first); }, {"apart", "bytes"});
    rejects<argument_error>([&] { norm_.infer(maps.first, maps.second); }, {"apart", "bytes"});
    rejects<argument_error>([&] { norm_.backward(maps.first, dy_, maps.second); }, {"apart", "bytes"});
    rejects<argument_error>([&] { norm_.backward(x_, maps.first, maps.second); }, {"apart", "bytes"});
    EXPECT_EQ(maps.memory, before);
  }
  Overlap apart(120);
  EXPECT_NO_THROW(norm_.forward(apart.first, apart.second));
}

TEST_F(BatchNormCalls, BackwardBeforeForward) {
  BatchNorm<float> fresh(5);
  rejects<state_error>([&] { fresh.backward(x_, dy_, dx_); }, {"forward"});
  EXPECT_EQ(fresh.weight_grad()(0), 0);
  const BatchNorm<float>::Saved nothing;
  rejects<state_error>([&] { norm_.backward(x_, dy_, dx_, nothing); }, {"forward"});
}

TEST_F(LayerNormCalls, BackwardBeforeForward) {
  LayerNorm<float, 2> fresh({4, 3});
  rejects<state_error>([&] { fresh.backward(x_, dy_, dx_); }, {"forward"});
  EXPECT_EQ(fresh.weight_grad()(0, 0), 0);
  const LayerNorm<float, 2>::Saved nothing;
  rejects<state_error>([&] { norm_.backward(x_, dy_, dx_, nothing); }, {"forward"});
}

TEST_F(BatchNormCalls, BackwardForAnotherShape) {
  Rows<4> dy = other_, dx = other_;
  rejects<state_error>([&] { norm_.backward(other_, dy, dx); }, {"(2, 5, 4, 3)", "(2, 5, 4, 2)"});
  const Rows<3> flat = random<Rows<3>>({2, 5, 12}, 3);  // as many elements in each channel
  Rows<3> flat_dx = flat;
  rejects<state_error>([&] { norm_.backward(flat, flat, flat_dx); }, {"(2, 5, 4, 3)", "(2, 5, 12)"});
}

TEST_F(LayerNormCalls, BackwardForAnotherShape) {
  const Rows<4> x = random<Rows<4>>({5, 2, 4, 3}, 3);  // as many tokens
  Rows<4> dx = x;
  rejects<state_error>([&] { norm_.backward(x, x, dx); }, {"(2, 5, 4, 3)", "(5, 2, 4, 3)"});
}

TEST_F(BatchNormCalls, BackwardAfterForwardInPlace) {
  Rows<4> x = x_, dx = x_;
  norm_.forward(x, x);  // x is gone
  rejects<state_error>([&] { norm_.backward(x, dy_, dx); }, {"in place"});
  norm_.forward(x_, y_);
  EXPECT_NO_THROW(norm_.backward(x_, dy_, dx));
}

TEST_F(LayerNormCalls, BackwardAfterForwardInPlace) {
  Rows<4> x = x_, dx = x_;
  norm_.forward(x, x);
  rejects<state_error>([&] { norm_.backward(x, dy_, dx); }, {"in place"});
  norm_.forward(x_, y_);
  EXPECT_NO_THROW(norm_.backward(x_, dy_, dx));
}

/// Extents whose product does not fit: the maps have no such memory behind them, so nothing may be read.
TEST_F(BatchNormCalls, ProductOfExtentsOverflowsTheIndex) {
  using IntMap = Eigen::TensorMap<Eigen::Tensor<float, 4, Eigen::RowMajor, int>>;
  IntMap small(x_.data(), 1 << 15, 5, 1 << 15, 3), small_out(y_.data(), 1 << 15, 5, 1 << 15, 3);
  rejects<shape_error>([&] { norm_.forward(small, small_out); }, {"32768"});
  constexpr Eigen::Index huge = Eigen::Index{1} << 31;
  Eigen::TensorMap<Rows<4>> large(x_.data(), huge, 5, huge, 3), large_out(y_.data(), huge, 5, huge, 3);
  rejects<shape_error>([&] { norm_.forward(large, large_out); }, {"2147483648"});
  rejects<shape_error>([&] { norm_.infer(large, large_out); }, {"2147483648"});
  rejects<shape_error>([&] { norm_.backward(large, large, large_out); }, {"2147483648"});
}

TEST_F(LayerNormCalls, ProductOfExtentsOverflowsTheIndex) {
  using IntMap = Eigen::TensorMap<Eigen::Tensor<float, 4, Eigen::RowMajor, int>>;
  IntMap small(x_.data(), 1 << 15, 1 << 15, 4, 3), small_out(y_.data(), 1 << 15, 1 << 15, 4, 3);
  rejects<shape_error>([&] { norm_.forward(small, small_out); }, {"32768"});
  constexpr Eigen::Index huge = Eigen::Index{1} << 31;
  Eigen::TensorMap<Rows<4>> large(x_.data(), huge, huge, 4, 3), large_out(y_.data(), huge, huge, 4, 3);
  rejects<shape_error>([&] { norm_.forward(large, large_out); }, {"2147483648"});
}

TEST_F(BatchNormCalls, ParametersOfAnotherSize) {
  const auto weight = norm_.weight();
  norm_.weight().resize(4);
  norm_.weight().setConstant(1);
  rejects<shape_error>([&] { norm_.forward(x_, y_); }, {"5", "weight", "4"});
  rejects<shape_error>([&] { norm_.infer(x_, y_); }, {"5", "weight", "4"});
  rejects<shape_error>([&] { norm_.backward(x_, dy_, dx_); }, {"5", "weight", "4"});
  norm_.weight() = weight;
  BatchNorm<float> unbiased(5, {.bias = false});
  unbiased.bias().resize(5);
  EXPECT_NO_THROW(unbiased.forward(x_, y_));
  unbiased.bias().resize(4);
  expect_error<shape_error>([&] { unbiased.forward(x_, y_); }, {"5", "bias", "4"});
  norm_.forward(x_, y_);
  norm_.running_var().resize(7);
  norm_.running_var().setConstant(1);
  rejects<shape_error>([&] { norm_.forward(x_, y_); }, {"5", "running_var", "7"});
}

TEST_F(BatchNormCalls, CounterOfBatchesOutOfRange) {
  rejects<argument_error>([&] { norm_.set_num_batches_tracked(-1); }, {"num_batches_tracked", "-1"});
  rejects<argument_error>([&] { norm_.set_num_batches_tracked(std::numeric_limits<std::int64_t>::max()); },
                          {"num_batches_tracked", "9223372036854775807"});
  std::int64_t& counter = *std::get<std::int64_t*>(norm_.buffers()[2].value);
  for (const std::int64_t wrong : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::max()}) {
    counter = wrong;
    rejects<argument_error>([&] { norm_.forward(x_, y_); }, {"num_batches_tracked", std::to_string(wrong).c_str()});
  }
  norm_.eval();
  EXPECT_NO_THROW(norm_.forward(x_, y_)) << "evaluation does not count";
}

TEST_F(LayerNormCalls, ParametersOfAnotherShapeWithAsManyElements) {
  norm_.weight().resize(3, 4);
  norm_.weight().setConstant(1);
  rejects<shape_error>([&] { norm_.forward(x_, y_); }, {"weight", "(4, 3)", "(3, 4)"});
  norm_.weight().resize(4, 3);
  norm_.bias_grad().resize(12, 1);
  norm_.bias_grad().setConstant(1);
  rejects<shape_error>([&] { norm_.backward(x_, dy_, dx_); }, {"gradient of bias", "(4, 3)", "(12, 1)"});
}

TEST_F(LayerNormCalls, ParametersOfAnotherSize) {
  norm_.bias().resize(4, 2);
  norm_.bias().setConstant(1);
  rejects<shape_error>([&] { norm_.forward(x_, y_); }, {"bias", "(4, 3)", "(4, 2)"});
  rejects<shape_error>([&] { norm_.infer(x_, y_); }, {"bias", "(4, 3)", "(4, 2)"});
  rejects<shape_error>([&] { norm_.backward(x_, dy_, dx_); }, {"bias", "(4, 3)", "(4, 2)"});
}

}  // namespace
