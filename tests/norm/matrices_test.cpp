// Matrices, arrays, maps, references and blocks of Eigen, where a tensor of rank 2 or 1 is taken: the bits of a TensorMap of the same
// memory, which the tests of tensors judge. A block with gaps is refused.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <type_traits>
#include <vector>

#include "support/configs.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"
#include "support/snapshot.hpp"

namespace {

using namespace support;
using Eigen::ArrayXXf;
using Eigen::Index;
using Eigen::Map;
using Eigen::MatrixXf;
using Eigen::Ref;
using Eigen::VectorXf;
using normkit::argument_error;
using normkit::BatchNorm1d;
using normkit::LayerNorm;
using normkit::shape_error;
using RowMajorXf = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr Index samples = 13, features = 6;

/// The same memory as a tensor.
template <class M>
auto as_tensor(M& matrix) {
  constexpr int layout = std::remove_const_t<M>::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor;
  using Tensor = Eigen::Tensor<float, 2, layout>;
  return Eigen::TensorMap<std::conditional_t<std::is_const_v<M>, const Tensor, Tensor>>(matrix.data(), matrix.rows(),
                                                                                        matrix.cols());
}
template <class M>
M matrix(std::uint64_t seed, Index rows = samples, Index cols = features) {
  M made(rows, cols);
  const auto values = random<Eigen::Tensor<float, 1>>({rows * cols}, seed, 0.5, 2);
  std::copy_n(values.data(), rows * cols, made.data());
  return made;
}
template <class A, class B>
bool same_matrix(const A& a, const B& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) == 0;
}

template <class M>
class Matrices : public ::testing::Test {
 protected:
  Matrices() {
    set_parameters(batch_, 3);
    set_parameters(layer_, 3);
  }

  /// A step of `norm` on these as on tensors of the same memory: y, dx, the gradients and all state.
  template <class Norm, class X, class DY, class Y, class DX>
  void check(const Norm& norm, const X& x, const DY& dy, Y&& y, DX&& dx) {
    M y_expected(samples, features), dx_expected(samples, features);
    auto y_tensor = as_tensor(y_expected), dx_tensor = as_tensor(dx_expected);
    Norm by_tensor = norm, by_matrix = norm;
    by_tensor.forward(as_tensor(x_), y_tensor);
    by_tensor.backward(as_tensor(x_), as_tensor(dy_), dx_tensor);
    y.setConstant(-77);
    dx.setConstant(-77);
    by_matrix.forward(x, y);
    by_matrix.backward(x, dy, dx);
    EXPECT_TRUE(same_matrix(y, y_expected));
    EXPECT_TRUE(same_matrix(dx, dx_expected));
    EXPECT_EQ(state_of(by_matrix), state_of(by_tensor));
    y.setConstant(-77);
    by_matrix = norm;
    by_matrix.infer(x, y);
    norm.infer(as_tensor(x_), y_tensor);
    EXPECT_TRUE(same_matrix(y, y_expected));
  }
  template <class X, class DY, class Y, class DX>
  void check(const X& x, const DY& dy, Y&& y, DX&& dx) {
    check(batch_, x, dy, y, dx);
    check(layer_, x, dy, y, dx);
  }

  const M x_ = matrix<M>(1), dy_ = matrix<M>(2);
  M y_{samples, features}, dx_{samples, features};
  BatchNorm1d<float> batch_{features};
  LayerNorm<float> layer_{features};
};
using Layouts = ::testing::Types<MatrixXf, RowMajorXf>;
struct LayoutName {
  template <class M>
  static std::string GetName(int) {
    return M::IsRowMajor ? "RowMajor" : "ColMajor";
  }
};
TYPED_TEST_SUITE(Matrices, Layouts, LayoutName);

TYPED_TEST(Matrices, AreAsGoodAsTensors) { this->check(this->x_, this->dy_, this->y_, this->dx_); }

TYPED_TEST(Matrices, ArraysToo) {
  this->check(this->x_.array(), this->dy_.array(), this->y_.array(), this->dx_.array());
}

TYPED_TEST(Matrices, MapsToo) {
  this->check(Map<const TypeParam>(this->x_.data(), samples, features),
              Map<const TypeParam>(this->dy_.data(), samples, features),
              Map<TypeParam>(this->y_.data(), samples, features), Map<TypeParam>(this->dx_.data(), samples, features));
}

