// The oracle: normalization by its definition, one plain loop after another, in the widest type there is. It shares
// nothing with the library, not even a shape. Tensors are vectors in row-major order.
//
// Real has 64 bits of precision or more where long double is wider than double (x86-64, AArch64 on Linux), so that
// its own errors are 2^-11 of a double's rounding; sums are compensated, which keeps that true for a million terms.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "reference/grouping.hpp"

namespace reference {

using Real = long double;
using Reals = std::vector<Real>;

/// A sum that remembers what each addition rounded away (Neumaier 1974).
class Sum {
 public:
  void add(Real term) {
    const Real next = total_ + term;
    lost_ += std::abs(total_) >= std::abs(term) ? (total_ - next) + term : (term - next) + total_;
    total_ = next;
  }
  /// With an infinite term `lost_` is NaN, and the plain total is right.
  Real value() const { return std::isfinite(lost_) ? total_ + lost_ : total_; }

 private:
  Real total_ = 0, lost_ = 0;
};

/// sums[at[i]] is the sum of all terms[i].
Reals sum_by(const Reals& terms, const Indices& at, std::size_t sums);

/// The mean of the terms of each group.
Reals mean_by_group(const Reals& terms, const Grouping& g);

/// One mean and one biased variance for each group. What the mean lacks where it is far greater than the deviation
/// stands in `mean_rest`; empty, it is zero.
struct Moments {
  Reals mean, var, mean_rest = {};

  /// x - mean
  Real centred(Real x, std::size_t group) const {
    return (x - mean[group]) - (mean_rest.empty() ? 0 : mean_rest[group]);
  }
};

Moments moments(const Reals& x, const Grouping& g);

/// The same about zero: nothing is subtracted, and the variance is the mean square.
Moments squares(const Reals& x, const Grouping& g);

/// 1 / sqrt(var + eps), and 0 where both are 0: a constant group without eps gives its bias.
Real rstd(Real var, Real eps);

Reals normalized(const Reals& x, const Grouping& g, const Moments& m, Real eps);

/// weight and bias; an empty one is absent, which means 1 and 0.
struct Affine {
  Reals weight, bias;
  Real weight_at(std::size_t param) const { return weight.empty() ? Real(1) : weight[param]; }
  Real bias_at(std::size_t param) const { return bias.empty() ? Real(0) : bias[param]; }
};

/// y = xhat * weight + bias
Reals forward(const Reals& x, const Grouping& g, const Moments& m, Real eps, const Affine& affine);

/// Where the statistics came from: from x itself, so that gradients flow through them, about its mean or about zero; or
/// from earlier batches.
enum class Statistics { of_batch, squares_of_batch, running };

struct Gradients {
  Reals dx, dweight, dbias;
};

/// With d = dy * weight: dx = rstd * (d - mean(d) - xhat * mean(d * xhat)); without mean(d) where nothing was subtracted, and
/// dx = rstd * d for running statistics.
Gradients backward(const Reals& x, const Reals& dy, const Grouping& g, const Moments& m, Real eps, const Affine& affine,
                   Statistics statistics);

/// What differentiating xhat leaves of u: P(u) = u - mean(u) - xhat * mean(u * xhat); without mean(u) where nothing was
/// subtracted, and u for running statistics.
Reals projected(const Reals& u, const Reals& xhat, const Grouping& g, Statistics statistics);

/// How y changes where x, weight and bias change by v and `directions`: weight * rstd * P(v) + dweight * xhat + dbias.
Reals jvp(const Reals& x, const Reals& v, const Grouping& g, const Moments& m, Real eps, const Affine& affine,
          const Affine& directions, Statistics statistics);

/// The gradients of sum(v * dx) + sum(directions.weight * dweight) + sum(directions.bias * dbias) by dy (which is jvp), x and
/// weight. With d = dy * weight, f = dy * directions.weight:
///   by x: rstd * P(f) - rstd^2 * (mean(v * P(d)) * xhat + mean(d * xhat) * P(v) + mean(v * xhat) * P(d))
///   by weight: sum(rstd * P(v) * dy)
struct SecondGradients {
  Reals dx, dweight;
};
SecondGradients double_backward(const Reals& x, const Reals& dy, const Reals& v, const Grouping& g, const Moments& m,
                                Real eps, const Affine& affine, const Affine& directions, Statistics statistics);

/// What BatchNorm carries from batch to batch.
struct Running {
  Reals mean, var;
  std::int64_t batches = 0;
  explicit Running(std::size_t channels) : mean(channels, 0), var(channels, 1) {}
};

/// running = (1 - momentum) * running + momentum * batch, with the unbiased variance of the batch. Without a momentum
/// it is 1 / (number of batches so far, this one included).
void update(Running& running, const Moments& batch, std::size_t count, std::optional<Real> momentum);

}  // namespace reference
