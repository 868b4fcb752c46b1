// A layer as a value: names, copies, what is saved between forward and backward, and how gradients add up.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <map>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/configs.hpp"
#include "support/judge.hpp"
#include "support/snapshot.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::LayerNorm;
using Tensor = Eigen::Tensor<float, 3, Eigen::RowMajor>;

const Extents kExtents{4, 6, 10};

/// What both norms share, each normalizing a (4, 6, 10) tensor of float.
template <class Norm>
struct Make;
template <>
struct Make<BatchNorm<float>> {
  static BatchNorm<float> norm() { return BatchNorm<float>(6); }
  static Grouping grouping() { return reference::per_channel(kExtents, 1); }
};
template <>
struct Make<LayerNorm<float>> {
  static LayerNorm<float> norm() { return LayerNorm<float>(10); }
  static Grouping grouping() { return reference::per_token(kExtents, 2, 1); }
};

template <class Norm>
class State : public ::testing::Test {
 protected:
  State() {
    set_parameters(norm_, 3);
    norm_.forward(x_, y_);
  }

  template <class Range>
  static std::vector<std::string> names(Range&& range) {
    std::vector<std::string> result;
    for (const auto& item : range) result.emplace_back(item.name);
    return result;
  }

  const Tensor x_ = random<Tensor>(kExtents, 1), dy_ = random<Tensor>(kExtents, 2);
  const Grouping grouping_ = Make<Norm>::grouping();
  const Moments moments_ = reference::moments(reals(x_), grouping_);
  Tensor y_ = constant<Tensor>(kExtents, 0), dx_ = y_;
  Norm norm_ = Make<Norm>::norm();
};
using Norms = ::testing::Types<BatchNorm<float>, LayerNorm<float>>;
TYPED_TEST_SUITE(State, Norms);

TYPED_TEST(State, NewLayersTrainWithWeightOneAndBiasZero) {
  const auto fresh = Make<TypeParam>::norm();
  EXPECT_TRUE(fresh.is_training());
  for (Eigen::Index i = 0; i < fresh.weight().size(); ++i) {
    EXPECT_EQ(fresh.weight()(i), 1);
    EXPECT_EQ(fresh.bias()(i), 0);
    EXPECT_EQ(fresh.weight_grad()(i), 0);
    EXPECT_EQ(fresh.bias_grad()(i), 0);
  }
}

TYPED_TEST(State, ParametersGoByName) {
  EXPECT_EQ(this->names(this->norm_.parameters()), (std::vector<std::string>{"weight", "bias"}));
  for (auto parameter : this->norm_.parameters()) {
    const bool is_weight = parameter.name == "weight";
    EXPECT_EQ(parameter.value.data(), (is_weight ? this->norm_.weight() : this->norm_.bias()).data());
    EXPECT_EQ(parameter.gradient.data(), (is_weight ? this->norm_.weight_grad() : this->norm_.bias_grad()).data());
    EXPECT_EQ(parameter.value.size(), this->norm_.weight().size());
    EXPECT_EQ(parameter.gradient.size(), this->norm_.weight().size());
  }
}

TYPED_TEST(State, ListsAreRangesOfAConstLayerToo) {
  const TypeParam& norm = this->norm_;
  const auto parameters = norm.parameters();
  static_assert(std::ranges::forward_range<decltype(parameters)>);
  static_assert(std::ranges::forward_range<decltype(norm.buffers())>);
  static_assert(std::is_same_v<decltype(parameters[0].value.data()), const float*>);
  EXPECT_EQ(this->names(parameters), (std::vector<std::string>{"weight", "bias"}));
  EXPECT_EQ(parameters[0].value.data(), norm.weight().data());
  EXPECT_EQ(parameters[1].gradient.data(), norm.bias_grad().data());
}

TYPED_TEST(State, ParametersAreSetLikeTensors) {
  this->norm_.weight().setConstant(2);
  this->norm_.bias().setConstant(-3);
  this->norm_.forward(this->x_, this->y_);
  expect_y(this->norm_, this->x_, this->y_, this->grouping_, this->moments_, Statistics::of_batch);
  EXPECT_EQ(affine_of(this->norm_).weight.at(1), 2);
  EXPECT_EQ(affine_of(this->norm_).bias.at(1), -3);
}

