// The text: verses of different length, and batches of them, padded to the longest.
#pragma once

#include <algorithm>
#include <cctype>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../digits/random.hpp"
#include "trial.hpp"

namespace why {

/// A verse ends with the first symbol, which also stands before it. What is no letter is one of these or a space.
inline constexpr std::string_view symbols = "\nabcdefghijklmnopqrstuvwxyz ,.;:?!'()-";
inline constexpr int symbol_count = static_cast<int>(symbols.size()), padding = symbol_count;

using Verse = std::vector<int>;

/// A line is a reference, "Ge1:1", a space, and the verse.
inline std::vector<Verse> read_verses(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be opened");
  std::vector<Verse> verses;
  for (std::string line; std::getline(file, line);) {
    Verse verse{0};
    for (std::size_t i = std::min(line.find(' '), line.size() - 1) + 1; i < line.size(); ++i) {
      const auto found = symbols.find(static_cast<char>(std::tolower(static_cast<unsigned char>(line[i]))));
      verse.push_back(found == std::string_view::npos ? static_cast<int>(symbols.find(' ')) : static_cast<int>(found));
    }
    verse.push_back(0);
    verses.push_back(std::move(verse));
  }
  return verses;
}

/// Short verses to learn from and to be judged on, and long ones that training has not seen the like of.
struct Verses {
  static constexpr std::size_t longest = 101;  ///< places that training sees: 100 characters and the symbol at the end
  std::vector<Verse> train, held_out, longer;
};

inline Verses split_verses(const std::vector<Verse>& all) {
  Verses split;
  for (const std::ptrdiff_t i : digits::Random(1).permutation(static_cast<std::ptrdiff_t>(all.size()))) {
    const Verse& verse = all[static_cast<std::size_t>(i)];
    const std::size_t length = verse.size() - 1;
    if (length > 2 * Verses::longest && split.longer.size() < 100) split.longer.push_back(verse);
    if (length <= Verses::longest) (split.held_out.size() < 200 ? split.held_out : split.train).push_back(verse);
  }
  if (split.train.empty() || split.longer.empty()) throw std::runtime_error("too few verses to learn from");
  return split;
}

/// Some verses, each a row of `length` places: what is read there, what comes next, and how many places hold text. A place (n, l) is
/// row n * length + l of all that the network makes of it.
struct Batch {
  Index verses, length;
  std::vector<int> input, target;
  Eigen::VectorXi lengths;

  /// `stretch` times as long as the longest needs.
  explicit Batch(const std::vector<const Verse*>& chosen, Index stretch = 1)
      : verses(static_cast<Index>(chosen.size())), length(0), lengths(verses) {
    for (Index n = 0; n < verses; ++n) {
      lengths(n) = static_cast<int>(chosen[static_cast<std::size_t>(n)]->size()) - 1;
      length = std::max(length, Index{lengths(n)});
    }
    length *= stretch;
    input.assign(static_cast<std::size_t>(verses * length), padding);
    target = input;
    for (Index n = 0; n < verses; ++n) {
      const Verse& verse = *chosen[static_cast<std::size_t>(n)];
      std::copy(verse.begin(), verse.end() - 1, input.begin() + n * length);
      std::copy(verse.begin() + 1, verse.end(), target.begin() + n * length);
    }
  }
  Index places() const { return verses * length; }
};

/// Calls f(batch) for all verses, in that order, so many at a time.
template <class F>
void each_batch(const std::vector<Verse>& verses, std::span<const std::ptrdiff_t> order, Index size, Index stretch,
                const F& f) {
  for (std::size_t first = 0; first < order.size(); first += static_cast<std::size_t>(size)) {
    std::vector<const Verse*> chosen;
    for (std::size_t i = first; i < std::min(first + static_cast<std::size_t>(size), order.size()); ++i)
      chosen.push_back(&verses[static_cast<std::size_t>(order[i])]);
    f(Batch(chosen, stretch));
  }
}

}  // namespace why
