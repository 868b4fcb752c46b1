#pragma once

#include <normkit/layer.hpp>
#include <normkit/running_stats.hpp>

namespace normkit {

/// Options of BatchNorm. `affine` false leaves out weight and bias; each can also be left out alone.
struct BatchNormOptions {
  double eps = 1e-5;                     // >= 0, finite; added to the variance
  std::optional<double> momentum = 0.1;  // running = (1 - momentum) * running + momentum * batch; none: plain average
  bool affine = true;
  bool track_running_stats = true;  // false: the statistics of the batch in evaluation too
  bool weight = true;
  bool bias = true;
  Index channel_axis = 1;  // negative: from the end; -1 is channels last
};

/// The ranks a BatchNorm takes, and the name it goes by: 0 for every rank from 2 up.
template <int Dimensions>
struct SpatialRank {
  static constexpr bool fits(int rank) { return rank == Dimensions + 2 || (Dimensions == 1 && rank == 2); }
  static constexpr std::string_view name() {
    return Dimensions == 1 ? "BatchNorm1d" : Dimensions == 2 ? "BatchNorm2d" : "BatchNorm3d";
  }
};
struct AnyRank {
  static constexpr bool fits(int rank) { return rank >= 2; }
  static constexpr std::string_view name() { return "BatchNorm"; }
};

/// Batch normalization: one mean and variance for each channel, over all other axes.
///   y = (x - mean) * rstd * weight + bias,  rstd = 1 / sqrt(var + eps),  var biased (divisor count)
/// In training mean and var are the batch's, and the running ones move (RunningStats); in evaluation the running ones.
/// Shapes   x, y (N, C, ...) or C at `channel_axis`; weight, bias, mean, rstd (C)
/// Units    mean [x], rstd 1/[x], eps [x]^2
/// Memory   contiguous; y may be x; no allocation after the first call with a shape
/// Threads  the same bits for any number of threads; infer may run on many at once, the other calls on one
/// Throws   shape_error, argument_error, state_error; outputs and state untouched
/// Source   Ioffe, Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2
template <detail::Scalar T, class Ranks = AnyRank>
class BatchNorm : public detail::Layer<BatchNorm<T, Ranks>, T, 1, Eigen::ColMajor> {
  using Base = detail::Layer<BatchNorm, T, 1, Eigen::ColMajor>;
  friend Base;

 public:
  using typename Base::Saved;
  using typename Base::Tensor;

  /// Throws   argument_error for num_features < 1 or an option out of its range
  explicit BatchNorm(Index num_features, const BatchNormOptions& options = {})
      : Base({checked(num_features, options)}, options.affine && options.weight, options.affine && options.bias),
        options_(options),
        num_features_(num_features),
        running_(options.track_running_stats ? num_features : 0) {}

  Index num_features() const noexcept { return num_features_; }
  const BatchNormOptions& options() const noexcept { return options_; }

  /// Of size 0 without track_running_stats. To be set like any tensor.
  Tensor& running_mean() noexcept { return running_.mean; }
  Tensor& running_var() noexcept { return running_.var; }
  const Tensor& running_mean() const noexcept { return running_.mean; }
  const Tensor& running_var() const noexcept { return running_.var; }
  std::int64_t num_batches_tracked() const noexcept { return running_.num_batches_tracked; }
  /// Throws   argument_error outside of [0, 2^63 - 1)
  void set_num_batches_tracked(std::int64_t batches) {
    require_counter(batches);
    running_.num_batches_tracked = batches;
  }
  void reset_running_stats() { running_.reset(); }

  /// "running_mean", "running_var" and "num_batches_tracked"; empty without track_running_stats.
  auto buffers() { return running_.list(); }
  auto buffers() const { return running_.list(); }

  /// As in PyTorch; what PyTorch does not have is shown where it is not the default.
  friend std::ostream& operator<<(std::ostream& out, const BatchNorm& norm) {
    const auto truth = [](bool value) { return value ? "True" : "False"; };
    const BatchNormOptions& o = norm.options_;
    out << norm.name() << "(" << norm.num_features_ << ", eps=" << detail::python_number(o.eps)
        << ", momentum=" << (o.momentum ? detail::python_number(*o.momentum) : "None") << ", affine=" << truth(o.affine)
        << ", track_running_stats=" << truth(o.track_running_stats);
    if (o.affine && !o.weight) out << ", weight=False";
    if (o.affine && !o.bias) out << ", bias=False";
    if (o.channel_axis != 1) out << ", channel_axis=" << o.channel_axis;
    return out << ")";
  }

 private:
  static constexpr bool fits(int rank, int) { return Ranks::fits(rank); }
  static constexpr std::string_view name() { return Ranks::name(); }