TYPED_TEST(Matrices, ReferencesToo) {
  const Ref<const TypeParam> x(this->x_), dy(this->dy_);
  this->check(x, dy, Ref<TypeParam>(this->y_), Ref<TypeParam>(this->dx_));
}

TYPED_TEST(Matrices, BlocksWithoutGapsToo) {
  // Those of whole columns, or of whole rows.
  constexpr Index before = 2, rows = TypeParam::IsRowMajor ? samples + 5 : samples,
                  cols = TypeParam::IsRowMajor ? features : features + 5;
  const auto inside = [](auto& larger) {
    return TypeParam::IsRowMajor ? larger.block(before, 0, samples, features)
                                 : larger.block(0, before, samples, features);
  };
  TypeParam x = TypeParam::Constant(rows, cols, 5), dy = x, y = x, dx = x;
  inside(x) = this->x_;
  inside(dy) = this->dy_;
  this->check(inside(x), inside(dy), inside(y), inside(dx));
  EXPECT_EQ((y.array() == 5).count(), 5 * (TypeParam::IsRowMajor ? features : samples));
}

TYPED_TEST(Matrices, ATransposeIsTheOtherLayout) {
  // Features by samples, as many keep them.
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, TypeParam::IsRowMajor ? Eigen::ColMajor : Eigen::RowMajor>
      x = this->x_.transpose(),
      dy = this->dy_.transpose(), y(features, samples), dx(features, samples);
  this->check(x.transpose(), dy.transpose(), y.transpose(), dx.transpose());
}

TYPED_TEST(Matrices, OfFixedSizeToo) {
  using Fixed = Eigen::Matrix<float, samples, features, TypeParam::Options>;
  const Fixed x = this->x_, dy = this->dy_;
  Fixed y, dx;
  this->check(x, dy, y, dx);
  const TypeParam called = this->layer_(x);
  y = this->layer_(x);
  EXPECT_TRUE(same_matrix(y, called));
}

TYPED_TEST(Matrices, InPlace) {
  TypeParam x = this->x_;
  this->layer_.forward(this->x_, this->y_);
  this->layer_.forward(x, x);
  EXPECT_TRUE(same_matrix(x, this->y_));
  x = this->x_;
  this->layer_.forward(x.array(), x);  // the same memory under another type
  EXPECT_TRUE(same_matrix(x, this->y_));
}

TYPED_TEST(Matrices, BesideTensors) {
  auto y = as_tensor(this->y_);
  this->check(this->x_, as_tensor(this->dy_), this->y_, this->dx_);
  this->layer_.forward(this->x_, y);
  EXPECT_TRUE(same_matrix(this->y_, TypeParam(this->layer_(this->x_))));
}

TYPED_TEST(Matrices, AFunctorGivesItsInputsKind) {
  const auto of_matrix = this->layer_(this->x_);
  const auto of_array = this->layer_(this->x_.array());
  const auto of_map = this->layer_(Map<const TypeParam>(this->x_.data(), samples, features));
  static_assert(std::is_same_v<decltype(of_matrix), const TypeParam> &&
                std::is_same_v<decltype(of_map), const TypeParam>);
  static_assert(std::is_same_v<typename decltype(of_array)::PlainArray, std::remove_const_t<decltype(of_array)>>);
  this->layer_.forward(this->x_, this->y_);
  EXPECT_TRUE(same_matrix(of_matrix, this->y_) && same_matrix(of_array, this->y_) && same_matrix(of_map, this->y_));
}

TYPED_TEST(Matrices, ExpressionsAreEvaluated) {
  // A linear layer, which is evaluated as its output lies (Eigen by itself would take columns), and alone as Eigen does.
  const TypeParam weight = matrix<TypeParam>(4, features, features), linear = this->x_ * weight;
  this->layer_.forward(linear, this->y_);
  this->layer_.forward(this->x_ * weight, this->dx_);
  EXPECT_TRUE(same_matrix(this->dx_, this->y_));
  const MatrixXf by_columns = this->x_ * weight, of_product = this->layer_(this->x_ * weight);
  EXPECT_TRUE(same_matrix(of_product, MatrixXf(this->layer_(by_columns))));
  this->batch_.forward((this->x_ * weight).rowwise() + weight.row(0), this->dx_);
  this->batch_.forward(TypeParam((this->x_ * weight).rowwise() + weight.row(0)), this->y_);
  EXPECT_TRUE(same_matrix(this->dx_, this->y_));
  const TypeParam sum = this->x_ + this->dy_;
  this->batch_.forward(sum, this->y_);
  this->batch_.forward(this->x_ + this->dy_, this->dx_);
  EXPECT_TRUE(same_matrix(this->dx_, this->y_));
  this->batch_.backward(sum, this->dy_, this->y_);
  this->batch_.backward(this->x_ + this->dy_, this->dy_ * 1.0f, this->dx_);
  EXPECT_TRUE(same_matrix(this->dx_, this->y_));
}

