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
inline Reals sum_by(const Reals& terms, const Indices& at, std::size_t sums) {
  std::vector<Sum> total(sums);
  for (std::size_t i = 0; i < terms.size(); ++i) total[at[i]].add(terms[i]);
  Reals result(sums);
  for (std::size_t s = 0; s < sums; ++s) result[s] = total[s].value();
  return result;
}

/// The mean of the terms of each group.
inline Reals mean_by_group(const Reals& terms, const Grouping& g) {
  Reals result = sum_by(terms, g.group, g.groups);
  for (Real& value : result) value /= static_cast<Real>(g.count);
  return result;
}

/// One mean and one biased variance for each group. What the mean lacks where it is far greater than the deviation
/// stands in `mean_rest`; empty, it is zero.
struct Moments {
  Reals mean, var, mean_rest = {};

  /// x - mean
  Real centred(Real x, std::size_t group) const {
    return (x - mean[group]) - (mean_rest.empty() ? 0 : mean_rest[group]);
  }
};

inline Moments moments(const Reals& x, const Grouping& g) {
  Moments result;
  Reals rest(x.size()), squares(x.size());
  result.mean = mean_by_group(x, g);
  for (std::size_t i = 0; i < x.size(); ++i) rest[i] = x[i] - result.mean[g.group[i]];
  result.mean_rest = mean_by_group(rest, g);
  for (std::size_t i = 0; i < x.size(); ++i)
    squares[i] = result.centred(x[i], g.group[i]) * result.centred(x[i], g.group[i]);
  result.var = mean_by_group(squares, g);
  return result;
}

/// The same about zero: nothing is subtracted, and the variance is the mean square.
inline Moments squares(const Reals& x, const Grouping& g) {
  Reals terms = x;
  for (Real& term : terms) term *= term;
  return {Reals(g.groups), mean_by_group(terms, g)};
}

/// 1 / sqrt(var + eps), and 0 where both are 0: a constant group without eps gives its bias.
inline Real rstd(Real var, Real eps) { return var + eps == 0 ? Real(0) : 1 / std::sqrt(var + eps); }

inline Reals normalized(const Reals& x, const Grouping& g, const Moments& m, Real eps) {
  Reals xhat(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) xhat[i] = m.centred(x[i], g.group[i]) * rstd(m.var[g.group[i]], eps);
  return xhat;
}

/// weight and bias; an empty one is absent, which means 1 and 0.
struct Affine {
  Reals weight, bias;
  Real weight_at(std::size_t param) const { return weight.empty() ? Real(1) : weight[param]; }
  Real bias_at(std::size_t param) const { return bias.empty() ? Real(0) : bias[param]; }
};

/// y = xhat * weight + bias
inline Reals forward(const Reals& x, const Grouping& g, const Moments& m, Real eps, const Affine& affine) {
  Reals y = normalized(x, g, m, eps);
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = y[i] * affine.weight_at(g.param[i]) + affine.bias_at(g.param[i]);
  return y;
}

/// Where the statistics came from: from x itself, so that gradients flow through them, about its mean or about zero; or
/// from earlier batches.
enum class Statistics { of_batch, squares_of_batch, running };

struct Gradients {
  Reals dx, dweight, dbias;
};

/// With d = dy * weight: dx = rstd * (d - mean(d) - xhat * mean(d * xhat)); without mean(d) where nothing was subtracted, and
/// dx = rstd * d for running statistics.
inline Gradients backward(const Reals& x, const Reals& dy, const Grouping& g, const Moments& m, Real eps,
                          const Affine& affine, Statistics statistics) {
  const Reals xhat = normalized(x, g, m, eps);
  Reals d(x.size()), d_xhat(x.size()), dy_xhat(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    d[i] = dy[i] * affine.weight_at(g.param[i]);
    d_xhat[i] = d[i] * xhat[i];
    dy_xhat[i] = dy[i] * xhat[i];
  }
  Gradients result{Reals(x.size()), sum_by(dy_xhat, g.param, g.params), sum_by(dy, g.param, g.params)};
  const Reals mean_d = mean_by_group(d, g), mean_d_xhat = mean_by_group(d_xhat, g);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t s = g.group[i];
    Real rest = d[i];
    if (statistics == Statistics::of_batch) rest -= mean_d[s];
    if (statistics != Statistics::running) rest -= xhat[i] * mean_d_xhat[s];
    result.dx[i] = rstd(m.var[s], eps) * rest;
  }
  return result;
}

