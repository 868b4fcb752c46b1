// The code of docs/cookbook.md, as it stands there, and what the page says of it.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <thread>
#include <vector>

namespace {

TEST(Cookbook, Classify) {
#include "classify.inl"
  EXPECT_LT(loss, 0.1) << "a line would leave 0.69, that of guessing";
  EXPECT_GT(right, 256 * 95 / 100);
}

// Of f(x) = sum(y * r) the gradient by x and by a weight, against differences: those of steps h and 2 h are wrong by M h^2 and 4 M h^2,
// so that a third of what lies between them is the error of the first; rounding adds no more than the sum of the magnitudes of f's terms
// times the u of each of some 100 operations behind it, over h.
TEST(Cookbook, Transformer) {
#include "transformer.inl"
  std::srand(2);
  Block block;
  const Matrix x = Matrix::Random(7, Block::width), r = Matrix::Random(7, Block::width);
  Matrix along = Matrix::Random(7, Block::width);
  const auto f = [&](const Matrix& at) { return block.forward(at).cwiseProduct(r).sum(); };
  const T h = 1e-4, rounding = 100 * std::numeric_limits<T>::epsilon() * block.forward(x).cwiseProduct(r).cwiseAbs().sum() / h;
  const auto check = [&](T gradient, T near, T far) {
    const T allowed = 2 * std::abs(near - far) / 3 + rounding;
    EXPECT_NEAR(gradient, near, allowed);
    EXPECT_LT(allowed, std::abs(gradient) * 1e-4) << "no agreement of anything with anything";
  };

  (void)block.forward(x);
  const T by_x = block.backward(x, r).cwiseProduct(along).sum();
  const auto slope = [&](T step) { return (f(x + step * along) - f(x - step * along)) / (2 * step); };
  check(by_x, slope(h), slope(2 * h));

  for (const auto& pair : {std::pair{&block.wq, &block.dwq}, {&block.wk, &block.dwk}, {&block.wv, &block.dwv},
                                  {&block.wo, &block.dwo}, {&block.w1, &block.dw1}, {&block.w2, &block.dw2}}) {
    Matrix* const weight = pair.first;
    (void)block.forward(x);
    (void)block.backward(x, r);
    const Matrix kept = *weight, direction = Matrix::Random(kept.rows(), kept.cols());
    const T by_weight = pair.second->cwiseProduct(direction).sum();
    const auto value = [&](T step) {
      *weight = kept + step * direction;
      const T result = f(x);
      *weight = kept;
      return result;
    };
    check(by_weight, (value(h) - value(-h)) / (2 * h), (value(2 * h) - value(-2 * h)) / (4 * h));
  }

  // No place sees those behind it.
  const Matrix before = block.forward(x);
  Matrix changed = x;
  changed.row(6) *= -3;
  const Matrix after = block.forward(changed);
  EXPECT_TRUE(before.topRows(6) == after.topRows(6));
  EXPECT_FALSE(before.row(6) == after.row(6));
}

// (7 - 3) / sqrt(4 + 1e-5), within the 6 u (|xhat| + |xhat|) of the rule.
TEST(Cookbook, Server) {
#include "server.inl"
  for (const Eigen::MatrixXf& answer : answers)
    EXPECT_TRUE(((answer.array() - static_cast<float>(4 / std::sqrt(4 + 1e-5))).abs() <= std::ldexp(6.0f * 4, -24)).all());
}

TEST(Cookbook, Loop) {
#include "loop.inl"
  EXPECT_EQ(norm.num_batches_tracked(), 3);
  EXPECT_NE(norm.weight()(0), 1.0f);
  EXPECT_EQ(norm.weight_grad()(0), 0.0f);
}

// With the first scale dy is far beyond the greatest half, 65504.
TEST(Cookbook, Mixed) {
#include "mixed.inl"
  EXPECT_LT(scale, 65536);
  EXPECT_GT(steps, 0);
  EXPECT_LT(norm.weight()(0), 1.0f);
  EXPECT_EQ(norm.num_batches_rejected(), 0) << "it is gradients that have become infinite";
}

}  // namespace