TYPED_TEST(Matrices, NormalizedAsAWhole) {
  LayerNorm<float, 2, TypeParam::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor> norm({samples, features});
  set_parameters(norm, 3);
  auto y = as_tensor(this->y_), dx = as_tensor(this->dx_);
  norm.forward(as_tensor(this->x_), y);
  norm.backward(as_tensor(this->x_), as_tensor(this->dy_), dx);
  const auto weight_grad = norm.weight_grad();
  norm.zero_grad();
  TypeParam by_expression(samples, features), back(samples, features);
  norm.forward(this->x_ * 1.0f, by_expression);
  norm.backward(this->x_ * 1.0f, this->dy_ * 1.0f, back);
  EXPECT_TRUE(same_matrix(by_expression, this->y_) && same_matrix(back, this->dx_));
  EXPECT_TRUE(same_bits(norm.weight_grad(), weight_grad));
}

TYPED_TEST(Matrices, ListedIndicesAreEvaluated) {
  const std::vector<int> rows{5, 0, 3};  // a stride would be a block with gaps to Eigen 5, and is evaluated with 3.4
  const auto some = this->x_(rows, Eigen::seq(0, features - 1));
  const TypeParam evaluated = some;
  EXPECT_TRUE(same_matrix(TypeParam(this->layer_(some)), TypeParam(this->layer_(evaluated))));
}

TYPED_TEST(Matrices, SumsOfTwoExpressions) {
  this->batch_.forward(this->x_, this->y_);
  const auto of_matrices = this->batch_.gradient_sums(this->x_, this->dy_, this->batch_.saved());
  const auto of_expressions =
      this->batch_.gradient_sums(this->x_ * 1.0f, this->dy_.transpose().transpose() * 1.0f, this->batch_.saved());
  const auto of_both = this->batch_.gradient_sums(this->x_, this->dy_ * 1.0f, this->batch_.saved());
  for (Index c = 0; c < features; ++c) {
    EXPECT_EQ(of_expressions.dy(c), of_matrices.dy(c));
    EXPECT_EQ(of_both.dy(c), of_matrices.dy(c));
  }
}

TYPED_TEST(Matrices, OnAPool) {
  const Pooled where;
  this->batch_.forward(this->x_, this->y_);
  this->batch_.forward(where.device, this->x_, this->dx_);
  EXPECT_TRUE(same_matrix(this->dx_, this->y_));
  EXPECT_TRUE(same_matrix(TypeParam(this->batch_(where.device, this->x_ * 1.0f)), this->y_));
}

TYPED_TEST(Matrices, WhatElseTakesTensors) {
  const auto by_tensor = normkit::moments(as_tensor(this->x_), {0});
  const normkit::MeanVariance<TypeParam> by_matrix = normkit::moments(this->x_, {0});
  ASSERT_EQ(by_matrix.mean.rows(), 1);
  EXPECT_EQ(std::memcmp(by_matrix.var.data(), by_tensor.var.data(), features * sizeof(float)), 0);
  const auto of_channels = normkit::channel_moments(this->x_), expected = normkit::channel_moments(as_tensor(this->x_));
  for (Index c = 0; c < features; ++c) EXPECT_EQ(of_channels.var(c), expected.var(c));
  EXPECT_EQ(normkit::diagnose(this->batch_, this->x_).var, normkit::diagnose(this->batch_, as_tensor(this->x_)).var);

  // A linear layer of PyTorch's (out, in), the norm behind it.
  this->batch_.forward(this->x_, this->y_);
  TypeParam weight = matrix<TypeParam>(4, features, 3), weight_expected = weight;
  VectorXf bias = VectorXf::LinSpaced(features, -1, 1);
  Eigen::Tensor<float, 1> bias_expected = Eigen::TensorMap<Eigen::Tensor<float, 1>>(bias.data(), features);
  auto tensor = as_tensor(weight_expected);
  normkit::fold_before(this->batch_, tensor, 0, bias_expected);
  normkit::fold_before(this->batch_, weight, 0, bias);
  EXPECT_TRUE(same_matrix(weight, weight_expected));
  EXPECT_EQ(std::memcmp(bias.data(), bias_expected.data(), features * sizeof(float)), 0);
}