  static Index checked(Index num_features, const BatchNormOptions& options) {
    if (num_features < 1)
      throw argument_error(std::string(name()) + ": expected num_features of at least 1, got " +
                           std::to_string(num_features));
    detail::require_eps(name(), options.eps);
    const Index axis = options.channel_axis;
    bool exists = false;
    for (int rank = 2; rank <= detail::max_rank; ++rank) exists |= Ranks::fits(rank) && axis >= -rank && axis < rank;
    if (!exists)
      throw argument_error(std::string(name()) + ": expected channel_axis of a rank that it takes, got " +
                           std::to_string(axis));
    if (options.momentum && !(*options.momentum >= 0.0 && *options.momentum <= 1.0))
      throw argument_error(std::string(name()) + ": expected momentum in [0, 1], got " +
                           detail::python_number(*options.momentum));
    return num_features;
  }

  detail::StatView view_of(const detail::Shape& shape) const {
    const Index axis = options_.channel_axis + (options_.channel_axis < 0 ? shape.rank : 0);
    if (axis < 0 || axis >= shape.rank)
      throw argument_error(std::string(name()) + ": expected channel_axis in [-" + std::to_string(shape.rank) + ", " +
                           std::to_string(shape.rank) + ") for x of shape " + shape.text() + ", got " +
                           std::to_string(options_.channel_axis));
    if (shape[axis] != num_features_)
      throw shape_error(std::string(name()) + ": expected " + std::to_string(num_features_) + " channels on axis " +
                        std::to_string(axis) + ", got " + std::to_string(shape[axis]) + " in x of shape " +
                        shape.text());
    this->require_parameters({num_features_});
    const std::array<Index, 1> tracked{options_.track_running_stats ? num_features_ : 0};
    detail::require_extents(name(), "running_mean", tracked, running_.mean.dimensions());
    detail::require_extents(name(), "running_var", tracked, running_.var.dimensions());
    return *detail::make_view(shape, axis, 1, true);
  }

  void require_batch(const detail::StatView& view) const {
    if (view.count() == 1)
      throw shape_error(std::string(name()) +
                        ": Expected more than 1 value per channel when training, got 1 for each of " +
                        std::to_string(num_features_) + " channels");
  }
  /// One that can count one more: as a buffer it can be set to anything.
  static void require_counter(std::int64_t batches) {
    if (batches < 0 || batches == std::numeric_limits<std::int64_t>::max())
      throw argument_error(std::string(name()) + ": expected num_batches_tracked in [0, 2^63 - 1), got " +
                           std::to_string(batches));
  }
  void require_running_var() const {
    for (Index c = 0; c < num_features_; ++c)
      if (running_.var(c) < T(0))
        throw argument_error(std::string(name()) + ": expected running_var of at least 0, got " +
                             detail::python_number(static_cast<double>(running_.var(c))) + " in channel " +
                             std::to_string(c));
  }
  void require_evaluation() const {
    if (this->is_training())
      throw state_error(std::string(name()) + ": op() is for evaluation, and this layer is training");
  }

  detail::Affine<T> affine() const noexcept {
    return {this->data_or_null(this->weight()), this->data_or_null(this->bias()), false};
  }

  void normalize(const detail::Executor& execute, const detail::StatView& view, const T* x, T* y, Saved& saved) {
    const bool by_batch = this->is_training() || !options_.track_running_stats;
    const bool moves = this->is_training() && options_.track_running_stats;
    by_batch ? require_batch(view) : require_running_var();
    if (moves) require_counter(running_.num_batches_tracked);
    std::byte* const memory = by_batch ? this->workspace_.reserve(detail::forward_bytes<T>(view)) : nullptr;
    const detail::Statistics<T> sink = saved.resize(num_features_);
    saved.source = by_batch ? Saved::Source::batch : Saved::Source::running;
    if (by_batch) {
      const detail::RunningSink<T> running = moves ? detail::RunningSink<T>{running_.mean.data(), running_.var.data(),
                                                                            running_.next_momentum(options_.momentum)}
                                                   : detail::RunningSink<T>{};
      detail::forward_by_batch(execute, view, affine(), options_.eps, x, y, sink, running, memory);
    } else {
      detail::keep_given(num_features_, running_.mean.data(), running_.var.data(), options_.eps, sink);
      detail::forward_by_given(execute, view, affine(), options_.eps, running_.mean.data(), running_.var.data(), x, y);
    }
  }

  void infer_view(const detail::Executor& execute, const detail::StatView& view, const T* x, T* y) const {
    if (options_.track_running_stats) {
      require_running_var();
      detail::forward_by_given(execute, view, affine(), options_.eps, running_.mean.data(), running_.var.data(), x, y);
    } else {
      require_batch(view);
      detail::forward_by_batch<T>(execute, view, affine(), options_.eps, x, y, {}, {}, nullptr);
    }
  }

  BatchNormOptions options_;
  Index num_features_;
  RunningStats<T> running_;
};

/// (N, C) and (N, C, L).
template <detail::Scalar T>
using BatchNorm1d = BatchNorm<T, SpatialRank<1>>;
/// (N, C, H, W).
template <detail::Scalar T>
using BatchNorm2d = BatchNorm<T, SpatialRank<2>>;
/// (N, C, D, H, W).
template <detail::Scalar T>
using BatchNorm3d = BatchNorm<T, SpatialRank<3>>;

}  // namespace normkit
