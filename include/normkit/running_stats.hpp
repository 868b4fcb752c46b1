#pragma once

#include <algorithm>
#include <vector>

#include <normkit/detail/kernel/kernels.hpp>
#include <normkit/detail/plan/workspace.hpp>
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
  Eigen::Tensor<T, 1> mean, var;
  std::int64_t num_batches_tracked = 0;

  /// `restores`: keep and restore will be called.
  explicit RunningStats(Index channels, bool restores = false)
      : mean(channels), var(channels), kept_mean_(restores ? channels : 0), kept_var_(restores ? channels : 0) {
    reset();
  }

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

  /// Remembers mean and var as they are now; goes back to them, and to that many batches.
  void keep() noexcept {
    std::copy_n(mean.data(), mean.size(), kept_mean_.data());
    std::copy_n(var.data(), var.size(), kept_var_.data());
  }
  void restore(std::int64_t batches) noexcept {
    std::copy_n(kept_mean_.data(), mean.size(), mean.data());
    std::copy_n(kept_var_.data(), var.size(), var.data());
    num_batches_tracked = batches;
  }

 private:
  Eigen::Tensor<T, 1> kept_mean_, kept_var_;

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

/// The moments of several batches as those of one.
template <Scalar T>
class GatheredMoments {
  using Store = PartialStore<Moments<T>>;

 public:
  /// Makes room for those of so many channels, and forgets what has been gathered.
  void start(Index channels) {
    memory_.resize(2 * Store::bytes(channels));
    channels_ = channels;
    count_ = 0;
  }
  void clear() noexcept { count_ = 0; }

  /// Where a forward leaves the moments of its batch, which `add` then takes, of so many values of each channel.
  Moments<T> latest() noexcept { return Store::in(memory_.data() + Store::bytes(channels_), channels_); }
  void add(Index values) noexcept {
    if (count_ == 0)
      copy(channels_, latest(), all());
    else
      kernels<T>().steps.merge_moments(channels_, all(), count_, latest(), values);
    count_ += values;
  }

  Moments<T> all() noexcept { return Store::in(memory_.data(), channels_); }
  /// Values of each channel.
  Index count() const noexcept { return count_; }

 private:
  std::vector<std::byte> memory_;
  Index channels_ = 0, count_ = 0;
};

}  // namespace detail
}  // namespace normkit