TEST(Vectors, AreOfRankOne) {
  LayerNorm<float> norm(features);
  set_parameters(norm, 3);
  const VectorXf x = matrix<MatrixXf>(1, features, 1);
  Eigen::Tensor<float, 1> expected(features);
  norm.forward(Eigen::TensorMap<const Eigen::Tensor<float, 1>>(x.data(), features), expected);
  const auto agrees = [&](const auto& y) {
    return y.size() == features && std::memcmp(y.data(), expected.data(), features * sizeof(float)) == 0;
  };
  const VectorXf called = norm(x);
  const Eigen::RowVectorXf row = norm(x.transpose());
  EXPECT_TRUE(agrees(called) && agrees(row));
  MatrixXf columns = MatrixXf::Constant(features, 3, 5);
  norm.forward(x, columns.col(1));
  EXPECT_TRUE(agrees(columns.col(1)));
  EXPECT_EQ((columns.array() == 5).count(), 2 * features);
  RowMajorXf rows(3, features);
  norm.forward(x.transpose(), rows.row(2));
  EXPECT_TRUE(agrees(rows.row(2)));
}

TEST(Vectors, AreOffsetsAndLengths) {
  LayerNorm<float> norm(features);
  const VectorXf x = matrix<MatrixXf>(1, 9, 1);
  VectorXf y(9), expected(9);
  const Eigen::VectorXi offsets{{0, 4, 9}};
  norm.forward(x, Eigen::TensorMap<const Eigen::Tensor<int, 1>>(offsets.data(), 3), expected);
  norm.forward(x, offsets, y);
  EXPECT_TRUE(same_matrix(y, expected));

  BatchNorm1d<float> channels(2);
  const auto padded = random<Eigen::Tensor<float, 3>>({3, 2, 5}, 1);
  Eigen::Tensor<float, 3> by_vector(3, 2, 5), by_mask(3, 2, 5);
  const Eigen::VectorXi lengths{{5, 1, 3}};
  Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic> mask(3, 5);
  for (Index n = 0; n < 3; ++n)
    for (Index l = 0; l < 5; ++l) mask(n, l) = l < lengths(n);
  channels.forward(padded, lengths, by_vector);
  channels.forward(padded, mask, by_mask);
  EXPECT_TRUE(same_bits(by_vector, by_mask));
  EXPECT_EQ(by_mask(1, 0, 1), 0.0f);
  channels.forward(padded, lengths.head(3), by_mask);  // an expression that has its elements in memory
  EXPECT_TRUE(same_bits(by_vector, by_mask));
}

/// A call with a block that has gaps must be refused by its name, and nothing has moved.
class Gaps : public ::testing::Test {
 protected:
  Gaps() {
    batch_.forward(x_, y_);
    layer_.forward(x_, y_);
    layer_.backward(x_, x_, dx_);
  }
  template <class Action>
  void refuses(const Action& action, std::initializer_list<const char*> words) {
    const Bytes before = everything();
    expect_error<argument_error>(action, words);
    EXPECT_EQ(everything(), before) << "something moved";
  }
  Bytes everything() {
    Bytes bytes = state_of(batch_);
    const Bytes of_layer = state_of(layer_);
    bytes.insert(bytes.end(), of_layer.begin(), of_layer.end());
    for (const MatrixXf* m : std::initializer_list<const MatrixXf*>{&x_, &y_, &dx_, &larger_})
      append(bytes, as_tensor(*m));
    return bytes;
  }

  const MatrixXf x_ = matrix<MatrixXf>(1);
  MatrixXf y_{samples, features}, dx_{samples, features}, larger_ = matrix<MatrixXf>(2, samples + 1, features);
  BatchNorm1d<float> batch_{features};
  LayerNorm<float> layer_{features};
};

