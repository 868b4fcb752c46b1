// Every kind of dense tensor gives what a plain one gives, to the bit; in place too.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <atomic>
#include <vector>

#include "support/configs.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using normkit::BatchNorm;
using normkit::LayerNorm;

template <class C>
class TensorKinds : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  using Volume = typename C::template Tensor<3>;
  using Map = Eigen::TensorMap<Volume>;
  using ConstMap = Eigen::TensorMap<const Volume>;
  using IntTensor = Eigen::Tensor<Scalar, 3, C::layout, int>;
  using Fixed = Eigen::TensorFixedSize<Scalar, Eigen::Sizes<4, 6, 10>, C::layout>;

  TensorKinds() {
    set_parameters(batch_, 3);
    set_parameters(layer_, 3);
    BatchNorm<Scalar> batch = batch_;  // what plain tensors give, from copies that have no part in the rest
    LayerNorm<Scalar> layer = layer_;
    batch.forward(x_, batch_y_);
    batch.backward(x_, dy_, batch_dx_);
    layer.forward(x_, layer_y_);
    layer.backward(x_, dy_, layer_dx_);
    batch_weight_grad_ = batch.weight_grad();
    layer_weight_grad_ = layer.weight_grad();
  }

  /// Backward overwrites what the parameters' gradients are made of, if it takes its steps in the wrong order.
  void expect_gradients_of_parameters() {
    EXPECT_TRUE(same_bits(batch_.weight_grad(), batch_weight_grad_));
    EXPECT_TRUE(same_bits(layer_.weight_grad(), layer_weight_grad_));
    batch_.zero_grad();
    layer_.zero_grad();
  }

  const Volume x_ = random<Volume>({4, 6, 10}, 1), dy_ = random<Volume>({4, 6, 10}, 2);
  Volume batch_y_{4, 6, 10}, batch_dx_{4, 6, 10}, layer_y_{4, 6, 10}, layer_dx_{4, 6, 10};
  Eigen::Tensor<Scalar, 1> batch_weight_grad_;
  Eigen::Tensor<Scalar, 1, Eigen::RowMajor> layer_weight_grad_;
  BatchNorm<Scalar> batch_{6};
  LayerNorm<Scalar> layer_{10};
};
TYPED_TEST_SUITE(TensorKinds, ScalarsAndLayouts, ConfigName);

TYPED_TEST(TensorKinds, PlainTensorsAgreeWithTheOracle) {
  const Reals x = reals(this->x_);
  const Grouping channel = reference::per_channel({4, 6, 10}, 1), token = reference::per_token({4, 6, 10}, 2, 1);
  expect_y(this->batch_, this->x_, this->batch_y_, channel, reference::moments(x, channel), Statistics::of_batch);
  expect_y(this->layer_, this->x_, this->layer_y_, token, reference::moments(x, token), Statistics::of_batch);
}

TYPED_TEST(TensorKinds, MapsAreAsGoodAsTensors) {
  using T = typename TypeParam::Scalar;
  // The elements begin one after the vector's start, which is not where a register would like them.
  std::vector<T> x_memory(241), dy_memory(241), y_memory(241), dx_memory(241);
  std::copy_n(this->x_.data(), 240, x_memory.begin() + 1);
  std::copy_n(this->dy_.data(), 240, dy_memory.begin() + 1);
  const typename TestFixture::ConstMap x(x_memory.data() + 1, 4, 6, 10), dy(dy_memory.data() + 1, 4, 6, 10);
  typename TestFixture::Map y(y_memory.data() + 1, 4, 6, 10), dx(dx_memory.data() + 1, 4, 6, 10);
  this->batch_.forward(x, y);
  this->batch_.backward(x, dy, dx);
  EXPECT_TRUE(same_bits(y, this->batch_y_) && same_bits(dx, this->batch_dx_));
  this->layer_.forward(x, y);
  this->layer_.backward(x, dy, dx);
  EXPECT_TRUE(same_bits(y, this->layer_y_) && same_bits(dx, this->layer_dx_));
  EXPECT_EQ(y_memory[0], 0);
  EXPECT_EQ(dx_memory[0], 0);
}

