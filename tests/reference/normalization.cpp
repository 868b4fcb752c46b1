#include "reference/normalization.hpp"

namespace reference {

Reals sum_by(const Reals& terms, const Indices& at, std::size_t sums) {
  std::vector<Sum> total(sums);
  for (std::size_t i = 0; i < terms.size(); ++i) total[at[i]].add(terms[i]);
  Reals result(sums);
  for (std::size_t s = 0; s < sums; ++s) result[s] = total[s].value();
  return result;
}

Reals mean_by_group(const Reals& terms, const Grouping& g) {
  Reals result = sum_by(terms, g.group, g.groups);
  for (Real& value : result) value /= static_cast<Real>(g.count);
  return result;
}

Moments moments(const Reals& x, const Grouping& g) {
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

Moments squares(const Reals& x, const Grouping& g) {
  Reals terms = x;
  for (Real& term : terms) term *= term;
  return {Reals(g.groups), mean_by_group(terms, g)};
}

Real rstd(Real var, Real eps) { return var + eps == 0 ? Real(0) : 1 / std::sqrt(var + eps); }

Reals normalized(const Reals& x, const Grouping& g, const Moments& m, Real eps) {
  Reals xhat(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) xhat[i] = m.centred(x[i], g.group[i]) * rstd(m.var[g.group[i]], eps);
  return xhat;
}

Reals forward(const Reals& x, const Grouping& g, const Moments& m, Real eps, const Affine& affine) {
  Reals y = normalized(x, g, m, eps);
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = y[i] * affine.weight_at(g.param[i]) + affine.bias_at(g.param[i]);
  return y;
}

Gradients backward(const Reals& x, const Reals& dy, const Grouping& g, const Moments& m, Real eps, const Affine& affine,
                   Statistics statistics) {
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

Reals projected(const Reals& u, const Reals& xhat, const Grouping& g, Statistics statistics) {
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

Reals jvp(const Reals& x, const Reals& v, const Grouping& g, const Moments& m, Real eps, const Affine& affine,
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

SecondGradients double_backward(const Reals& x, const Reals& dy, const Reals& v, const Grouping& g, const Moments& m,
                                Real eps, const Affine& affine, const Affine& directions, Statistics statistics) {
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

void update(Running& running, const Moments& batch, std::size_t count, std::optional<Real> momentum) {
  running.batches += 1;
  const Real m = momentum ? *momentum : 1 / static_cast<Real>(running.batches);
  const Real unbiased = static_cast<Real>(count) / static_cast<Real>(count - 1);
  for (std::size_t c = 0; c < running.mean.size(); ++c) {
    running.mean[c] = (1 - m) * running.mean[c] + m * batch.mean[c];
    running.var[c] = (1 - m) * running.var[c] + m * batch.var[c] * unbiased;
  }
}

}  // namespace reference
