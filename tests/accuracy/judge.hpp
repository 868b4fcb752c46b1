// Holds what the library made of a case against the rule, and remembers the largest errors.
#pragma once

#include <gtest/gtest.h>

#include <iomanip>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "accuracy/expected.hpp"

namespace accuracy {

using support::reals;

/// The k of the rule.
inline constexpr int allowed_units = 4;

/// The largest error of each kind of output, in units of the rule, over all cases of a regime.
class Tally {
 public:
  void add(const std::string& kind, Real error) {
    ++values_;
    Real& largest = largest_.try_emplace(kind, 0).first->second;
    if (!(error <= largest)) largest = error;
  }
  std::size_t values() const { return values_; }
  const std::map<std::string, Real>& largest() const { return largest_; }

 private:
  std::map<std::string, Real> largest_;
  std::size_t values_ = 0;
};

/// What a layer made of a case in one pass.
template <class T>
struct Outputs {
  std::vector<T> y, dx, dweight, dbias;
};

/// A step of the running statistics: from what was stored to what is stored now.
template <class T>
struct RunningStep {
  reference::Running old;
  std::optional<Real> momentum;
  std::vector<T> mean, var;
};

template <class T>
class Judge {
 public:
  /// `where` leads every message: the regime and the scalar.
  Judge(const Case& c, const Inputs<T>& in, const std::string& where, Tally& tally)
      : case_(c), in_(in), where_(where + ", " + c.name()), tally_(tally), of_batch_(exact_moments(c)) {
    mean_size_ = reference::mean_by_group(support::magnitudes(support::reals(in.x)), in.g);
  }

  /// Says in every message from here on which device runs.
  void on(const std::string& device) { where_ += " on " + device; }

  void outputs(const Pass& pass, const Outputs<T>& got) {
    const Conds& cond = conds(pass);
    output(pass, "y", got.y, cond.y);
    output(pass, "dx", got.dx, cond.dx);
    output(pass, "dweight", got.dweight, cond.dweight);
    output(pass, "dbias", got.dbias, cond.dbias);
  }

  /// RMSNorm with eps, on a LayerNorm's case, against the oracle: nothing is subtracted, so that the digits of Real last
  /// for any data.
  void about_zero(const Pass& pass, const Outputs<T>& got) {
    const AboutZero& expected = about_zero_of(pass);
    oracle("y", got.y, expected.y);
    oracle("dx", got.dx, expected.dx);
    oracle("dweight", got.dweight, expected.dweight);
  }

  void moments(const std::vector<T>& mean, const std::vector<T>& var) {
    values("mean", "mean", mean, case_.exact("mean"), mean_size_);
    values("var", "var", var, case_.exact("var"), of_batch_.var);
  }

  /// running = (1 - m) * old + m * new, of the old one as it was stored. long double errs by 2^-11 of a double's unit.
  void running(const RunningStep<T>& step) {
    const Real n = static_cast<Real>(in_.g.count), batches = static_cast<Real>(step.old.batches + 1);
    const Real m = step.momentum ? *step.momentum : 1 / batches;
    Values mean, var;
    Reals mean_cond, var_cond;
    for (std::size_t c = 0; c < in_.g.groups; ++c) {
      const Real kept_mean = (1 - m) * step.old.mean[c], kept_var = (1 - m) * step.old.var[c];
      const Real unbiased = of_batch_.var[c] * n / (n - 1);
      mean.push_back({kept_mean + m * case_.exact("mean").at(c).nearest(), 0});
      var.push_back({kept_var + m * unbiased, 0});
      mean_cond.push_back(std::abs(kept_mean) + m * mean_size_[c]);
      var_cond.push_back(std::abs(kept_var) + m * std::abs(unbiased));
    }
    const std::string batch = " after batch " + std::to_string(step.old.batches + 1);
    values("running_mean", "running_mean" + batch, step.mean, mean, mean_cond);
    values("running_var", "running_var" + batch, step.var, var, var_cond);
  }