TYPED_TEST(TensorKinds, FixedSizesAreAsGoodAsTensors) {
  typename TestFixture::Fixed x, dy, y, dx;
  assign(x, values(this->x_));
  assign(dy, values(this->dy_));
  this->batch_.forward(x, y);
  this->batch_.backward(x, dy, dx);
  EXPECT_TRUE(same_bits(y, this->batch_y_) && same_bits(dx, this->batch_dx_));
  this->layer_.forward(x, y);
  this->layer_.backward(x, dy, dx);
  EXPECT_TRUE(same_bits(y, this->layer_y_) && same_bits(dx, this->layer_dx_));
  const typename TestFixture::Volume made = this->layer_(x);
  EXPECT_TRUE(same_bits(made, this->layer_y_));
}

TYPED_TEST(TensorKinds, IntIndicesAreAsGoodAsLongOnes) {
  auto x = random<typename TestFixture::IntTensor>({4, 6, 10}, 1),
       dy = random<typename TestFixture::IntTensor>({4, 6, 10}, 2);
  auto y = x, dx = x;
  this->batch_.forward(x, y);
  this->batch_.backward(x, dy, dx);
  EXPECT_TRUE(same_bits(y, this->batch_y_) && same_bits(dx, this->batch_dx_));
  this->layer_.forward(x, y);
  this->layer_.backward(x, dy, dx);
  EXPECT_TRUE(same_bits(y, this->layer_y_) && same_bits(dx, this->layer_dx_));
}

TYPED_TEST(TensorKinds, ExpressionsAreEvaluatedOnce) {
  using T = typename TypeParam::Scalar;
  std::atomic<long> evaluations{0};
  const auto counted = this->x_.unaryExpr([&evaluations](T value) {
    evaluations.fetch_add(1);
    return value;
  });
  typename TestFixture::Volume y(4, 6, 10);
  this->batch_.forward(counted, y);
  EXPECT_EQ(evaluations.exchange(0), 240);
  EXPECT_TRUE(same_bits(y, this->batch_y_));
  this->layer_.forward(counted, y);
  EXPECT_EQ(evaluations.exchange(0), 240);
  EXPECT_TRUE(same_bits(y, this->layer_y_));
  const typename TestFixture::Volume made = this->layer_(counted);
  EXPECT_EQ(evaluations.exchange(0), 240);
  EXPECT_TRUE(same_bits(made, this->layer_y_));
}

TYPED_TEST(TensorKinds, ExpressionsOfSeveralTensors) {
  const auto doubled = this->x_ + this->x_;
  const typename TestFixture::Volume plain = doubled;
  typename TestFixture::Volume y(4, 6, 10), dx(4, 6, 10);
  this->layer_.forward(doubled, y);
  EXPECT_TRUE(same_bits(y, typename TestFixture::Volume(this->layer_(plain))));
  const Eigen::array<Eigen::Index, 3> from{0, 0, 0}, extent{2, 6, 10};
  const typename TestFixture::Volume part = this->x_.slice(from, extent);
  EXPECT_TRUE(same_bits(typename TestFixture::Volume(this->batch_(this->x_.slice(from, extent))),
                        typename TestFixture::Volume(this->batch_(part))));
  this->layer_.forward(this->x_ * this->x_.constant(1), y);
  this->layer_.backward(this->x_ * this->x_.constant(1), this->dy_ * this->dy_.constant(1), dx);
  EXPECT_TRUE(same_bits(dx, this->layer_dx_));
}

TYPED_TEST(TensorKinds, ForwardInPlace) {
  typename TestFixture::Volume x = this->x_;
  this->batch_.forward(x, x);
  EXPECT_TRUE(same_bits(x, this->batch_y_));
  x = this->x_;
  this->layer_.forward(x, x);
  EXPECT_TRUE(same_bits(x, this->layer_y_));
  x = this->x_;
  this->layer_.infer(x, x);
  EXPECT_TRUE(same_bits(x, this->layer_y_));
}

TYPED_TEST(TensorKinds, BackwardOverDy) {
  typename TestFixture::Volume batch = this->dy_, layer = this->dy_, y(4, 6, 10);
  this->batch_.forward(this->x_, y);
  this->batch_.backward(this->x_, batch, batch);
  this->layer_.forward(this->x_, y);
  this->layer_.backward(this->x_, layer, layer);
  EXPECT_TRUE(same_bits(batch, this->batch_dx_) && same_bits(layer, this->layer_dx_));
  this->expect_gradients_of_parameters();
}

