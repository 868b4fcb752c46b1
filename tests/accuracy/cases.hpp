// Reads data/, what normalization is exactly; generate.py beside this file writes it.
//
// A file holds one regime and one scalar: lines `key: words`, the cases in blocks that begin with `case`.
//
//   case, extents, axis, axes            the norm and its tensor; LayerNorm has axes, as many from `axis` on
//   column_major                         present where the tensor is ColMajor; data is in row-major order all the same
//   eps                                  a double
//   x, dy, weight, bias                  inputs, numbers of the scalar
//   running_mean, running_var            BatchNorm: what evaluation is given
//   mean, var                            of each group of x
//   y, dx, y_plain, dx_plain             training; plain: weight 1 and bias 0
//   dweight, dbias                       the same for plain parameters
//   eval_y ... eval_dweight              the same in evaluation; dbias is that of training
//   sample, sample_of_parameters         which elements of y and dx, of dweight and dbias are there, where not all are
//
// Numbers of a type are bit patterns in hexadecimal. What is exact is an integer in hexadecimal, p, and the power of 2
// that it is multiplied with, or nan, inf, -inf. Whatever does not look so is an error.
#pragma once

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "accuracy/made.hpp"
#include "reference/normalization.hpp"

#ifndef NORMKIT_ACCURACY_DIR
#error "NORMKIT_ACCURACY_DIR is the path of tests/accuracy; CMake defines it for every test."
#endif

namespace accuracy {

using reference::Real;
using reference::Reals;
using Words = std::vector<std::string>;

/// An exact number as an unevaluated sum, hi by far the larger. Real has the range for what no double can hold.
struct Value {
  static_assert(std::numeric_limits<Real>::digits >= 64 && std::numeric_limits<Real>::max_exponent >= 16384,
                "the exact numbers need a long double that is wider than double");
  Real hi = 0, lo = 0;
  Real nearest() const { return std::isfinite(hi) ? hi + lo : hi; }
};
using Values = std::vector<Value>;

[[noreturn]] inline void refuse(const std::string& what) { throw std::runtime_error("accuracy data: " + what); }

/// A whole word as an integer.
template <class Integer>
Integer integer_of(const std::string& word, int base = 10) {
  Integer result{};
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, result, base);
  if (error != std::errc() || stop != end) refuse("not an integer: " + word);
  return result;
}

template <class T>
T number_of(const std::string& word) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  if (word.size() != 2 * sizeof(T)) refuse("not a bit pattern: " + word);
  return std::bit_cast<T>(integer_of<Bits>(word, 16));
}

inline Value value_of(const std::string& word) {
  if (word == "nan") return {std::numeric_limits<Real>::quiet_NaN(), 0};
  if (word == "inf") return {std::numeric_limits<Real>::infinity(), 0};
  if (word == "-inf") return {-std::numeric_limits<Real>::infinity(), 0};
  const std::size_t sign = word.rfind('-', 0) == 0 ? 1 : 0, p = word.find('p');
  if (p == std::string::npos || p <= sign || p > sign + 28) refuse("not an exact number: " + word);
  constexpr std::size_t tail = 14;  // hexadecimal digits of lo where there are more
  const std::string digits = word.substr(sign, p - sign);
  const int exponent = integer_of<int>(word.substr(p + 1));
  const auto part = [&](const std::string& some, int power) {
    return std::ldexp(static_cast<Real>(integer_of<std::uint64_t>(some, 16)) * (sign ? -1 : 1), power);
  };
  if (digits.size() <= tail) return {part(digits, exponent), 0};
  const std::size_t head = digits.size() - tail;
  return {part(digits.substr(0, head), exponent + 4 * static_cast<int>(tail)), part(digits.substr(head), exponent)};
}

/// One case: words by key.
class Case {
 public:
  explicit Case(std::string name) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  bool is_batch_norm() const { return name_.rfind("batch_norm/", 0) == 0; }
  bool has(const std::string& key) const { return fields_.count(key) != 0; }
  bool is_sampled() const { return has("sample"); }
  const Words& words(const std::string& key) const {
    if (!has(key)) refuse(name_ + " has no " + key);
    return fields_.at(key);
  }
  void add(const std::string& key, Words words) {
    if (!fields_.emplace(key, std::move(words)).second) refuse(name_ + " has two of " + key);
  }

  std::vector<std::int64_t> integers(const std::string& key) const {
    std::vector<std::int64_t> result;
    for (const std::string& word : words(key)) result.push_back(integer_of<std::int64_t>(word));
    return result;
  }
  std::int64_t integer(const std::string& key) const { return integers(key).at(0); }
  double eps() const { return number_of<double>(words("eps").at(0)); }

  Values exact(const std::string& key) const {
    Values result;
    for (const std::string& word : words(key)) result.push_back(value_of(word));
    return result;
  }

  /// `count` numbers, read or made.
  template <class T>
  std::vector<T> inputs(const std::string& key, std::size_t count) const {
    const Words& all = words(key);
    if (all.size() == 3 && all[0] == "made") {
      if (all[1] == "bell") return made_bell<T>(integer_of<std::uint64_t>(all[2]), count);
      if (all[1] == "far") return made_far<T>(integer_of<std::uint64_t>(all[2]), count);
      if (all[1] == "uniform") return made_uniform<T>(integer_of<std::uint64_t>(all[2]), count);
      if (all[1] == "repeated") return std::vector<T>(count, number_of<T>(all[2]));
    }
    std::vector<T> result;
    for (const std::string& word : all) result.push_back(number_of<T>(word));
    if (result.size() != count) refuse(name_ + " needs " + std::to_string(count) + " numbers in " + key);
    return result;
  }

 private:
  std::string name_;
  std::map<std::string, Words> fields_;
};

inline std::string data_directory() { return std::string(NORMKIT_ACCURACY_DIR) + "/data"; }

/// All cases of a regime and a scalar, "float" or "double", in their order.
inline std::vector<Case> read_cases(const std::string& regime, const std::string& scalar) {
  const std::string path = data_directory() + "/" + scalar + "/" + regime + ".txt";
  std::ifstream file(path);
  if (!file) refuse("cannot read " + path);
  std::vector<Case> cases;
  std::map<std::string, std::string> header;
  bool ended = false;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t colon = line.find(": ");
    if (ended || colon == std::string::npos) refuse(path + ": " + line);
    const std::string key = line.substr(0, colon), rest = line.substr(colon + 2);
    std::istringstream stream(rest);
    Words words;
    for (std::string word; stream >> word;) words.push_back(word);
    if (words.empty()) refuse(path + ": nothing in " + key);
    if (key == "case") {
      cases.emplace_back(rest);
    } else if (key == "end") {  // a file that was cut short has none
      if (integer_of<std::size_t>(rest) != cases.size()) refuse(path + ": not all cases are there");
      ended = true;
    } else if (cases.empty()) {
      header[key] = rest;
    } else {
      cases.back().add(key, words);
    }
  }
  if (!ended || cases.empty() || header["regime"] != regime || header["scalar"] != scalar)
    refuse(path + " is not whole, or not what its name says");
  return cases;
}

}  // namespace accuracy