 private:
  struct Conds {
    Reals y, dx, dweight, dbias;
  };

  struct AboutZero {
    Expected y, dx, dweight;
  };

  // Both are kept, since a second device asks for the same, and those of a million values take a while.
  const Conds& conds(const Pass& pass) {
    Conds& result = conds_[pass.key("y")];
    if (!result.y.empty()) return result;
    const ExpectedOutputs all = expected_outputs(in_, pass, of_batch_);
    result = {sampled(case_, "y", all.y.cond), sampled(case_, "dx", all.gradients.dx.cond),
              sampled(case_, "dweight", all.gradients.dweight.cond), sampled(case_, "dbias", all.gradients.dbias.cond)};
    return result;
  }

  const AboutZero& about_zero_of(const Pass& pass) {
    AboutZero& result = about_zero_[pass.key("y")];
    if (!result.y.exact.empty()) return result;
    const reference::Affine affine = pass.plain ? reference::Affine{} : reference::Affine{reals(in_.weight), {}};
    const auto zero = reference::Statistics::squares_of_batch;
    const Reals x = reals(in_.x);
    const reference::Moments squares = reference::squares(x, in_.g);
    const auto gradients = support::expected_gradients(x, reals(in_.dy), in_.g, squares, in_.eps, affine, zero);
    const auto some = [&](const std::string& name, const Expected& all) {
      return Expected{sampled(case_, name, all.exact), sampled(case_, name, all.cond)};
    };
    result = {some("y", support::expected_y(x, in_.g, squares, in_.eps, affine, zero)), some("dx", gradients.dx),
              some("dweight", gradients.dweight)};
    return result;
  }

  void output(const Pass& pass, const std::string& name, const std::vector<T>& got, const Reals& cond) {
    values(pass.kind(name), pass.kind(name) + (pass.plain ? " (plain)" : ""), sampled(case_, name, got),
           case_.exact(pass.key(name)), cond);
  }

  void oracle(const std::string& name, const std::vector<T>& got, const Expected& expected) {
    Values exact;
    for (const Real value : expected.exact) exact.push_back({value, 0});
    // dx: no mean is subtracted, so xi is half as large, and what the sums round, 3 and the products', weighs more.
    const int allowed = name == "dx" ? support::roundings::dx : allowed_units;
    values("rms_" + name, "RMSNorm's " + name, sampled(case_, name, got), exact, expected.cond, allowed);
  }

  void values(const std::string& kind, const std::string& name, const std::vector<T>& got, const Values& exact,
              const Reals& cond, int allowed = allowed_units) {
    if (got.size() != exact.size() || got.size() != cond.size() || got.empty()) {
      ADD_FAILURE() << where_ << ", " << name << ": " << got.size() << " values, " << exact.size() << " exact ones";
      return;
    }
    std::size_t failed = 0, worst = 0;
    Real largest = -1;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const Real error = error_in_units(got[i], exact[i], cond[i]);
      tally_.add(kind, error);
      if (!(error <= allowed)) ++failed;
      if (!(error <= largest)) worst = i, largest = error;
    }
    if (failed == 0) return;
    std::ostringstream message;
    message << std::setprecision(std::numeric_limits<T>::max_digits10) << where_ << ", " << name << ", element "
            << worst << ": got " << got[worst] << ", exact " << exact[worst].nearest() << ", " << std::setprecision(3)
            << largest << " units off where " << allowed << " are allowed; " << failed << " of " << got.size()
            << " elements fail";
    ADD_FAILURE() << message.str();
  }

  const Case& case_;
  const Inputs<T>& in_;
  std::string where_;
  Tally& tally_;
  reference::Moments of_batch_;
  Reals mean_size_;
  std::map<std::string, Conds> conds_;
  std::map<std::string, AboutZero> about_zero_;
};

}  // namespace accuracy
