// The data itself: mpmath and the reference in long double, which share no line, agree.
#include <gtest/gtest.h>

#include "accuracy/expected.hpp"
#include "accuracy/regimes.hpp"

namespace {

using namespace accuracy;

/// |reference - exact| <= tolerance * cond, and the same class as numbers of T.
template <class T>
void expect_agreement(const std::string& where, const Reals& reference, const Values& exact, const Reals& cond,
                      Real tolerance) {
  ASSERT_EQ(reference.size(), exact.size()) << where;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const T rounded = static_cast<T>(exact[i].nearest());
    ASSERT_EQ(support::class_of(static_cast<T>(reference[i])), support::class_of(rounded)) << where << ", " << i;
    if (support::class_of(rounded) != 0) continue;
    const Real error = std::abs((reference[i] - exact[i].hi) - exact[i].lo);
    ASSERT_LE(error, tolerance * cond[i]) << where << ", element " << i << ": mpmath " << exact[i].nearest();
  }
}

template <class T>
void expect_agreement(const Source& source, const Case& c) {
  const Real long_double = std::ldexp(Real(1), -60);                                // 16 roundings of its own
  const Real outputs = source.is_float() ? std::ldexp(Real(1), -52) : long_double;  // those of float are in 53 bits
  const Inputs<T> in(c);
  const Reals x = support::reals(in.x);
  const auto moments = support::expected_moments(x, in.g);
  const std::string where = source.name() + ", " + c.name() + ", ";
  expect_agreement<T>(where + "mean", moments.mean.exact, c.exact("mean"), moments.mean.cond, long_double);
  expect_agreement<T>(where + "var", moments.var.exact, c.exact("var"), moments.var.cond, long_double);
  for (const Pass& pass : passes(c, in)) {
    const ExpectedOutputs expected = expected_outputs(in, pass, reference::moments(x, in.g));
    const auto compare = [&](const std::string& name, const Expected& e) {
      expect_agreement<T>(where + pass.key(name), sampled(c, name, e.exact), c.exact(pass.key(name)),
                          sampled(c, name, e.cond), outputs);
    };
    compare("y", expected.y);
    compare("dx", expected.gradients.dx);
    compare("dweight", expected.gradients.dweight);
    compare("dbias", expected.gradients.dbias);
  }
}

class Oracle : public ::testing::TestWithParam<Source> {};

TEST_P(Oracle, AgreesWithTheReference) {
  for (const Case& c : read_cases(GetParam().regime, GetParam().scalar))
    GetParam().is_float() ? expect_agreement<float>(GetParam(), c) : expect_agreement<double>(GetParam(), c);
}

INSTANTIATE_TEST_SUITE_P(Regimes, Oracle, ::testing::ValuesIn(sources()),
                         [](const auto& test) { return test.param.name(); });

}  // namespace
