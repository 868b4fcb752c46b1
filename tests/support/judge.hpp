// One step of a layer, judged by the oracle: what nearly every test of a norm does.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "support/rule.hpp"
#include "support/tensors.hpp"

namespace support {

/// A layer's weight and bias as the oracle takes them.
template <class Norm>
Affine affine_of(const Norm& norm) {
  Affine affine{reals(norm.weight()), reals(norm.bias())};
  if constexpr (requires { norm.options().zero_centred; })
    if (norm.options().zero_centred)
      for (Real& weight : affine.weight) weight += 1;
  return affine;
}

/// Gives a layer's parameters values of both signs and different sizes, so that one used in another's place shows.
template <class Norm>
void set_parameters(Norm& norm, std::uint64_t seed) {
  for (auto parameter : norm.parameters()) {
    using T = ScalarOf<decltype(parameter.value)>;
    Numbers numbers(seed++);
    for (Eigen::Index i = 0; i < parameter.value.size(); ++i)
      parameter.value.data()[i] = numbers.uniform<T>() + (i % 2 == 0 ? T(-1.5) : T(2));
  }
}

template <class Norm>
Real eps_of(const Norm& norm) {
  if constexpr (requires { norm.eps(); })
    return norm.eps();
  else
    return norm.options().eps;
}

/// y of forward, by the rule.
template <class Norm, class X, class Y>
void expect_y(const Norm& norm, const X& x, const Y& y, const Grouping& g, const Moments& m, Statistics statistics) {
  EXPECT_TRUE(
      keeps_rule(values(y), expected_y(reals(x), g, m, eps_of(norm), affine_of(norm), statistics), roundings::y))
      << "y";
}

/// A layer's gradients as they are, to be handed to expect_gradients after the next backward. Empty: zero.
struct OldGradients {
  Reals weight, bias;
  template <class Norm>
  static OldGradients of(const Norm& norm) {
    return {reals(norm.weight_grad()), reals(norm.bias_grad())};
  }
};

/// dx, and what backward added to the parameters' gradients, by the rule.
template <class Norm, class X, class Y>
void expect_gradients(const Norm& norm, const X& x, const Y& dy, const Y& dx, const OldGradients& old,
                      const Grouping& g, const Moments& m, Statistics statistics) {
  const auto expected = expected_gradients(reals(x), reals(dy), g, m, eps_of(norm), affine_of(norm), statistics);
  EXPECT_TRUE(keeps_rule(values(dx), expected.dx, roundings::dx)) << "dx";
  if (norm.weight().size() > 0) {
    EXPECT_TRUE(keeps_rule(values(norm.weight_grad()), added(expected.dweight, old.weight), roundings::dweight))
        << "gradient of weight";
  }
  if (norm.bias().size() > 0) {
    EXPECT_TRUE(keeps_rule(values(norm.bias_grad()), added(expected.dbias, old.bias), roundings::dbias))
        << "gradient of bias";
  }
}

/// A forward and its backward against the oracle.
template <class Norm, class Device, class Tensor>
void expect_step(Norm& norm, Device& device, const Tensor& x, const Tensor& dy, const Grouping& g, const Moments& m,
                 Statistics statistics) {
  Tensor y = constant<Tensor>(extents_of(x), -77), dx = y;
  const OldGradients old = OldGradients::of(norm);
  norm.forward(device, x, y);
  expect_y(norm, x, y, g, m, statistics);
  norm.backward(device, x, dy, dx);
  expect_gradients(norm, x, dy, dx, old, g, m, statistics);
}

/// A layer's running statistics as the oracle takes them.
template <class Norm>
reference::Running running_of(const Norm& norm) {
  reference::Running running(static_cast<std::size_t>(norm.num_features()));
  running.mean = reals(norm.running_mean());
  running.var = reals(norm.running_var());
  running.batches = norm.num_batches_tracked();
  return running;
}

template <class Norm>
Moments running_moments(const Norm& norm) {
  return {reals(norm.running_mean()), reals(norm.running_var())};
}

template <class Norm>
std::optional<Real> momentum_of(const Norm& norm) {
  return norm.options().momentum;
}

/// The running statistics after a batch x, which were `old` before it, by the rule.
template <class Norm, class X>
void expect_running(const Norm& norm, const reference::Running& old, const X& x, const Grouping& g) {
  const auto expected = expected_running(old, reals(x), g, momentum_of(norm));
  EXPECT_TRUE(keeps_rule(values(norm.running_mean()), expected.mean, roundings::running)) << "running mean";
  EXPECT_TRUE(keeps_rule(values(norm.running_var()), expected.var, roundings::running)) << "running variance";
  EXPECT_EQ(norm.num_batches_tracked(), old.batches + 1);
}

}  // namespace support