TYPED_TEST(State, ResetParametersMakesThemAsNew) {
  this->norm_.reset_parameters();
  for (Eigen::Index i = 0; i < this->norm_.weight().size(); ++i) {
    EXPECT_EQ(this->norm_.weight()(i), 1);
    EXPECT_EQ(this->norm_.bias()(i), 0);
  }
}

TYPED_TEST(State, ZeroGradClearsBothGradients) {
  this->norm_.backward(this->x_, this->dy_, this->dx_);
  ASSERT_NE(this->norm_.weight_grad()(0), 0);
  ASSERT_NE(this->norm_.bias_grad()(0), 0);
  this->norm_.zero_grad();
  for (Eigen::Index i = 0; i < this->norm_.weight().size(); ++i) {
    EXPECT_EQ(this->norm_.weight_grad()(i), 0);
    EXPECT_EQ(this->norm_.bias_grad()(i), 0);
  }
}

TYPED_TEST(State, GradientsAreAddedToWhatIsThere) {
  this->norm_.weight_grad().setConstant(100);
  this->norm_.bias_grad().setConstant(-100);
  for (int step = 0; step < 3; ++step) {
    const OldGradients old = OldGradients::of(this->norm_);
    this->norm_.backward(this->x_, this->dy_, this->dx_);
    expect_gradients(this->norm_, this->x_, this->dy_, this->dx_, old, this->grouping_, this->moments_,
                     Statistics::of_batch);
  }
}

TYPED_TEST(State, AnySubsetOfGradientsIsWhatAllTogetherGive) {
  const TypeParam before = this->norm_;
  this->norm_.backward(this->x_, this->dy_, this->dx_);
  for (int subset = 0; subset < 8; ++subset) {
    const bool input = (subset & 1) != 0, weight = (subset & 2) != 0, bias = (subset & 4) != 0;
    TypeParam norm = before;
    const Tensor untouched = constant<Tensor>(kExtents, -77);
    Tensor dx = untouched;
    norm.backward(this->x_, this->dy_, dx, {.input = input, .weight = weight, .bias = bias});
    EXPECT_TRUE(same_bits(dx, input ? this->dx_ : untouched)) << subset;
    EXPECT_TRUE(same_bits(norm.weight_grad(), weight ? this->norm_.weight_grad() : before.weight_grad())) << subset;
    EXPECT_TRUE(same_bits(norm.bias_grad(), bias ? this->norm_.bias_grad() : before.bias_grad())) << subset;
  }
}

TYPED_TEST(State, CopiesHaveTheirOwn) {
  TypeParam copy = this->norm_;
  EXPECT_EQ(state_of(copy), state_of(this->norm_));
  const Bytes before = state_of(this->norm_);
  const Tensor other = random<Tensor>(kExtents, 9, 3);
  copy.backward(this->x_, this->dy_, this->dx_);  // what was saved is copied too
  expect_gradients(copy, this->x_, this->dy_, this->dx_, {}, this->grouping_, this->moments_, Statistics::of_batch);
  copy.weight().setConstant(7);
  copy.forward(other, this->y_);
  copy.eval();
  EXPECT_EQ(state_of(this->norm_), before);
  TypeParam assigned = Make<TypeParam>::norm();
  assigned = this->norm_;
  EXPECT_EQ(state_of(assigned), before);
}

TYPED_TEST(State, MovesTakeAllAlong) {
  const Bytes before = state_of(this->norm_);
  TypeParam moved = std::move(this->norm_);
  EXPECT_EQ(state_of(moved), before);
  TypeParam assigned = Make<TypeParam>::norm();
  assigned = std::move(moved);
  EXPECT_EQ(state_of(assigned), before);
  for (auto parameter : assigned.parameters())
    EXPECT_EQ(parameter.name == "weight", parameter.value.data() == assigned.weight().data());
  assigned.backward(this->x_, this->dy_, this->dx_);
  expect_gradients(assigned, this->x_, this->dy_, this->dx_, {}, this->grouping_, this->moments_, Statistics::of_batch);
}

