#include "support/rule.hpp"

namespace support {

Reals magnitudes(Reals values) {
  for (Real& value : values) value = std::abs(value);
  return values;
}

Reals spread(const Reals& xhat, const Grouping& g, Statistics statistics) {
  Reals xi = magnitudes(xhat);
  if (statistics != Statistics::of_batch) return xi;
  const Reals mean = reference::mean_by_group(xi, g);
  for (std::size_t i = 0; i < xi.size(); ++i) xi[i] += mean[g.group[i]];
  return xi;
}

Expected expected_y(const Reals& x, const Grouping& g, const Moments& m, Real eps, const Affine& affine,
                    Statistics statistics) {
  Expected y{reference::forward(x, g, m, eps, affine), spread(reference::normalized(x, g, m, eps), g, statistics)};
  for (std::size_t i = 0; i < x.size(); ++i)
    y.cond[i] = std::abs(affine.weight_at(g.param[i])) * y.cond[i] + std::abs(affine.bias_at(g.param[i]));
  return y;
}

ExpectedGradients expected_gradients(const Reals& x, const Reals& dy, const Grouping& g, const Moments& m, Real eps,
                                     const Affine& affine, Statistics statistics, bool from_output) {
  const reference::Gradients exact = reference::backward(x, dy, g, m, eps, affine, statistics);
  Reals xi = spread(reference::normalized(x, g, m, eps), g, statistics);
  if (from_output)
    for (std::size_t i = 0; i < x.size(); ++i)
      xi[i] += std::abs(affine.bias_at(g.param[i]) / affine.weight_at(g.param[i]));
  Reals d(x.size()), d_xi(x.size()), dy_xi(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    d[i] = std::abs(affine.weight_at(g.param[i]) * dy[i]);
    d_xi[i] = d[i] * xi[i];
    dy_xi[i] = std::abs(dy[i]) * xi[i];
  }
  const Reals mean_d = reference::mean_by_group(d, g), mean_d_xi = reference::mean_by_group(d_xi, g);
  Reals cond(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t s = g.group[i];
    Real terms = d[i];
    if (statistics == Statistics::of_batch) terms += mean_d[s];
    if (statistics != Statistics::running) terms += xi[i] * mean_d_xi[s];
    cond[i] = reference::rstd(m.var[s], eps) * terms;
  }
  return {{exact.dx, cond},
          {exact.dweight, reference::sum_by(dy_xi, g.param, g.params)},
          {exact.dbias, reference::sum_by(magnitudes(dy), g.param, g.params)}};
}

Reals projected_size(const Reals& u, const Reals& xi, const Grouping& g, Statistics statistics) {
  Reals result = magnitudes(u), u_xi = result;
  if (statistics == Statistics::running) return result;
  for (std::size_t i = 0; i < u.size(); ++i) u_xi[i] *= xi[i];
  const Reals mean = reference::mean_by_group(result, g), slope = reference::mean_by_group(u_xi, g);
  for (std::size_t i = 0; i < u.size(); ++i) {
    if (statistics == Statistics::of_batch) result[i] += mean[g.group[i]];
    result[i] += xi[i] * slope[g.group[i]];
  }
  return result;
}

ExpectedSecond expected_second(const Reals& x, const Reals& dy, const Reals& v, const Grouping& g, const Moments& m,
                               Real eps, const Affine& affine, const Affine& directions, Statistics statistics) {
  const reference::SecondGradients exact =
      reference::double_backward(x, dy, v, g, m, eps, affine, directions, statistics);
  const Reals xi = spread(reference::normalized(x, g, m, eps), g, statistics);
  const std::size_t n = x.size();
  Reals d(n), f(n, 0), d_xi(n), v_xi(n), vd(n), y_v(n), x_grad(n), by_weight(n);
  for (std::size_t i = 0; i < n; ++i) {
    d[i] = std::abs(affine.weight_at(g.param[i]) * dy[i]);
    if (!directions.weight.empty()) f[i] = std::abs(directions.weight[g.param[i]] * dy[i]);
    d_xi[i] = d[i] * xi[i];
    v_xi[i] = std::abs(v[i]) * xi[i];
    vd[i] = std::abs(v[i]) * d[i];
  }
  const Reals v_size = projected_size(v, xi, g, statistics), d_size = projected_size(d, xi, g, statistics);
  const Reals f_size = projected_size(f, xi, g, statistics);
  const Reals a = reference::mean_by_group(v_xi, g), b = reference::mean_by_group(d_xi, g);
  const Reals mean_v = reference::mean_by_group(magnitudes(v), g), mean_d = reference::mean_by_group(d, g);
  const Reals mean_vd = reference::mean_by_group(vd, g);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t s = g.group[i], p = g.param[i];
    const Real r = reference::rstd(m.var[s], eps), c = mean_vd[s] + mean_v[s] * mean_d[s] + a[s] * b[s];
    y_v[i] = std::abs(affine.weight_at(p)) * r * v_size[i];
    if (!directions.weight.empty()) y_v[i] += std::abs(directions.weight[p]) * xi[i];
    if (!directions.bias.empty()) y_v[i] += std::abs(directions.bias[p]);
    x_grad[i] = r * f_size[i];
    if (statistics != Statistics::running) x_grad[i] += r * r * (xi[i] * c + b[s] * v_size[i] + a[s] * d_size[i]);
    by_weight[i] = r * std::abs(dy[i]) * v_size[i];
  }
  return {{reference::jvp(x, v, g, m, eps, affine, directions, statistics), y_v},
          {exact.dx, x_grad},
          {exact.dweight, reference::sum_by(by_weight, g.param, g.params)}};
}

Expected added(const Expected& gradient, const Reals& old) {
  Expected sum = gradient;
  if (old.empty()) return sum;
  for (std::size_t i = 0; i < sum.exact.size(); ++i) {
    sum.exact[i] += old.at(i);
    sum.cond[i] += std::abs(old.at(i));
  }
  return sum;
}

ExpectedRunning expected_running(const reference::Running& old, const Reals& x, const Grouping& g,
                                 std::optional<Real> momentum) {
  const Moments batch = reference::moments(x, g);
  const Reals mean_size = reference::mean_by_group(magnitudes(x), g);
  reference::Running next = old;
  reference::update(next, batch, g.count, momentum);
  const Real m = momentum ? *momentum : 1 / static_cast<Real>(next.batches);
  ExpectedRunning result{{next.mean, Reals(g.groups)}, {next.var, next.var}};
  for (std::size_t c = 0; c < g.groups; ++c) result.mean.cond[c] = std::abs((1 - m) * old.mean[c]) + m * mean_size[c];
  return result;
}

ExpectedRunning expected_moments(const Reals& x, const Grouping& g) {
  const Moments exact = reference::moments(x, g);
  return {{exact.mean, reference::mean_by_group(magnitudes(x), g)}, {exact.var, exact.var}};
}

}  // namespace support
