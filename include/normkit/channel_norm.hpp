#pragma once

#include <normkit/layer.hpp>
#include <normkit/running_stats.hpp>

namespace normkit {

/// The ranks that a norm of channels takes: those of images of so many dimensions, or any.
template <int Dimensions>
requires(Dimensions >= 1 && Dimensions <= 3) struct SpatialRank {
  static constexpr int dimensions = Dimensions;
  static constexpr bool fits(int rank) { return rank == Dimensions + 2 || (Dimensions == 1 && rank == 2); }
};
struct AnyRank {
  static constexpr int dimensions = 0;
  static constexpr bool fits(int rank) { return rank >= 2; }
};

namespace detail {

/// What the norms of channels have in common: their checks, running statistics, training and evaluation. `Options` are
/// BatchNorm's, with defaults of its own. A norm `Derived` gives the rest:
///   static constexpr std::string_view names[]        by dimensions: for any rank, 1d, 2d, 3d
///   static constexpr int least_rank
///   static StatView view(const Shape&, Index axis)   what shares a statistic, the channels being at `axis`; may throw
///   static constexpr std::string_view values         of what a group must have more than one, for the message
template <class Derived, Scalar T, class Options, class Ranks>
class ChannelNorm : public Layer<Derived, T, 1, Eigen::ColMajor> {
  using Base = Layer<Derived, T, 1, Eigen::ColMajor>;
  friend Base;

 public:
  using typename Base::Saved;
  using typename Base::Tensor;

  Index num_features() const noexcept { return num_features_; }
  const Options& options() const noexcept { return options_; }

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
  friend std::ostream& operator<<(std::ostream& out, const Derived& norm) {
    const auto truth = [](bool value) { return value ? "True" : "False"; };
    const Options& o = norm.options();
    out << norm.name() << "(" << norm.num_features() << ", eps=" << python_number(o.eps)
        << ", momentum=" << (o.momentum ? python_number(*o.momentum) : "None") << ", affine=" << truth(o.affine)
        << ", track_running_stats=" << truth(o.track_running_stats);
    if (o.affine && !o.weight) out << ", weight=False";
    if (o.affine && !o.bias) out << ", bias=False";
    if (o.channel_axis != 1) out << ", channel_axis=" << o.channel_axis;
    return out << ")";
  }

 protected:
  static constexpr std::string_view name() { return Derived::names[Ranks::dimensions]; }

  ChannelNorm(Index num_features, const Options& options)
      : Base({checked(num_features, options)}, options.affine && options.weight, options.affine && options.bias),
        options_(options),
        num_features_(num_features),
        running_(options.track_running_stats ? num_features : 0) {}

 private:
  static constexpr bool fits(int rank, int) { return Ranks::fits(rank) && rank >= Derived::least_rank; }

  static Index checked(Index num_features, const Options& options) {
    if (num_features < 1)
      throw argument_error(std::string(name()) + ": expected num_features of at least 1, got " +
                           std::to_string(num_features));
    require_eps(name(), options.eps);
    const Index axis = options.channel_axis;
    bool exists = false;
    for (int rank = 2; rank <= max_rank; ++rank) exists |= fits(rank, 0) && axis >= -rank && axis < rank;
    if (!exists)
      throw argument_error(std::string(name()) + ": expected channel_axis of a rank that it takes, got " +
                           std::to_string(axis));
    if (options.momentum && !(*options.momentum >= 0.0 && *options.momentum <= 1.0))
      throw argument_error(std::string(name()) + ": expected momentum in [0, 1], got " +
                           python_number(*options.momentum));
    return num_features;
  }

  StatView view_of(const Shape& shape) const {
    const Index axis = channel_axis_of(name(), shape, options_.channel_axis);
    const StatView view = Derived::view(shape, axis);
    require_channels(name(), shape, axis, num_features_);
    this->require_parameters({num_features_});
    const std::array<Index, 1> tracked{options_.track_running_stats ? num_features_ : 0};
    require_extents(name(), "running_mean", tracked, running_.mean.dimensions());
    require_extents(name(), "running_var", tracked, running_.var.dimensions());
    return view;
  }

  void require_batch(const StatView& view) const {
    if (view.count() == 1)
      throw shape_error(std::string(name()) + ": Expected more than 1 " + std::string(Derived::values) +
                        " when training, got 1 for each of " + std::to_string(num_features_) + " channels");
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
                             python_number(static_cast<double>(running_.var(c))) + " in channel " + std::to_string(c));
  }
  void require_evaluation() const {
    if (this->is_training())
      throw state_error(std::string(name()) + ": op() is for evaluation, and this layer is training");
  }

  Affine<T> affine() const noexcept {
    return {this->data_or_null(this->weight()), this->data_or_null(this->bias()), false};
  }

  void normalize(const Executor& execute, const StatView& view, const T* x, T* y, Saved& saved) {
    const bool by_batch = this->is_training() || !options_.track_running_stats;
    const bool moves = this->is_training() && options_.track_running_stats;
    by_batch ? require_batch(view) : require_running_var();
    if (moves) require_counter(running_.num_batches_tracked);
    const bool needs_memory = by_batch && (moves || !view.channels.count);
    std::byte* const memory = needs_memory ? this->workspace_.reserve(forward_bytes<T>(view)) : nullptr;
    const Statistics<T> sink = saved.resize(by_batch ? view.stats() : num_features_);
    saved.source = by_batch ? Saved::Source::batch : Saved::Source::running;
    if (by_batch) {
      const RunningSink<T> running =
          moves ? RunningSink<T>{running_.mean.data(), running_.var.data(), running_.next_momentum(options_.momentum)}
                : RunningSink<T>{};
      forward_by_batch<T>(execute, {view, Base::about, options_.eps, affine(), x, y, sink, running}, memory);
    } else {
      keep_given(num_features_, running_.mean.data(), running_.var.data(), options_.eps, sink);
      forward_by_given(execute, view, affine(), options_.eps, running_.mean.data(), running_.var.data(), x, y);
    }
  }

  void infer_view(const Executor& execute, const StatView& view, const T* x, T* y) const {
    if (options_.track_running_stats) {
      require_running_var();
      forward_by_given(execute, view, affine(), options_.eps, running_.mean.data(), running_.var.data(), x, y);
    } else {
      require_batch(view);
      forward_by_batch<T>(execute, {view, Base::about, options_.eps, affine(), x, y}, nullptr);
    }
  }

  Options options_;
  Index num_features_;
  RunningStats<T> running_;
};

}  // namespace detail
}  // namespace normkit
