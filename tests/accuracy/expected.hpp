// A case as the rule sees it: its inputs, and for each output the cond of the rule beside what is exact.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "accuracy/cases.hpp"
#include "support/rule.hpp"
#include "support/tensors.hpp"

namespace accuracy {

using support::Expected;

/// The inputs of a case; in row-major order.
template <class T>
struct Inputs {
  explicit Inputs(const Case& c)
      : extents(c.integers("extents")),
        g(c.is_batch_norm() ? reference::per_channel(extents, static_cast<std::size_t>(c.integer("axis")))
                            : reference::per_token(extents, static_cast<std::size_t>(c.integer("axis")),
                                                   static_cast<std::size_t>(c.integer("axes")))),
        eps(c.eps()),
        x(c.inputs<T>("x", g.group.size())),
        dy(c.inputs<T>("dy", g.group.size())),
        weight(c.inputs<T>("weight", g.params)),
        bias(c.inputs<T>("bias", g.params)) {
    if (!c.is_batch_norm()) return;
    running_mean = c.inputs<T>("running_mean", g.groups);
    running_var = c.inputs<T>("running_var", g.groups);
  }

  reference::Extents extents;
  reference::Grouping g;
  double eps;
  std::vector<T> x, dy, weight, bias, running_mean, running_var;
};

/// One of the four ways in which a layer is run on a case.
struct Pass {
  bool evaluates, plain;

  /// Where the exact values of y, dx, dweight or dbias stand in the case.
  std::string key(const std::string& output) const {
    if (output == "dbias") return output;
    return kind(output) + (plain && output != "dweight" ? "_plain" : "");
  }
  /// Outputs that are computed alike.
  std::string kind(const std::string& output) const { return (evaluates ? "eval_" : "") + output; }
};

/// The passes of a case: only BatchNorm has evaluation, and it refuses to train on one value per channel; a million
/// values are not run with plain parameters, which have nothing to do with their number.
template <class T>
std::vector<Pass> passes(const Case& c, const Inputs<T>& in) {
  std::vector<Pass> result;
  for (const bool plain : {false, true})
    for (const bool evaluates : {false, true}) {
      const bool refused = evaluates ? !c.is_batch_norm() : c.is_batch_norm() && in.g.count == 1;
      if (!refused && !(plain && c.is_sampled())) result.push_back({evaluates, plain});
    }
  return result;
}

/// The mean and the variance of each group as mpmath found them. mean + mean_rest has all digits.
inline reference::Moments exact_moments(const Case& c) {
  reference::Moments m;
  for (const Value& mean : c.exact("mean")) {
    m.mean.push_back(mean.hi);
    m.mean_rest.push_back(mean.lo);
  }
  for (const Value& var : c.exact("var")) m.var.push_back(var.nearest());
  return m;
}

struct ExpectedOutputs {
  Expected y;
  support::ExpectedGradients gradients;
};

/// The cond of all outputs, and in `exact` what the reference makes of them, which long double limits. `of_batch` are
/// the moments of x.
template <class T>
ExpectedOutputs expected_outputs(const Inputs<T>& in, const Pass& pass, const reference::Moments& of_batch) {
  using support::reals;
  const auto statistics = pass.evaluates ? reference::Statistics::running : reference::Statistics::of_batch;
  const reference::Moments given{reals(in.running_mean), reals(in.running_var)};
  const reference::Moments& m = pass.evaluates ? given : of_batch;
  const reference::Affine affine =
      pass.plain ? reference::Affine{} : reference::Affine{reals(in.weight), reals(in.bias)};
  const Reals x = reals(in.x);
  return {support::expected_y(x, in.g, m, in.eps, affine, statistics),
          support::expected_gradients(x, reals(in.dy), in.g, m, in.eps, affine, statistics)};
}

/// The elements of an output that the case has exact values of: those that it samples, or all.
template <class Number>
std::vector<Number> sampled(const Case& c, const std::string& output, const std::vector<Number>& all) {
  const std::string sample = output == "y" || output == "dx" ? "sample" : "sample_of_parameters";
  if (!c.has(sample)) return all;
  std::vector<Number> some;
  for (const std::int64_t i : c.integers(sample)) some.push_back(all.at(static_cast<std::size_t>(i)));
  return some;
}

/// The error of one value in units of the rule, as support::error_in_units, but from an exact value of two numbers.
template <class T>
Real error_in_units(T got, const Value& exact, Real cond) {
  const int expected_class = support::class_of(static_cast<T>(exact.nearest()));
  if (support::class_of(got) != expected_class) return std::numeric_limits<Real>::infinity();
  if (expected_class != 0) return 0;
  const Real error = std::abs((static_cast<Real>(got) - exact.hi) - exact.lo);
  return error / (support::unit_roundoff<T>() * cond + support::half_subnormal<T>());
}

}  // namespace accuracy