/// What differentiating xhat leaves of u: P(u) = u - mean(u) - xhat * mean(u * xhat); without mean(u) where nothing was
/// subtracted, and u for running statistics.
inline Reals projected(const Reals& u, const Reals& xhat, const Grouping& g, Statistics statistics) {
  Reals u_xhat(u.size()), result = u;
  if (statistics == Statistics::running) return result;
  for (std::size_t i = 0; i < u.size(); ++i) u_xhat[i] = u[i] * xhat[i];
  const Reals mean = mean_by_group(u, g), slope = mean_by_group(u_xhat, g);
  for (std::size_t i = 0; i < u.size(); ++i) {
    if (statistics == Statistics::of_batch) result[i] -= mean[g.group[i]];
    result[i] -= xhat[i] * slope[g.group[i]];
  }
  return result;
}

/// How y changes where x, weight and bias change by v and `directions`: weight * rstd * P(v) + dweight * xhat + dbias.
inline Reals jvp(const Reals& x, const Reals& v, const Grouping& g, const Moments& m, Real eps, const Affine& affine,
                 const Affine& directions, Statistics statistics) {
  const Reals xhat = normalized(x, g, m, eps);
  Reals result = projected(v, xhat, g, statistics);
  for (std::size_t i = 0; i < x.size(); ++i) {
    result[i] *= affine.weight_at(g.param[i]) * rstd(m.var[g.group[i]], eps);
    if (!directions.weight.empty()) result[i] += directions.weight[g.param[i]] * xhat[i];
    if (!directions.bias.empty()) result[i] += directions.bias[g.param[i]];
  }
  return result;
}

/// The gradients of sum(v * dx) + sum(directions.weight * dweight) + sum(directions.bias * dbias) by dy (which is jvp), x and
/// weight. With d = dy * weight, f = dy * directions.weight:
///   by x: rstd * P(f) - rstd^2 * (mean(v * P(d)) * xhat + mean(d * xhat) * P(v) + mean(v * xhat) * P(d))
///   by weight: sum(rstd * P(v) * dy)
struct SecondGradients {
  Reals dx, dweight;
};
inline SecondGradients double_backward(const Reals& x, const Reals& dy, const Reals& v, const Grouping& g,
                                       const Moments& m, Real eps, const Affine& affine, const Affine& directions,
                                       Statistics statistics) {
  const Reals xhat = normalized(x, g, m, eps), v_left = projected(v, xhat, g, statistics);
  Reals d(x.size()), f(x.size(), 0), by_weight(x.size()), joint(x.size()), d_xhat(x.size()), v_xhat(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    d[i] = dy[i] * affine.weight_at(g.param[i]);
    if (!directions.weight.empty()) f[i] = dy[i] * directions.weight[g.param[i]];
    by_weight[i] = dy[i] * v_left[i] * rstd(m.var[g.group[i]], eps);
  }
  const Reals d_left = projected(d, xhat, g, statistics), f_left = projected(f, xhat, g, statistics);
  for (std::size_t i = 0; i < x.size(); ++i) {
    joint[i] = v[i] * d_left[i];
    d_xhat[i] = d[i] * xhat[i];
    v_xhat[i] = v[i] * xhat[i];
  }
  const Reals c = mean_by_group(joint, g), a = mean_by_group(v_xhat, g), b = mean_by_group(d_xhat, g);
  SecondGradients result{Reals(x.size()), sum_by(by_weight, g.param, g.params)};
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t s = g.group[i];
    const Real r = rstd(m.var[s], eps);
    result.dx[i] = r * f_left[i];
    if (statistics != Statistics::running)
      result.dx[i] -= r * r * (c[s] * xhat[i] + b[s] * v_left[i] + a[s] * d_left[i]);
  }
  return result;
}

/// What BatchNorm carries from batch to batch.
struct Running {
  Reals mean, var;
  std::int64_t batches = 0;
  explicit Running(std::size_t channels) : mean(channels, 0), var(channels, 1) {}
};

/// running = (1 - momentum) * running + momentum * batch, with the unbiased variance of the batch. Without a momentum
/// it is 1 / (number of batches so far, this one included).
inline void update(Running& running, const Moments& batch, std::size_t count, std::optional<Real> momentum) {
  running.batches += 1;
  const Real m = momentum ? *momentum : 1 / static_cast<Real>(running.batches);
  const Real unbiased = static_cast<Real>(count) / static_cast<Real>(count - 1);
  for (std::size_t c = 0; c < running.mean.size(); ++c) {
    running.mean[c] = (1 - m) * running.mean[c] + m * batch.mean[c];
    running.var[c] = (1 - m) * running.var[c] + m * batch.var[c] * unbiased;
  }
}

}  // namespace reference