TYPED_TEST(State, SavedHoldsTheStatisticsOfTheBatch) {
  const auto far = random<Tensor>(kExtents, 9, 1e4);  // where one float alone is off by up to 5e-4
  const Moments exact = reference::moments(reals(far), this->grouping_);
  this->norm_.forward(far, this->y_);
  const auto& saved = this->norm_.saved();
  const auto groups = static_cast<Eigen::Index>(this->grouping_.groups);
  ASSERT_EQ(saved.mean.size(), groups);
  ASSERT_EQ(saved.mean_lo.size(), groups);
  ASSERT_EQ(saved.rstd.size(), groups);
  for (Eigen::Index s = 0; s < groups; ++s) {
    const auto mean = static_cast<double>(exact.mean[static_cast<std::size_t>(s)]);
    const auto rstd = static_cast<double>(reference::rstd(exact.var[static_cast<std::size_t>(s)], eps_of(this->norm_)));
    EXPECT_EQ(saved.mean(s), static_cast<float>(mean));
    EXPECT_NEAR(double{saved.mean(s)} + double{saved.mean_lo(s)}, mean, 2 * 0x1p-24 / rstd);
    EXPECT_NEAR(saved.rstd(s), rstd, 3 * 0x1p-24 * rstd);
  }
}

TYPED_TEST(State, CallersOwnSavedServesItsOwnForward) {
  const Tensor other = random<Tensor>(kExtents, 9, 3, 2);
  typename TypeParam::Saved first, second;
  const Bytes own = bytes_of(this->norm_.saved().mean);
  this->norm_.forward(this->x_, this->y_, first);
  expect_y(this->norm_, this->x_, this->y_, this->grouping_, this->moments_, Statistics::of_batch);
  this->norm_.forward(other, this->y_, second);
  EXPECT_EQ(bytes_of(this->norm_.saved().mean), own) << "the layer's own is left alone";

  OldGradients old = OldGradients::of(this->norm_);
  this->norm_.backward(this->x_, this->dy_, this->dx_, first);
  expect_gradients(this->norm_, this->x_, this->dy_, this->dx_, old, this->grouping_, this->moments_,
                   Statistics::of_batch);
  old = OldGradients::of(this->norm_);
  this->norm_.backward(other, this->dy_, this->dx_, second);
  expect_gradients(this->norm_, other, this->dy_, this->dx_, old, this->grouping_,
                   reference::moments(reals(other), this->grouping_), Statistics::of_batch);
}

TYPED_TEST(State, BracesInPlaceOfGradientsMeanAll) {
  this->norm_.backward(this->x_, this->dy_, this->dx_, {});
  expect_gradients(this->norm_, this->x_, this->dy_, this->dx_, {}, this->grouping_, this->moments_,
                   Statistics::of_batch);
}

TYPED_TEST(State, CallersOwnSavedWithASubsetOfGradients) {
  typename TypeParam::Saved saved;
  this->norm_.forward(this->x_, this->y_, saved);
  this->norm_.backward(this->x_, this->dy_, this->dx_, saved, {.weight = false});
  EXPECT_EQ(this->norm_.weight_grad()(0), 0);
  EXPECT_NE(this->norm_.bias_grad()(0), 0);
}

TYPED_TEST(State, InferAndOperatorKeepWhatWasSaved) {
  const Bytes saved = bytes_of(this->norm_.saved().mean);
  const Tensor other = random<Tensor>(kExtents, 9, 3);
  this->norm_.infer(other, this->y_);
  EXPECT_EQ(bytes_of(this->norm_.saved().mean), saved);
}

TEST(BatchNormState, BackwardUsesTheModeOfItsForward) {
  BatchNorm<float> norm(6);
  set_parameters(norm, 3);
  const Grouping g = reference::per_channel(kExtents, 1);
  const auto x = random<Tensor>(kExtents, 1, 2), dy = random<Tensor>(kExtents, 2);
  Tensor y = constant<Tensor>(kExtents, 0), dx = y;
  norm.forward(x, y);
  norm.eval();
  norm.backward(x, dy, dx);
  expect_gradients(norm, x, dy, dx, {}, g, reference::moments(reals(x), g), Statistics::of_batch);

  norm.forward(x, y);
  const Moments running = running_moments(norm);
  norm.train();
  norm.running_mean().setConstant(5);  // after the forward: what it saved counts
  const OldGradients old = OldGradients::of(norm);
  norm.backward(x, dy, dx);
  expect_gradients(norm, x, dy, dx, old, g, running, Statistics::running);
}

