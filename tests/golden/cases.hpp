// Reads golden.txt, what PyTorch computed for a list of small cases; generate.py beside this file describes it.
#pragma once

#include <fstream>
#include <map>
#include <optional>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference/normalization.hpp"

#ifndef NORMKIT_GOLDEN_DIR
#error "NORMKIT_GOLDEN_DIR is the path of tests/golden; CMake defines it for every test."
#endif

namespace golden {

/// One case: numbers by name. A name that is missing means an option that is off.
struct Case {
  std::string name;
  std::map<std::string, std::vector<double>> fields;

  bool has(const std::string& key) const { return fields.count(key) != 0; }
  const std::vector<double>& values(const std::string& key) const { return fields.at(key); }
  double number(const std::string& key) const { return fields.at(key).at(0); }
  std::size_t index(const std::string& key) const { return static_cast<std::size_t>(number(key)); }
  std::optional<double> optional(const std::string& key) const {
    return has(key) ? std::optional<double>(number(key)) : std::nullopt;
  }
  /// Empty where the case has none.
  reference::Reals reals(const std::string& key) const {
    return has(key) ? reference::Reals(values(key).begin(), values(key).end()) : reference::Reals();
  }
  reference::Extents extents() const { return reference::Extents(values("extents").begin(), values("extents").end()); }
  bool is_batch_norm() const { return name.rfind("batch_norm/", 0) == 0; }
  bool has_groups() const { return has("groups"); }  // GroupNorm and InstanceNorm
  bool is_instance_norm() const { return name.rfind("instance_norm/", 0) == 0; }
  bool is_rms_norm() const { return name.rfind("rms_norm/", 0) == 0; }
};

/// How GoogleTest shows a case.
inline void PrintTo(const Case& c, std::ostream* stream) { *stream << c.name; }

/// All cases of golden.txt in their order.
inline std::vector<Case> read_cases() {
  const std::string path = std::string(NORMKIT_GOLDEN_DIR) + "/golden.txt";
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<Case> cases;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t colon = line.find(": ");
    const std::string key = line.substr(0, colon), rest = line.substr(colon + 2);
    if (key == "case") {
      cases.push_back({rest, {}});
      continue;
    }
    std::istringstream numbers(rest);
    for (double number; numbers >> number;) cases.back().fields[key].push_back(number);
    if (!numbers.eof()) throw std::runtime_error(path + ": not a number in " + cases.back().name + ", " + key);
  }
  return cases;
}

/// The name of a parameterized test: letters, digits and underscores.
inline std::string test_name(const Case& c) {
  std::string name = c.name;
  for (char& letter : name)
    if (letter == '/') letter = '_';
  return name;
}

}  // namespace golden
