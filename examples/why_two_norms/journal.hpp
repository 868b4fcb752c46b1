// What is done is written down at once, so that a run that is broken off goes on where it was.
#pragma once

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

#include "trial.hpp"

namespace why {

/// A CSV file of trials and their outcomes, a line each, in the order in which they ended.
class Journal {
 public:
  explicit Journal(const std::filesystem::path& path) : path_(path) {
    const std::string heading = std::string(Trial::columns) + "," + Outcome::columns;
    if (std::ifstream before(path_); before) {
      std::string line;
      if (!std::getline(before, line) || line != heading)
        throw std::runtime_error(path_.string() + ": not a journal of this program");
      while (std::getline(before, line) && !before.eof()) read(line);  // a line without its end was broken off
    }
    std::ofstream anew(path_);
    anew << heading << '\n';
    for (const auto& [key, outcome] : outcomes_) anew << key << text(outcome);
    if (!anew.flush()) throw std::runtime_error(path_.string() + ": cannot be written");
  }

  /// Null where it has not been done.
  const Outcome* find(const Trial& trial) const {
    const auto found = outcomes_.find(trial.key());
    return found == outcomes_.end() ? nullptr : &found->second;
  }

  void add(const Trial& trial, const Outcome& outcome) {
    std::ofstream file(path_, std::ios::app);
    file << trial.key() << text(outcome);
    if (!file.flush()) throw std::runtime_error(path_.string() + ": cannot be written");
    outcomes_[trial.key()] = outcome;
  }

 private:
  static std::string text(const Outcome& outcome) {
    std::string line;
    for (const double* value : outcome.values()) {
      char number[32];
      std::snprintf(number, sizeof number, std::isnan(*value) ? "," : ",%.6g", *value);
      line += number;
    }
    return line + "\n";
  }
  void read(const std::string& line) {
    Outcome outcome;
    const auto values = outcome.values();
    std::size_t end = line.size();
    for (std::size_t i = values.size(); i-- > 0;) {
      const std::size_t comma = end == 0 ? std::string::npos : line.rfind(',', end - 1);
      if (comma == std::string::npos) throw std::runtime_error(path_.string() + ": too few columns in: " + line);
      const std::string field = line.substr(comma + 1, end - comma - 1);
      if (!field.empty()) *values[i] = std::stod(field);
      end = comma;
    }
    outcomes_[line.substr(0, end)] = outcome;
  }

  std::filesystem::path path_;
  std::map<std::string, Outcome> outcomes_;
};

}  // namespace why
