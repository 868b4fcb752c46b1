// What the type system turns away: each line would not compile, and a requires-expression says so.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <array>
#include <cstdint>
#include <type_traits>
#include <unsupported/Eigen/CXX11/Tensor>

namespace {

using normkit::BatchNorm;
using normkit::BatchNorm1d;
using normkit::BatchNorm2d;
using normkit::BatchNorm3d;
using normkit::LayerNorm;

template <int Rank, class T = float>
using Rows = Eigen::Tensor<T, Rank, Eigen::RowMajor>;
template <int Rank, class T = float>
using Columns = Eigen::Tensor<T, Rank, Eigen::ColMajor>;
template <int Rank>
using ConstMap = Eigen::TensorMap<const Rows<Rank>>;

template <class Norm, class X, class Y = X>
concept Forwards = requires(Norm norm, const X x, Y y) {
  norm.forward(x, y);
};
template <class Norm, class X, class Y = X>
concept Infers = requires(const Norm norm, const X x, Y y) {
  norm.infer(x, y);
};
template <class Norm, class X, class Dy = X, class Dx = X>
concept Backwards = requires(Norm norm, const X x, const Dy dy, Dx dx) {
  norm.backward(x, dy, dx);
};
template <class Norm, class X>
concept Calls = requires(Norm norm, const X x) {
  norm(x);
};
template <class Norm, class X, class Y = X>
concept Takes = Forwards<Norm, X, Y> && Infers<Norm, X, Y> && Backwards<Norm, X, X, Y> && Calls<Norm, X>;
template <class Norm, class X, class Y = X>
concept TurnsAway = !Forwards<Norm, X, Y> && !Infers<Norm, X, Y> && !Backwards<Norm, X, X, Y>;

template <class T>
concept ScalarOfBatchNorm = requires {
  typename BatchNorm<T>;
};
template <class T>
concept ScalarOfLayerNorm = requires {
  typename LayerNorm<T>;
};

TEST(Rank, OfBatchNorm1dIsTwoOrThree) {
  EXPECT_TRUE((Takes<BatchNorm1d<float>, Rows<2>>)&&(Takes<BatchNorm1d<float>, Rows<3>>));
  EXPECT_TRUE((TurnsAway<BatchNorm1d<float>, Rows<1>>)&&(TurnsAway<BatchNorm1d<float>, Rows<4>>));
  EXPECT_FALSE((Calls<BatchNorm1d<float>, Rows<4>>));
}

TEST(Rank, OfBatchNorm2dIsFour) {
  EXPECT_TRUE((Takes<BatchNorm2d<float>, Rows<4>>));
  EXPECT_TRUE((TurnsAway<BatchNorm2d<float>, Rows<3>>)&&(TurnsAway<BatchNorm2d<float>, Rows<5>>));
  EXPECT_FALSE((Calls<BatchNorm2d<float>, Rows<3>>));
}

TEST(Rank, OfBatchNorm3dIsFive) {
  EXPECT_TRUE((Takes<BatchNorm3d<float>, Rows<5>>));
  EXPECT_TRUE((TurnsAway<BatchNorm3d<float>, Rows<4>>)&&(TurnsAway<BatchNorm3d<float>, Rows<6>>));
}

TEST(Rank, OfBatchNormIsTwoAtLeast) {
  EXPECT_TRUE((Takes<BatchNorm<float>, Rows<2>>)&&(Takes<BatchNorm<float>, Rows<6>>));
  EXPECT_TRUE((TurnsAway<BatchNorm<float>, Rows<1>>)&&(TurnsAway<BatchNorm<float>, Rows<0>>));
}

TEST(Rank, OfLayerNormIsThatOfNormalizedShapeAtLeast) {
  EXPECT_TRUE((Takes<LayerNorm<float, 3>, Rows<3>>)&&(Takes<LayerNorm<float, 3>, Rows<4>>));
  EXPECT_TRUE((TurnsAway<LayerNorm<float, 3>, Rows<2>>));
  EXPECT_TRUE((TurnsAway<LayerNorm<float>, Rows<0>>));
}

TEST(Rank, OfOutputsIsThatOfTheInput) {
  EXPECT_TRUE((TurnsAway<BatchNorm<float>, Rows<3>, Rows<4>>));
  EXPECT_TRUE((TurnsAway<LayerNorm<float>, Rows<3>, Rows<2>>));
  EXPECT_FALSE((Backwards<LayerNorm<float>, Rows<3>, Rows<2>, Rows<3>>));
  EXPECT_FALSE((Backwards<BatchNorm<float>, Rows<3>, Rows<2>, Rows<3>>));
}

TEST(Layout, OfOutputsIsThatOfTheInput) {
  EXPECT_TRUE((TurnsAway<BatchNorm<float>, Rows<3>, Columns<3>>));
  EXPECT_TRUE((TurnsAway<LayerNorm<float>, Columns<3>, Rows<3>>));
  EXPECT_FALSE((Backwards<BatchNorm<float>, Rows<3>, Columns<3>, Rows<3>>));
}

TEST(Layout, OfSeveralNormalizedAxesIsPartOfTheType) {
  EXPECT_TRUE((Takes<LayerNorm<float, 2, Eigen::ColMajor>, Columns<3>>));
  EXPECT_TRUE((TurnsAway<LayerNorm<float, 2>, Columns<3>>));
  EXPECT_TRUE((TurnsAway<LayerNorm<float, 2, Eigen::ColMajor>, Rows<3>>));
  EXPECT_TRUE((Takes<LayerNorm<float, 1>, Columns<3>>)) << "one axis lies the same in both";
}

TEST(Scalar, IsFloatOrDouble) {
  EXPECT_TRUE(ScalarOfBatchNorm<float> && ScalarOfBatchNorm<double>);
  EXPECT_TRUE(ScalarOfLayerNorm<float> && ScalarOfLayerNorm<double>);
  EXPECT_FALSE(ScalarOfBatchNorm<int> || ScalarOfBatchNorm<long double>);
  EXPECT_FALSE(ScalarOfLayerNorm<int> || ScalarOfLayerNorm<bool>);
}

TEST(Scalar, OfTensorsIsThatOfTheLayer) {
  EXPECT_TRUE((TurnsAway<BatchNorm<float>, Rows<3, double>>)&&(TurnsAway<LayerNorm<double>, Rows<3, float>>));
  EXPECT_TRUE((TurnsAway<BatchNorm<float>, Rows<3, int>>)&&(TurnsAway<BatchNorm<float>, Rows<3>, Rows<3, double>>));
  EXPECT_FALSE((Calls<BatchNorm<float>, Rows<3, int>>));
}

TEST(Scalar, OfTensorsMayBeOfSixteenBitsWithFloat) {
  using Halves = Rows<3, Eigen::half>;
  using BFloats = Rows<3, Eigen::bfloat16>;
  EXPECT_TRUE((Takes<BatchNorm<float>, Halves>)&&(Takes<LayerNorm<float>, BFloats>));
  EXPECT_TRUE((TurnsAway<BatchNorm<double>, Halves>)&&(TurnsAway<LayerNorm<double>, BFloats>));
  EXPECT_TRUE((TurnsAway<BatchNorm<float>, Halves, BFloats>)&&(TurnsAway<BatchNorm<float>, Halves, Rows<3>>));
  EXPECT_TRUE((TurnsAway<BatchNorm<float>, Rows<3>, Halves>));
  EXPECT_FALSE((Backwards<BatchNorm<float>, Halves, Rows<3>, Halves>));
  EXPECT_FALSE(ScalarOfBatchNorm<Eigen::half> || ScalarOfLayerNorm<Eigen::bfloat16>);
}

TEST(Constness, OfOutputsIsRespected) {
  EXPECT_TRUE((Takes<BatchNorm<float>, ConstMap<3>, Rows<3>>));
  EXPECT_FALSE((Forwards<BatchNorm<float>, Rows<3>, const Rows<3>>));
  EXPECT_FALSE((Forwards<BatchNorm<float>, Rows<3>, ConstMap<3>>));
  EXPECT_FALSE((Backwards<LayerNorm<float>, Rows<3>, Rows<3>, const Rows<3>>));
}

TEST(Matrices, AreTensorsOfRankTwoAndVectorsOfRankOne) {
  using Eigen::MatrixXf;
  using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  EXPECT_TRUE((Takes<BatchNorm1d<float>, MatrixXf>)&&(Takes<LayerNorm<float>, Eigen::ArrayXXf, MatrixXf>));
  EXPECT_TRUE((Takes<LayerNorm<float>, Eigen::VectorXf>)&&(TurnsAway<BatchNorm1d<float>, Eigen::VectorXf>));
  EXPECT_TRUE((Takes<BatchNorm1d<float>, RowMajor, Rows<2>>)&&(TurnsAway<BatchNorm1d<float>, RowMajor, MatrixXf>));
  using Product = decltype(std::declval<const MatrixXf&>() * std::declval<const MatrixXf&>());
  EXPECT_TRUE((Backwards<BatchNorm<float>, Product, RowMajor, RowMajor>)&&(
      Backwards<BatchNorm<float>, Product, MatrixXf, MatrixXf>))
      << "a product is evaluated as what it is with";
  EXPECT_FALSE((Backwards<BatchNorm<float>, Product, RowMajor, MatrixXf>)) << "these two differ";
  EXPECT_TRUE((Forwards<LayerNorm<float, 2>, Product, RowMajor>)&&(
      Backwards<LayerNorm<float, 2>, Product, RowMajor, RowMajor>));
  EXPECT_TRUE(
      (TurnsAway<LayerNorm<float, 2>, Product, MatrixXf>)&&(TurnsAway<normkit::RMSNorm<float, 2>, Product, MatrixXf>))
      << "weight and bias lie in another order";
  EXPECT_TRUE((TurnsAway<LayerNorm<float, 2>, Product, Columns<2>>)&&(
      Takes<LayerNorm<float, 2, Eigen::ColMajor>, Product, MatrixXf>));
  EXPECT_TRUE((TurnsAway<BatchNorm2d<float>, MatrixXf>)&&(TurnsAway<BatchNorm1d<float>, Eigen::MatrixXd>));
  EXPECT_TRUE((Takes<BatchNorm<float>, Eigen::Ref<const MatrixXf>, MatrixXf>));
  EXPECT_FALSE((Forwards<BatchNorm<float>, MatrixXf, const MatrixXf>));
  EXPECT_FALSE((Forwards<BatchNorm<float>, MatrixXf, Eigen::Ref<const MatrixXf>>));
  EXPECT_FALSE((Forwards<BatchNorm<float>, MatrixXf, Eigen::Map<const MatrixXf>>));
  EXPECT_FALSE((Forwards<BatchNorm<float>, MatrixXf, decltype(std::declval<MatrixXf&>() * 2.0f)>));
}

TEST(Constness, OfALayerAllowsInferAlone) {
  EXPECT_TRUE((Infers<const BatchNorm<float>, Rows<3>>)&&(Infers<const LayerNorm<float>, Rows<3>>));
  EXPECT_FALSE((Forwards<const BatchNorm<float>, Rows<3>>) || (Forwards<const LayerNorm<float>, Rows<3>>));
}

TEST(Outputs, AreNoExpressions) {
  using Sum = decltype(std::declval<const Rows<3>&>() + std::declval<const Rows<3>&>());
  EXPECT_TRUE((Calls<LayerNorm<float>, Sum>)&&(Forwards<LayerNorm<float>, Sum, Rows<3>>));
  EXPECT_FALSE((Forwards<LayerNorm<float>, Rows<3>, Sum>));
}

TEST(Construction, FromANumberOfFeaturesIsExplicit) {
  EXPECT_FALSE((std::is_convertible_v<int, BatchNorm<float>>));
  EXPECT_FALSE((std::is_convertible_v<int, LayerNorm<float>>));
  EXPECT_FALSE((std::is_constructible_v<LayerNorm<float, 2>, int>)) << "two axes need two extents";
  EXPECT_FALSE((std::is_constructible_v<LayerNorm<float, 2>, std::array<Eigen::Index, 3>>));
}

template <class Norm, class X, class R = X, class Sum = X, class Y = X>
concept AddsForward = requires(Norm norm, const X x, const R residual, Sum sum, Y y) {
  norm.forward_add(x, residual, sum, y);
};
template <class Norm, class X, class R = X, class Sum = X, class Y = X>
concept AddsInfer = requires(const Norm norm, const X x, const R residual, Sum sum, Y y) {
  norm.infer_add(x, residual, sum, y);
};
template <class Norm, class X, class R = X, class Sum = X, class Y = X>
concept Adds = AddsForward<Norm, X, R, Sum, Y> && AddsInfer<Norm, X, R, Sum, Y>;
template <class Norm, class X, class R = X, class Sum = X, class Y = X>
concept AddsNot = !AddsForward<Norm, X, R, Sum, Y> && !AddsInfer<Norm, X, R, Sum, Y>;
template <class Norm, class X, class Dy = X, class DSum = X, class Dx = X>
concept AddsBackward = requires(Norm norm, const X sum, const Dy dy, const DSum dsum, Dx dx) {
  norm.backward_add(sum, dy, dsum, dx);
};

TEST(Residual, TensorsAreOfOneKind) {
  using Norm = LayerNorm<float>;
  EXPECT_TRUE((Adds<Norm, Rows<3>>)&&(AddsBackward<Norm, Rows<3>>));
  EXPECT_TRUE((Adds<Norm, Rows<3, Eigen::half>>)&&(AddsBackward<Norm, Rows<3, Eigen::half>>));
  EXPECT_TRUE((AddsNot<Norm, Rows<3>, Rows<2>>)&&(AddsNot<Norm, Rows<3>, Columns<3>>));
  EXPECT_TRUE((AddsNot<Norm, Rows<3>, Rows<3, Eigen::half>>)&&(AddsNot<Norm, Rows<3, int>>));
  EXPECT_TRUE((AddsNot<Norm, Rows<3>, Rows<3>, Rows<2>>)&&(AddsNot<Norm, Rows<3>, Rows<3>, ConstMap<3>>));
  EXPECT_TRUE((AddsNot<Norm, Rows<3>, Rows<3>, Rows<3>, Columns<3>>));
  EXPECT_FALSE((AddsBackward<Norm, Rows<3>, Rows<2>>) || (AddsBackward<Norm, Rows<3>, Rows<3>, Columns<3>>));
  EXPECT_FALSE((AddsBackward<Norm, Rows<3>, Rows<3>, Rows<3>, ConstMap<3>>));
}

TEST(Residual, IsForNormsOfTokens) {
  EXPECT_TRUE((Adds<normkit::RMSNorm<float>, Rows<3>>)&&(AddsBackward<normkit::RMSNorm<float>, Rows<3>>));
  EXPECT_TRUE((AddsNot<BatchNorm<float>, Rows<3>>)&&(!AddsBackward<BatchNorm<float>, Rows<3>>));
}

template <class Norm, class X, class R = X, class Y = X, class Mask = normkit::ReLUMask>
concept RectifiesSum = requires(Norm norm, const X x, const R residual, Y y, Mask mask) {
  norm.forward_add_relu(x, residual, y, mask);
};
template <class Norm, class X, class R = X, class Y = X>
concept InfersSum = requires(const Norm norm, const X x, const R residual, Y y) {
  norm.infer_add_relu(x, residual, y);
};
template <class Norm, class X, class Y = X, class Mask = normkit::ReLUMask>
concept Rectifies = requires(Norm norm, const X x, Y y, Mask mask) {
  norm.forward_relu(x, y, mask);
};
template <class Norm, class X, class Y = X>
concept InfersRectified = requires(const Norm norm, const X x, Y y) {
  norm.infer_relu(x, y);
};
template <class Norm, class X, class Dy = X, class Dx = X, class Mask = const normkit::ReLUMask>
concept BackwardsThroughMask = requires(Norm norm, const X x, const Dy dy, Mask mask, Dx dx) {
  norm.backward_relu(x, dy, mask, dx);
};
template <class Norm, class X, class Dy = X, class Dx = X, class DR = X>
concept BackwardsThroughSum = requires(Norm norm, const X x, const Dy dy, const normkit::ReLUMask mask, Dx dx, DR dr) {
  norm.backward_add_relu(x, dy, mask, dx, dr);
};

TEST(ReLU, TensorsAreOfOneKindAndTheMaskIsAMask) {
  using Norm = BatchNorm<float>;
  EXPECT_TRUE((Rectifies<Norm, Rows<3>>)&&(InfersRectified<Norm, Rows<3>>)&&(RectifiesSum<Norm, Rows<3>>));
  EXPECT_TRUE((InfersSum<Norm, Rows<3>>)&&(BackwardsThroughMask<Norm, Rows<3>>)&&(BackwardsThroughSum<Norm, Rows<3>>));
  EXPECT_TRUE((RectifiesSum<Norm, Rows<3, Eigen::half>>)&&(BackwardsThroughSum<Norm, Rows<3, Eigen::half>>));
  EXPECT_FALSE((Rectifies<Norm, Rows<3>, Columns<3>>) || (Rectifies<Norm, Rows<3>, ConstMap<3>>));
  EXPECT_FALSE((Rectifies<Norm, Rows<3>, Rows<3>, Rows<3, bool>>)) << "a mask of its own type";
  EXPECT_FALSE((Rectifies<Norm, Rows<3>, Rows<3>, const normkit::ReLUMask>)) << "a forward fills it";
  EXPECT_FALSE((InfersRectified<Norm, Rows<3>, Rows<2>>));
  EXPECT_FALSE((RectifiesSum<Norm, Rows<3>, Rows<2>>) || (RectifiesSum<Norm, Rows<3>, Rows<3, Eigen::half>>));
  EXPECT_FALSE((RectifiesSum<Norm, Rows<3>, normkit::ReLUMask>) || (InfersSum<Norm, Rows<3>, Columns<3>>));
  EXPECT_FALSE((BackwardsThroughMask<Norm, Rows<3>, Rows<2>>) ||
               (BackwardsThroughMask<Norm, Rows<3>, Rows<3>, ConstMap<3>>));
  EXPECT_FALSE((BackwardsThroughMask<Norm, Rows<3>, Rows<3>, Rows<3>, Rows<3>>)) << "no tensor for a mask";
  EXPECT_FALSE((BackwardsThroughSum<Norm, Rows<3>, Rows<3>, Rows<3>, Columns<3>>));
}

TEST(ReLU, IsBehindBatchNorm) {
  EXPECT_FALSE((Rectifies<LayerNorm<float>, Rows<3>>) || (Rectifies<normkit::GroupNorm<float>, Rows<3>>));
  EXPECT_FALSE((InfersSum<LayerNorm<float>, Rows<3>>) || (BackwardsThroughMask<LayerNorm<float>, Rows<3>>));
}

template <class Norm, class Y, class Dy = Y, class Dx = Y>
concept BackwardsFromOutput = requires(Norm norm, const Y y, const Dy dy, Dx dx) {
  norm.backward_from_output(y, dy, dx);
};

TEST(FromOutput, TensorsAreOfOneKind) {
  using Norm = BatchNorm2d<float>;
  EXPECT_TRUE((BackwardsFromOutput<Norm, Rows<4>>)&&(BackwardsFromOutput<Norm, Columns<4, Eigen::bfloat16>>));
  EXPECT_TRUE(
      (BackwardsFromOutput<LayerNorm<float>, Rows<2>>)&&(BackwardsFromOutput<normkit::RMSNorm<float>, Rows<3>>));
  EXPECT_FALSE((BackwardsFromOutput<normkit::GroupNorm<float>, Rows<4>>));
  EXPECT_FALSE((BackwardsFromOutput<Norm, Rows<3>>) || (BackwardsFromOutput<Norm, Rows<4>, Columns<4>>));
  EXPECT_FALSE((BackwardsFromOutput<Norm, Rows<4>, Rows<4>, ConstMap<4>>));
  EXPECT_FALSE((BackwardsFromOutput<Norm, Rows<4>, Rows<4, double>>) || (BackwardsFromOutput<const Norm, Rows<4>>));
}

template <class Norm, class X, class V = X, class Y = X>
concept HasJvp = requires(Norm norm, const X x, const V v, Y y_v) {
  norm.jvp(x, v, y_v);
};
template <class Norm, class X, class Dy = X, class V = X, class DyGrad = X, class XGrad = X>
concept BackwardsTwice = requires(Norm norm, const X x, const Dy dy, const V v, DyGrad dy_grad, XGrad x_grad) {
  norm.double_backward(x, dy, v, dy_grad, x_grad);
};

TEST(HigherDerivatives, AreOfNormsThatHaveThem) {
  EXPECT_TRUE((HasJvp<BatchNorm2d<float>, Rows<4>>)&&(BackwardsTwice<BatchNorm2d<float>, Rows<4, Eigen::half>>));
  EXPECT_TRUE((HasJvp<LayerNorm<double>, Rows<2, double>>)&&(BackwardsTwice<normkit::RMSNorm<float>, Columns<2>>));
  EXPECT_FALSE((HasJvp<normkit::GroupNorm<float>, Rows<4>>) || (BackwardsTwice<normkit::GroupNorm<float>, Rows<4>>));
  EXPECT_FALSE((HasJvp<normkit::InstanceNorm2d<float>, Rows<4>>));
  EXPECT_FALSE((BackwardsTwice<normkit::InstanceNorm2d<float>, Rows<4>>));
}

TEST(HigherDerivatives, TakeTensorsOfOneKind) {
  using Norm = BatchNorm<float>;
  EXPECT_FALSE((HasJvp<Norm, Rows<3>, Rows<2>>) || (HasJvp<Norm, Rows<3>, Columns<3>>));
  EXPECT_FALSE((HasJvp<Norm, Rows<3>, Rows<3>, ConstMap<3>>) || (HasJvp<Norm, Rows<3>, Rows<3>, Rows<3, double>>));
  EXPECT_FALSE((BackwardsTwice<Norm, Rows<3>, Rows<2>>) || (BackwardsTwice<Norm, Rows<3>, Rows<3>, Columns<3>>));
  EXPECT_FALSE((BackwardsTwice<Norm, Rows<3>, Rows<3>, Rows<3>, ConstMap<3>>));
  EXPECT_FALSE((BackwardsTwice<Norm, Rows<3>, Rows<3>, Rows<3>, Rows<3>, ConstMap<3>>));
}

template <class Norm, class X, class V, class Y = X>
concept ForwardsWith = requires(Norm norm, const X x, const V which, Y y) {
  norm.forward(x, which, y);
};
template <class Norm, class X, class V, class Y = X>
concept InfersWith = requires(const Norm norm, const X x, const V which, Y y) {
  norm.infer(x, which, y);
};
template <class Norm, class X, class V, class Dy = X, class Dx = X>
concept BackwardsWith = requires(Norm norm, const X x, const V which, const Dy dy, Dx dx) {
  norm.backward(x, which, dy, dx);
};
template <class Norm, class X, class V>
concept TakesWith = ForwardsWith<Norm, X, V> && InfersWith<Norm, X, V> && BackwardsWith<Norm, X, V>;
template <class Norm, class X, class V>
concept TakesNotWith = !ForwardsWith<Norm, X, V> && !InfersWith<Norm, X, V> && !BackwardsWith<Norm, X, V>;

TEST(VariableLength, IsOfBatchNormWithLengthsOrAMask) {
  using Norm = BatchNorm<float>;
  EXPECT_TRUE((TakesWith<Norm, Rows<3>, Rows<1, int>>)&&(TakesWith<Norm, Columns<3>, Rows<1, std::int64_t>>));
  EXPECT_TRUE((TakesWith<Norm, Rows<4>, Rows<3, bool>>)&&(TakesWith<Norm, Rows<2>, Columns<1, bool>>));
  EXPECT_TRUE((TakesNotWith<Norm, Rows<4>, Rows<1, int>>)) << "lengths are of one axis";
  EXPECT_TRUE((TakesNotWith<Norm, Rows<3>, Rows<1, float>>)&&(TakesNotWith<Norm, Rows<3>, Rows<2, int>>));
  EXPECT_TRUE((TakesNotWith<Norm, Rows<3>, Rows<1, bool>>)&&(TakesNotWith<Norm, Rows<3>, Rows<3, bool>>));
  EXPECT_TRUE((TakesNotWith<Norm, Rows<3>, Columns<2, bool>>)) << "a mask lies as x does";
  EXPECT_TRUE((TakesNotWith<normkit::InstanceNorm<float>, Rows<3>, Rows<1, int>>));
  EXPECT_FALSE((ForwardsWith<Norm, Rows<3>, Rows<1, int>, Rows<2>>) || (ForwardsWith<Norm, Rows<1, int>, Rows<3>>));
  EXPECT_FALSE((ForwardsWith<Norm, Rows<3>, Rows<3>, Rows<1, int>>)) << "y comes last";
  EXPECT_FALSE((BackwardsWith<Norm, Rows<3>, Rows<3>, Rows<1, int>>)) << "lengths come second";
}

TEST(RaggedRows, AreOfNormsOfTokensWithOffsets) {
  EXPECT_TRUE((TakesWith<LayerNorm<float>, Rows<1>, Rows<1, int>>));
  EXPECT_TRUE((TakesWith<normkit::RMSNorm<float>, Columns<1, Eigen::half>, Rows<1, unsigned>>));
  EXPECT_TRUE((TakesNotWith<LayerNorm<float>, Rows<2>, Rows<1, int>>)) << "rows of one length need none";
  EXPECT_TRUE((TakesNotWith<LayerNorm<float, 2>, Rows<1>, Rows<1, int>>));
  EXPECT_TRUE((TakesNotWith<LayerNorm<float>, Rows<1>, Rows<1, bool>>));
  EXPECT_TRUE((TakesNotWith<LayerNorm<float>, Rows<1>, Rows<2, int>>));
  EXPECT_TRUE((TakesNotWith<LayerNorm<float>, Rows<3>, Rows<1, int>>)) << "lengths are BatchNorm's";
}

template <class Norm, class W, class B>
concept FoldsBefore = requires(const Norm norm, W weight, B bias) {
  normkit::fold_before(norm, weight, 0, bias);
};
template <class Norm, class W, class B>
concept FoldsAfter = requires(const Norm norm, W weight, B bias) {
  normkit::fold_after(norm, weight, 1, 0, bias);
};
template <class Norm, class W, class B>
concept Folds = FoldsBefore<Norm, W, B> && FoldsAfter<Norm, W, B>;
template <class Norm, class W, class B>
concept FoldsNot = !FoldsBefore<Norm, W, B> && !FoldsAfter<Norm, W, B>;

TEST(Folding, IsOfABatchNormIntoTensorsOfItsScalar) {
  EXPECT_TRUE((Folds<BatchNorm2d<float>, Rows<4>, Columns<1>>));
  EXPECT_TRUE((Folds<BatchNorm<double>, Rows<2, double>, Rows<1, double>>));
  EXPECT_TRUE((FoldsNot<BatchNorm2d<float>, Rows<4, double>, Rows<1>>));
  EXPECT_TRUE((FoldsNot<BatchNorm2d<float>, Rows<4>, Rows<2>>));
  EXPECT_TRUE((FoldsNot<BatchNorm2d<float>, ConstMap<4>, Rows<1>>)&&(FoldsNot<LayerNorm<float>, Rows<4>, Rows<1>>));
}

template <class Norm, class X>
concept Diagnoses = requires(const Norm norm, const X x) {
  normkit::diagnose(norm, x);
};

TEST(Diagnostics, AreOfABatchNormAndATensorThatItTakes) {
  EXPECT_TRUE((Diagnoses<BatchNorm2d<float>, Columns<4>>)&&(Diagnoses<BatchNorm<double>, Rows<2, double>>));
  EXPECT_TRUE((Diagnoses<BatchNorm2d<float>, Rows<4, Eigen::half>>));
  EXPECT_FALSE((Diagnoses<BatchNorm<double>, Rows<4, Eigen::half>>) || (Diagnoses<BatchNorm<float>, Rows<4, int>>));
  EXPECT_FALSE((Diagnoses<BatchNorm2d<float>, Rows<3>>) || (Diagnoses<BatchNorm2d<float>, Rows<4, double>>));
  EXPECT_FALSE((Diagnoses<LayerNorm<float>, Rows<3>>) || (Diagnoses<Rows<3>, BatchNorm<float>>));
}

TEST(Conventions, AreOptionsOfTheNormsThatTheSystemHas) {
  namespace conventions = normkit::conventions;
  EXPECT_TRUE((std::is_constructible_v<BatchNorm<float>, int, conventions::Keras>));
  EXPECT_TRUE((std::is_constructible_v<LayerNorm<float>, int, conventions::Onnx>));
  EXPECT_FALSE((std::is_constructible_v<LayerNorm<float>, int, conventions::CuDnn>));
  EXPECT_FALSE((std::is_constructible_v<LayerNorm<float>, int, conventions::TensorFlowFused>));
}

template <class X>
concept Measures = requires(const X x) {
  normkit::moments(x, {0});
};

TEST(Moments, AreOfFloatAndDouble) {
  EXPECT_TRUE((Measures<Rows<2>>)&&(Measures<Columns<3, double>>));
  EXPECT_FALSE((Measures<Rows<2, int>>) || (Measures<Rows<2, long double>>));
}

}  // namespace
