// The images: reading them, and parting them into those to learn from and those to be judged on.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "random.hpp"
#include "tensor.hpp"

namespace digits {

inline constexpr Index side = 8;                ///< an image is 8 x 8
inline constexpr Index pixels = side * side;    ///< each 0 (paper) to 16 (ink)
inline constexpr Index classes = 10;            ///< the digits 0 to 9
inline constexpr std::uint64_t split_seed = 1;  ///< which fifth is held out

struct Dataset {
  Images images;            ///< (N, 1, 8, 8), 0 to 1
  std::vector<int> labels;  ///< 0 to 9

  Index size() const { return static_cast<Index>(labels.size()); }
};

/// One line of the file: 64 pixels in rows from the top, then the digit, with commas between.
inline void append_line(const std::string& line, std::vector<float>& ink, std::vector<int>& labels) {
  std::istringstream fields(line);
  for (Index field = 0; field <= pixels; ++field) {
    int value = -1;
    if (field > 0 && fields.get() != ',') throw std::runtime_error("expected 65 numbers with commas between");
    const int most = field < pixels ? 16 : static_cast<int>(classes) - 1;
    if (!(fields >> value) || value < 0 || value > most)
      throw std::runtime_error("expected 64 pixels of 0 to 16, then a digit of 0 to 9");
    if (field < pixels)
      ink.push_back(static_cast<float>(value) / 16.0f);
    else
      labels.push_back(value);
  }
}

inline Dataset read_csv(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be opened");
  std::vector<float> ink;
  Dataset data;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    try {
      append_line(line, ink, data.labels);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(path + ", line " + std::to_string(number) + ": " + error.what());
    }
  }
  if (data.size() < 10) throw std::runtime_error(path + ": too few images to learn from");
  data.images = Eigen::TensorMap<Images>(ink.data(), data.size(), 1, side, side);
  return data;
}

/// The images that `which` names, in that order.
inline Dataset select(const Dataset& all, std::span<const Index> which) {
  Dataset some{Images(static_cast<Index>(which.size()), 1, side, side), {}};
  some.labels.reserve(which.size());
  for (const Index from : which) {
    std::copy_n(&all.images(from, 0, 0, 0), pixels, &some.images(some.size(), 0, 0, 0));
    some.labels.push_back(all.labels[static_cast<std::size_t>(from)]);
  }
  return some;
}

struct Split {
  Dataset train;
  Dataset held_out;
};

/// A fifth of the images is held out: the same ones in every run and on every machine.
inline Split hold_out_fifth(const Dataset& all) {
  const std::vector<Index> order = Random(split_seed).permutation(all.size());
  const std::span<const Index> shuffled(order);
  const std::size_t fifth = order.size() / 5;
  return {select(all, shuffled.subspan(fifth)), select(all, shuffled.first(fifth))};
}

}  // namespace digits
