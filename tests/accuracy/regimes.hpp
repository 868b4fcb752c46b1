// The regimes of data/, by name: a file that is missing, or that nobody reads, fails a test.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace accuracy {

inline std::vector<std::string> regimes() {
  return {"normal",
          "mean_1e2_std_1",
          "mean_1e4_std_1",
          "mean_3e6_std_1",
          "mean_1e2_std_1e_2",
          "mean_1e4_std_1e_2",
          "mean_3e6_std_1e_2",
          "mean_at_the_last_digits",
          "variance_1e_12",
          "variance_1e_12_at_1",
          "constant",
          "almost_constant",
          "outlier",
          "log_uniform",
          "near_root_of_maximum",
          "quarter_maximum_one_sign",
          "quarter_maximum_both_signs",
          "subnormal",
          "near_smallest_normal",
          "alternating",
          "ramp",
          "sparse",
          "scales",
          "nan",
          "infinity",
          "both_infinities",
          "one_element",
          "two_elements",
          "integers",
          "tiny_gradients",
          "large_gradients",
          "weight_extremes",
          "eps_0_subnormal",
          "eps_0_near_smallest_normal",
          "eps_0_variance_1e_12",
          "eps_0_variance_1e_12_at_1",
          "eps_0_constant",
          "eps_1e_300_constant",
          "million_normal",
          "million_far_mean",
          "million_constant"};
}

/// The parameter of a test: one file.
struct Source {
  std::string regime, scalar;
  bool is_float() const { return scalar == "float"; }
  std::string name() const { return (is_float() ? "Float_" : "Double_") + regime; }
};

/// How GoogleTest shows it.
inline void PrintTo(const Source& source, std::ostream* stream) { *stream << source.name(); }

inline std::vector<Source> sources() {
  std::vector<Source> all;
  for (const std::string& regime : regimes())
    for (const char* scalar : {"float", "double"}) all.push_back({regime, scalar});
  return all;
}

}  // namespace accuracy
