#pragma once

#include <normkit/detail/plan/run.hpp>
#include <normkit/detail/view/tensor.hpp>

namespace normkit {

/// What a forward keeps for its backward, beside x: one of each for each statistic, in the order of memory.
/// The mean is mean + mean_lo (mean is the nearest T, mean_lo the rest), rstd = 1 / sqrt(var + eps) is not rounded to
/// T. Units    mean [x], rstd 1/[x] Memory   three numbers for each statistic, allocated by the first forward with a
/// shape
template <detail::Scalar T>
struct Saved {
  Eigen::Tensor<T, 1> mean, mean_lo;
  Eigen::Tensor<double, 1> rstd;

  /// Where the statistics came from, so that backward differentiates what forward did, whatever the mode is by then.
  enum class Source { none, batch, running };
  Source source = Source::none;
  bool in_place = false;  // the input is gone
  detail::Shape shape;

  /// Makes room; all that can fail in keeping statistics.
  detail::StatisticsSink<T> resize(Index statistics) {
    mean.resize(statistics);
    mean_lo.resize(statistics);
    rstd.resize(statistics);
    return {mean.data(), mean_lo.data(), rstd.data()};
  }
  detail::SavedStatistics<T> view() const noexcept { return {mean.data(), mean_lo.data(), rstd.data()}; }
};

/// Which gradients a backward computes. What is not asked for is neither written nor read.
struct Gradients {
  bool input = true;
  bool weight = true;
  bool bias = true;
};

}  // namespace normkit