TEST(BatchNormState, IsSavedAndRestoredByName) {
  BatchNorm<float> norm(6), other(6);
  set_parameters(norm, 3);
  const auto x = random<Tensor>(kExtents, 1, 2);
  Tensor y = x;
  norm.forward(x, y);

  std::map<std::string, std::vector<float>> saved;
  for (const auto& p : norm.parameters())
    saved[std::string(p.name)].assign(p.value.data(), p.value.data() + p.value.size());
  for (const auto& b : norm.buffers())
    if (const auto* map = std::get_if<0>(&b.value))
      saved[std::string(b.name)].assign(map->data(), map->data() + map->size());
  const std::int64_t batches = norm.num_batches_tracked();

  for (auto& p : other.parameters()) {
    const auto& values = saved.at(std::string(p.name));
    std::copy(values.begin(), values.end(), p.value.data());
  }
  for (auto& b : other.buffers())
    if (auto* map = std::get_if<0>(&b.value)) {
      const auto& values = saved.at(std::string(b.name));
      std::copy(values.begin(), values.end(), map->data());
    }
  other.set_num_batches_tracked(batches);
  norm.eval();
  other.eval();
  EXPECT_TRUE(same_bits(other(x), norm(x)));
  EXPECT_EQ(other.num_batches_tracked(), 1);
}

TEST(BatchNormState, BuffersOfAConstLayerAreReadOnly) {
  const BatchNorm<float> norm(6);
  const auto buffers = norm.buffers();
  ASSERT_EQ(buffers.size(), 3u);
  EXPECT_EQ(std::get<0>(buffers[1].value).data(), norm.running_var().data());
  EXPECT_EQ(*std::get<const std::int64_t*>(buffers[2].value), 0);
}

TEST(BatchNormState, BuffersGoByName) {
  BatchNorm<float> norm(6);
  norm.set_num_batches_tracked(1234567890123);
  std::vector<std::string> names;
  for (auto buffer : norm.buffers()) {
    names.emplace_back(buffer.name);
    if (buffer.name == "num_batches_tracked") {
      ASSERT_TRUE(std::holds_alternative<std::int64_t*>(buffer.value));
      EXPECT_EQ(*std::get<std::int64_t*>(buffer.value), 1234567890123);
      *std::get<std::int64_t*>(buffer.value) = 7;
    } else {
      ASSERT_EQ(buffer.value.index(), 0u);
      EXPECT_EQ(std::get<0>(buffer.value).data(),
                (buffer.name == "running_mean" ? norm.running_mean() : norm.running_var()).data());
      EXPECT_EQ(std::get<0>(buffer.value).size(), 6);
    }
  }
  EXPECT_EQ(names, (std::vector<std::string>{"running_mean", "running_var", "num_batches_tracked"}));
  EXPECT_EQ(norm.num_batches_tracked(), 7);
}

template <class Norm>
std::vector<std::string> parameter_names(Norm norm) {
  std::vector<std::string> names;
  for (auto parameter : norm.parameters()) names.emplace_back(parameter.name);
  return names;
}

TEST(AbsentParameters, AreNotListedAndHaveSizeZero) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(parameter_names(BatchNorm<float>(6, {.weight = false})), Names{"bias"});
  EXPECT_EQ(parameter_names(BatchNorm<float>(6, {.bias = false})), Names{"weight"});
  EXPECT_EQ(parameter_names(BatchNorm<float>(6, {.affine = false})), Names{});
  EXPECT_EQ(parameter_names(LayerNorm<float>(6, {.weight = false})), Names{"bias"});
  EXPECT_EQ(parameter_names(LayerNorm<float>(6, {.bias = false})), Names{"weight"});
  EXPECT_EQ(parameter_names(LayerNorm<float>(6, {.elementwise_affine = false})), Names{});
  const BatchNorm<float> batch(6, {.affine = false});
  EXPECT_EQ(batch.weight().size() + batch.bias().size() + batch.weight_grad().size() + batch.bias_grad().size(), 0);
  const LayerNorm<float> layer(6, {.elementwise_affine = false});
  EXPECT_EQ(layer.weight().size() + layer.bias().size() + layer.weight_grad().size() + layer.bias_grad().size(), 0);
}

TEST(LayerNormState, HasNoBuffersAndTheShapeItWasGiven) {
  LayerNorm<double, 3, Eigen::ColMajor> norm({5, 10, 11}, {.bias = false});
  EXPECT_TRUE(norm.buffers().empty());
  for (std::size_t axis = 0; axis < 3; ++axis) {
    EXPECT_EQ(norm.normalized_shape()[axis], (std::array<Eigen::Index, 3>{5, 10, 11})[axis]);
    EXPECT_EQ(norm.weight().dimension(axis), norm.normalized_shape()[axis]);
  }
  EXPECT_EQ(norm.bias().size(), 0);
}

}  // namespace
