// What is done is written down at once, so that a run that is broken off goes on where it was.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <system_error>

#include "trial.hpp"

namespace why {

/// A CSV file of trials and their outcomes, a line each, in the order in which they ended.
class Journal {
 public:
  explicit Journal(const std::filesystem::path& path) : path_(path) {
    const std::string heading = std::string(Trial::columns) + "," + Outcome::columns;
    bool is_whole = false;  // a line without its end was broken off
    if (std::ifstream before(path_); before) {
      std::string line;
      std::getline(before, line);
      if (!heading.starts_with(line)) throw std::runtime_error(path_.string() + ": not a journal of this program");
      is_whole = !before.eof();
      while (std::getline(before, line)) {
        is_whole = !before.eof();
        if (is_whole) read(line);
      }
    }
    if (is_whole) return;
    const std::filesystem::path anew = path_.string() + ".new";  // takes its place once it is whole
    std::ofstream file(anew);
    file << heading << '\n';
    for (const auto& [key, outcome] : outcomes_) file << key << text(outcome);
    if (!file.flush()) throw std::runtime_error(anew.string() + ": cannot be written");
    file.close();
    std::filesystem::rename(anew, path_);
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
      const auto [rest, error] = std::from_chars(field.data(), field.data() + field.size(), *values[i]);
      if (!field.empty() && (error != std::errc() || rest != field.data() + field.size()))
        throw std::runtime_error(path_.string() + ": no number: " + field);
      end = comma;
    }
    outcomes_[line.substr(0, end)] = outcome;
  }

  std::filesystem::path path_;
  std::map<std::string, Outcome> outcomes_;
};

}  // namespace why
