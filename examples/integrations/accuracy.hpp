// What both programs judge a network by.
#pragma once

#include "../digits/data.hpp"

namespace integrations {

/// Share of images whose greatest score is that of their digit. Rows of `scores` are images.
template <class Scores>
double accuracy(const Scores& scores, const digits::Dataset& data) {
  Eigen::Index right = 0;
  for (Eigen::Index i = 0, best = 0; i < data.size(); ++i) {
    scores.row(i).maxCoeff(&best);
    right += best == data.labels[static_cast<std::size_t>(i)];
  }
  return static_cast<double>(right) / static_cast<double>(data.size());
}

}  // namespace integrations