TEST_F(Gaps, AreRefused) {
  auto block = larger_.topRows(samples);
  refuses([&] { batch_.forward(block, y_); }, {"BatchNorm1d", "x", "(13, 6)", "block.eval()"});
  refuses([&] { batch_.forward(x_, block); }, {"BatchNorm1d", "y", "next to each other", "(13, 6)", "assigned"});
  refuses([&] { layer_.infer(x_, block); }, {"LayerNorm", "y"});
  refuses([&] { (void)layer_(block); }, {"LayerNorm", "x"});
  refuses([&] { layer_.backward(block, x_, dx_); }, {"LayerNorm", "x"});
  refuses([&] { layer_.backward(x_, block, dx_); }, {"LayerNorm", "dy"});
  refuses([&] { layer_.backward(x_, x_, block); }, {"LayerNorm", "dx"});
  refuses([&] { (void)normkit::moments(block, {0}); }, {"moments", "x"});
  refuses([&] { (void)normkit::channel_moments(block); }, {"channel_moments", "x"});
  refuses([&] { (void)normkit::diagnose(batch_, block); }, {"diagnose", "x"});
  layer_.forward(block.eval(), y_);  // as the message says
}

TEST_F(Gaps, OfReferencesAndStridesAreRefused) {
  const Ref<const MatrixXf, 0, Eigen::OuterStride<>> reference = larger_.topRows(samples);
  refuses([&] { layer_.forward(reference, y_); }, {"LayerNorm", "x"});
  using Strided = Map<MatrixXf, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;
  const Strided every_second(larger_.data(), 3, features, {2 * 3, 2});
  refuses([&] { (void)layer_(every_second); }, {"LayerNorm", "x", "(3, 6)"});
  refuses([&] { (void)layer_(larger_.row(0)); }, {"LayerNorm", "x", "(6,)"});
  refuses([&] { (void)layer_(larger_.transpose().col(0)); }, {"LayerNorm", "x", "(6,)"});
  (void)layer_(MatrixXf(larger_.topRows(samples) * 1.0f));
}

TEST_F(Gaps, OfOneRowOrColumnOrNothingAreNone) {
  LayerNorm<float> norm(4);
  EXPECT_EQ(norm(larger_.block(1, 2, 4, 1).transpose()).rows(), 1);
  EXPECT_EQ(norm(larger_.block(1, 2, 0, 4)).rows(), 0);
  MatrixXf row(1, 9);
  EXPECT_EQ(norm(row.setZero().block(0, 1, 1, 4)).cols(), 4);
}

TEST_F(Gaps, OfWhatGoesWithTensorsAreRefused) {
  Eigen::MatrixXi integers = Eigen::MatrixXi::Constant(2, 3, 0);
  const VectorXf x = VectorXf::Zero(0);
  VectorXf y(0);
  refuses([&] { layer_.forward(x, integers.row(0), y); }, {"LayerNorm", "offsets"});
  const Eigen::Tensor<float, 3> padded = random<Eigen::Tensor<float, 3>>({3, features, 5}, 1);
  Eigen::Tensor<float, 3> out(3, features, 5);
  refuses([&] { batch_.forward(padded, integers.row(0), out); }, {"BatchNorm1d", "valid"});
  const Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic> larger = Eigen::Array<bool, 4, 5>::Constant(true);
  refuses([&] { batch_.forward(padded, larger.topRows(3), out); }, {"BatchNorm1d", "valid"});
  MatrixXf weight(features, 2);
  VectorXf bias(features);
  auto block = larger_.topRows(features);
  auto row = larger_.row(0);
  refuses([&] { normkit::fold_before(batch_, block, 0, bias); }, {"fold", "weight"});
  refuses([&] { normkit::fold_before(batch_, weight, 0, row); }, {"fold", "bias"});
}

TEST_F(Gaps, OfAnotherShapeAreWrongShapesToo) {
  MatrixXf other(samples, features + 1);
  expect_error<shape_error>([&] { layer_.forward(other, other); }, {"LayerNorm", "(6,)", "(13, 7)"});
  expect_error<shape_error>([&] { layer_.forward(x_, other); }, {"y", "(13, 6)", "(13, 7)"});
}

}  // namespace