TYPED_TEST(TensorKinds, BackwardOverX) {
  typename TestFixture::Volume batch = this->x_, layer = this->x_, y(4, 6, 10);
  this->batch_.forward(batch, y);
  this->batch_.backward(batch, this->dy_, batch);
  this->layer_.forward(layer, y);
  this->layer_.backward(layer, this->dy_, layer);
  EXPECT_TRUE(same_bits(batch, this->batch_dx_) && same_bits(layer, this->layer_dx_));
  this->expect_gradients_of_parameters();
}

TYPED_TEST(TensorKinds, BackwardOverXInEvaluation) {
  typename TestFixture::Volume in_place = this->x_, y(4, 6, 10), dx(4, 6, 10);
  this->batch_.running_mean().setConstant(0.25f);
  this->batch_.eval();
  BatchNorm<typename TypeParam::Scalar> apart = this->batch_;
  apart.forward(this->x_, y);
  apart.backward(this->x_, this->dy_, dx);
  this->batch_.forward(in_place, y);
  this->batch_.backward(in_place, this->dy_, in_place);
  EXPECT_TRUE(same_bits(in_place, dx));
  EXPECT_TRUE(same_bits(this->batch_.weight_grad(), apart.weight_grad()));
}

TYPED_TEST(TensorKinds, InPlaceOnAPoolWhereBlocksAreMany) {
  using Tensor = typename TestFixture::Volume;
  Pooled where;
  const auto x = random<Tensor>({16, 6, 3000}, 1), dy = random<Tensor>({16, 6, 3000}, 2);
  Tensor y(16, 6, 3000), dx(16, 6, 3000), in_place = x;
  this->batch_.forward(where.device, x, y);
  this->batch_.backward(where.device, x, dy, dx);
  this->batch_.forward(where.device, in_place, in_place);
  EXPECT_TRUE(same_bits(in_place, y));
  this->batch_.forward(where.device, x, y);
  in_place = dy;
  this->batch_.backward(where.device, x, in_place, in_place);
  EXPECT_TRUE(same_bits(in_place, dx));
  in_place = x;
  this->batch_.backward(where.device, in_place, dy, in_place);
  EXPECT_TRUE(same_bits(in_place, dx));
}

TYPED_TEST(TensorKinds, CustomOperationEvaluates) {
  using Tensor = typename TestFixture::Volume;
  Pooled where;
  this->batch_.running_mean().setConstant(0.25f);
  this->batch_.running_var().setConstant(2);
  this->batch_.eval();
  Tensor y(4, 6, 10), by_operation(4, 6, 10), on_pool(4, 6, 10);
  this->batch_.forward(this->x_, y);
  by_operation = this->x_.customOp(this->batch_.op());
  on_pool.device(where.device) = this->x_.customOp(this->batch_.op());
  EXPECT_TRUE(same_bits(by_operation, y) && same_bits(on_pool, y));
  const Tensor inside = this->x_.customOp(this->batch_.op()) + this->x_;
  EXPECT_TRUE(same_bits(inside, Tensor(y + this->x_)));
  by_operation = this->x_.customOp(this->layer_.op());
  EXPECT_TRUE(same_bits(by_operation, this->layer_y_));
}

TYPED_TEST(TensorKinds, CallGivesRankAndLayoutOfItsInput) {
  const auto y = this->batch_(this->x_);
  const auto z = this->layer_(typename TestFixture::ConstMap(this->x_.data(), 4, 6, 10));
  static_assert(decltype(y)::NumDimensions == 3 && static_cast<int>(decltype(y)::Layout) == TypeParam::layout);
  static_assert(decltype(z)::NumDimensions == 3 && static_cast<int>(decltype(z)::Layout) == TypeParam::layout);
  EXPECT_TRUE(same_bits(y, this->batch_y_));
  EXPECT_TRUE(same_bits(z, this->layer_y_));
  Eigen::DefaultDevice device;
  EXPECT_TRUE(same_bits(typename TestFixture::Volume(this->layer_(device, this->x_)), this->layer_y_));
}

}  // namespace
