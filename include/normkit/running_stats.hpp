#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include <normkit/detail/kernel/block.hpp>
#include <normkit/parameters.hpp>

namespace normkit {

/// The running statistics of a BatchNorm, one for each channel, or of an InstanceNorm (mean over the samples of those of
/// each). A batch moves them by
///   running = (1 - momentum) * running + momentum * batch,   the variance unbiased (divisor count - 1)
/// if not said otherwise, where no momentum means 1 / num_batches_tracked, the plain average of all batches. They start at 0, 1 and 0 batches.
/// Units    mean [x], var [x]^2
/// Source   the convention of PyTorch; Ioffe, Szegedy 2015, arXiv:1502.03167, algorithm 2
template <detail::Scalar T>
struct RunningStats {
  OwnTensor<T> mean, var;                // one for each channel
  std::int64_t num_batches_tracked = 0;  // that have moved them

  /// `restores`: keep and restore will be called.
  explicit RunningStats(Index channels, bool restores = false)
      : mean(channels), var(channels), kept_mean_(restores ? channels : 0), kept_var_(restores ? channels : 0) {
    reset();
  }

  /// Back to the start.
  void reset() {
    mean.setZero();
    var.setConstant(T(1));
    num_batches_tracked = 0;
  }

  /// "running_mean", "running_var" and "num_batches_tracked"; none of them for 0 channels.
  auto list() { return list<T>(*this); }
  auto list() const { return list<const T>(*this); }

  /// Counts one more batch and gives the weight of its statistics.
  double next_momentum(const std::optional<double>& momentum) noexcept {
    ++num_batches_tracked;
    return momentum ? *momentum : 1.0 / static_cast<double>(num_batches_tracked);
  }

  /// Remembers mean and var as they are now.
  void keep() noexcept {
    std::copy_n(mean.data(), mean.size(), kept_mean_.data());
    std::copy_n(var.data(), var.size(), kept_var_.data());
  }
  /// Goes back to what keep has remembered, and to that many batches.
  void restore(std::int64_t batches) noexcept {
    std::copy_n(kept_mean_.data(), mean.size(), mean.data());
    std::copy_n(kept_var_.data(), var.size(), var.data());
    num_batches_tracked = batches;
  }

 private:
  OwnTensor<T> kept_mean_, kept_var_;

  template <class Element>
  static ShortList<Buffer<Element>, 3> list(auto& self) {
    ShortList<Buffer<Element>, 3> all;
    if (self.mean.size() == 0) return all;
    all.push_back({"running_mean", FlatMap<Element>(self.mean.data(), self.mean.size())});
    all.push_back({"running_var", FlatMap<Element>(self.var.data(), self.var.size())});
    all.push_back({"num_batches_tracked", &self.num_batches_tracked});
    return all;
  }
};

namespace detail {

/// Whether those of a batch may move them: a mean is a number where there is no NaN and no infinity in it, and only there.
template <Scalar T>
bool is_finite(const Statistics<T>& statistics, Index count) noexcept {
  return std::all_of(statistics.mean, statistics.mean + count, [](T mean) { return std::isfinite(mean); });
}

}  // namespace detail
}  // namespace normkit
