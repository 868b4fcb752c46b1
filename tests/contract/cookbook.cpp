// The code of docs/cookbook.md, as it stands there, and what the page says of it.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <thread>
#include <vector>

namespace {

// No line has more than three quarters of such points right, as those of one quadrant are on the wrong side of it: more than five
// standard deviations of 256 draws above that, and less than half of the loss of guessing, is no line's.
TEST(Cookbook, Classify) {
#include "cookbook/classify.inl"
  EXPECT_LT(loss, std::log(2.0) / 2);
  EXPECT_GT(right, 256 * 0.75 + 5 * std::sqrt(256 * 0.75 * 0.25));
}

// Of f = sum(y * r) the gradients by x and by all parameters, against differences: those of steps h and 2 h are wrong by M h^2 and
// 4 M h^2, so that what lies between them is three times the error of the first. To that comes rounding: each y is made of sums of up
// to 4 width products, and the difference is divided by h. An agreement is one of four digits at least.
TEST(Cookbook, Transformer) {
#include "cookbook/transformer.inl"
  std::srand(2);
  Block block;
  Matrix x = Matrix::Random(7, Block::width);
  const Matrix r = Matrix::Random(7, Block::width);
  const auto f = [&] { return block.forward(x).cwiseProduct(r).sum(); };
  const auto check = [&](const char* name, T* values, Matrix gradient) {
    SCOPED_TRACE(name);
    Eigen::Map<Matrix> parameter(values, gradient.rows(), gradient.cols());
    const Matrix kept = parameter, along = Matrix::Random(gradient.rows(), gradient.cols());
    const auto slope = [&](T step) {
      parameter = kept + step * along;
      const T above = f();
      parameter = kept - step * along;
      const T below = f();
      parameter = kept;
      return (above - below) / (2 * step);
    };
    const T h = 1e-4, size = block.forward(x).cwiseProduct(r).cwiseAbs().sum();
    const T rounding = 4 * Block::width * std::numeric_limits<T>::epsilon() * size / h;
    const T near = slope(h), allowed = std::abs(near - slope(2 * h)) + rounding;
    EXPECT_NEAR(gradient.cwiseProduct(along).sum(), near, allowed);
    EXPECT_LT(allowed, std::abs(near) * 1e-4) << "no agreement of anything with anything";
  };

  (void)f();
  const Matrix dx = block.backward(x, r);
  check("x", x.data(), dx);
  check("wq", block.wq.data(), block.dwq);
  check("wk", block.wk.data(), block.dwk);
  check("wv", block.wv.data(), block.dwv);
  check("wo", block.wo.data(), block.dwo);
  check("w1", block.w1.data(), block.dw1);
  check("w2", block.w2.data(), block.dw2);
  for (normkit::LayerNorm<T>* norm : {&block.norm1, &block.norm2})
    for (auto& parameter : norm->parameters())
      check(parameter.name.data(), parameter.value.data(),
            Eigen::Map<const Matrix>(parameter.gradient.data(), 1, Block::width));

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
#include "cookbook/server.inl"
  for (const Eigen::MatrixXf& answer : answers)
    EXPECT_TRUE(((answer.array() - static_cast<float>(4 / std::sqrt(4 + 1e-5))).abs() <= std::ldexp(6.0f * 4, -24)).all());
}

TEST(Cookbook, Loop) {
#include "cookbook/loop.inl"
  EXPECT_EQ(norm.num_batches_tracked(), 3);
  EXPECT_NE(norm.weight()(0), 1.0f);
  EXPECT_EQ(norm.weight_grad()(0), 0.0f);
}

// With the first scale dy is far beyond the greatest half, 65504.
TEST(Cookbook, Mixed) {
#include "cookbook/mixed.inl"
  EXPECT_LT(scale, 65536);
  EXPECT_GT(steps, 0);
  EXPECT_LT(norm.weight()(0), 1.0f);
  EXPECT_EQ(norm.num_batches_rejected(), 0) << "it is gradients that have become infinite";
}

}  // namespace
