// PyTorch's values of one golden case as the rule sees them.
//
// `exact` is what PyTorch computed; `cond` is the oracle's, widened by what PyTorch itself may be off. It computes in
// double, with plain sums, and folds the mean into one shift, so that its error grows with |mean| * rstd.
#pragma once

#include <algorithm>
#include <cmath>

#include "golden/cases.hpp"
#include "support/rule.hpp"

namespace golden {

/// All that the oracle needs for a case.
struct Setting {
  reference::Grouping grouping;
  reference::Statistics statistics;
  reference::Moments moments;
  reference::Affine affine;
  reference::Real eps;
};

inline bool uses_running(const Case& c) {
  return c.is_batch_norm() && c.number("training") == 0 && c.has("running_mean");
}

inline Setting setting_of(const Case& c) {
  const auto g = c.is_batch_norm() ? reference::per_channel(c.extents(), c.index("axis"))
                 : c.has_groups()  ? reference::per_channel_group(c.extents(), c.index("axis"), c.index("groups"))
                                   : reference::per_token(c.extents(), c.index("axis"), c.index("axes"));
  if (uses_running(c)) {
    return {g,
            reference::Statistics::running,
            {c.reals("running_mean"), c.reals("running_var")},
            {c.reals("weight"), c.reals("bias")},
            c.number("eps")};
  }
  const bool about_zero = c.is_rms_norm();
  return {g,
          about_zero ? reference::Statistics::squares_of_batch : reference::Statistics::of_batch,
          about_zero ? reference::squares(c.reals("x"), g) : reference::moments(c.reals("x"), g),
          {c.reals("weight"), c.reals("bias")},
          c.number("eps")};
}

/// The running statistics before the case.
inline reference::Running running_before(const Case& c) {
  reference::Running running(c.values("running_mean").size());
  running.mean = c.reals("running_mean");
  running.var = c.reals("running_var");
  running.batches = static_cast<std::int64_t>(c.number("batches"));
  return running;
}

/// By how much PyTorch's rounding widens a bound that is meant for T.
template <class T>
reference::Real widening(const Setting& s) {
  reference::Real farthest = 0;
  for (std::size_t i = 0; i < s.grouping.groups; ++i)
    farthest = std::max(farthest, std::abs(s.moments.mean[i]) * reference::rstd(s.moments.var[i], s.eps));
  return 1 + 4 * (1 + farthest) * support::unit_roundoff<double>() / support::unit_roundoff<T>();
}

inline support::Expected from_torch(const Case& c, const char* key, support::Expected oracle, reference::Real wider) {
  oracle.exact = c.reals(key);
  for (reference::Real& cond : oracle.cond) cond *= wider;
  return oracle;
}

template <class T>
support::Expected expected_y(const Case& c) {
  const Setting s = setting_of(c);
  return from_torch(c, "y", support::expected_y(c.reals("x"), s.grouping, s.moments, s.eps, s.affine, s.statistics),
                    widening<T>(s));
}

/// dweight and dbias are empty where the case has no such parameter.
template <class T>
support::ExpectedGradients expected_gradients(const Case& c) {
  const Setting s = setting_of(c);
  const auto oracle =
      support::expected_gradients(c.reals("x"), c.reals("dy"), s.grouping, s.moments, s.eps, s.affine, s.statistics);
  const reference::Real wider = widening<T>(s);
  return {from_torch(c, "dx", oracle.dx, wider), from_torch(c, "dweight", oracle.dweight, wider),
          from_torch(c, "dbias", oracle.dbias, wider)};
}

template <class T>
support::ExpectedRunning expected_running(const Case& c) {
  const Setting s = setting_of(c);
  const auto oracle = support::expected_running(running_before(c), c.reals("x"), s.grouping, c.optional("momentum"));
  const reference::Real wider = widening<T>(s);
  return {from_torch(c, "running_mean_after", oracle.mean, wider),
          from_torch(c, "running_var_after", oracle.var, wider)};
}

}  // namespace golden
