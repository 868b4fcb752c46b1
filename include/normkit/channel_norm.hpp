#pragma once

#include <normkit/layer.hpp>
#include <normkit/merge.hpp>
#include <normkit/running_stats.hpp>

namespace normkit {

/// The ranks that a norm of channels takes: those of images of so many dimensions, or any.
template <int Dimensions>
requires(Dimensions >= 1 && Dimensions <= 3) struct SpatialRank {
  static constexpr int dimensions = Dimensions;  // behind samples and channels
  /// Whether it is the rank of a tensor that the norm takes.
  static constexpr bool fits(int rank) { return rank == Dimensions + 2 || (Dimensions == 1 && rank == 2); }
};
/// Any rank from 2 on.
struct AnyRank {
  static constexpr int dimensions = 0;                        // no number of them
  static constexpr bool fits(int rank) { return rank >= 2; }  // as of SpatialRank
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

  Index num_features() const noexcept { return num_features_; }  // channels
  const Options& options() const noexcept { return options_; }   // as given, but for set_momentum

  /// Of size 0 without track_running_stats. To be set like any tensor.
  Tensor& running_mean() noexcept { return running_.mean; }
  Tensor& running_var() noexcept { return running_.var; }  // as running_mean
  const Tensor& running_mean() const noexcept { return running_.mean; }
  const Tensor& running_var() const noexcept { return running_.var; }
  /// How many batches have moved the running statistics.
  std::int64_t num_batches_tracked() const noexcept { return running_.num_batches_tracked; }
  /// Throws   argument_error outside of [0, 2^63 - 1)
  void set_num_batches_tracked(std::int64_t batches) {
    require_counter(batches);
    running_.num_batches_tracked = batches;
  }
  /// Means 0, variances 1, no batches.
  void reset_running_stats() {
    running_.reset();
    gathered_.clear();
  }

  /// While held, a forward in training normalizes as always and leaves the running statistics and their counter alone: for
  /// one that is done again (checkpointing), or whose batch shall not count.
  void hold_running_stats(bool on = true) noexcept { held_ = on; }
  bool holds_running_stats() const noexcept { return held_; }  // as hold_running_stats has said

  /// How many batches have not moved the running statistics because they held NaN or infinity (`reject_nonfinite`).
  std::int64_t num_batches_rejected() const noexcept { return rejected_; }

  /// From the next batch on. None: the plain average of all batches.
  /// Throws   argument_error outside of [0, 1]
  void set_momentum(std::optional<double> momentum) {
    require_momentum(momentum);
    options_.momentum = momentum;
  }

  /// The running statistics anew, as the plain average over the batches whose forwards `pass` runs in training mode. Mode,
  /// momentum, hold and gathering are afterwards what they were.
  /// Throws   state_error without track_running_stats, and what `pass` throws
  template <class Pass>
  void recalibrate(Pass&& pass) {
    if (!options_.track_running_stats)
      raise(state_error(words(name()) + ": expected track_running_stats in a layer to recalibrate"));
    const struct Restore {
      ChannelNorm& norm;
      std::optional<double> momentum;
      bool training, held, gathers;
      ~Restore() {
        norm.options_.momentum = momentum;
        norm.train(training);
        norm.held_ = held;
        norm.gathers_ = gathers;
      }
    } restore{*this, options_.momentum, this->is_training(), held_, gathers_};
    reset_running_stats();
    options_.momentum = std::nullopt;
    held_ = gathers_ = false;
    this->train();
    pass();
  }

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
    if (o.reject_nonfinite) out << ", reject_nonfinite=True";
    if (!o.unbiased_running_var) out << ", unbiased_running_var=False";
    if (o.channel_axis != 1) out << ", channel_axis=" << o.channel_axis;
    return out << ")";
  }

 protected:
  static constexpr std::string_view name() { return Derived::names[Ranks::dimensions]; }

  ChannelNorm(Index num_features, const Options& options)
      : Base({checked(num_features, options)}, options.affine && options.weight, options.affine && options.bias),
        options_(options),
        num_features_(num_features),
        running_(options.track_running_stats ? num_features : 0, options.reject_nonfinite) {}

  // Of norms whose statistics are over all samples (micro_batches.hpp).
  void gather(bool on) {
    if (on && !options_.track_running_stats)
      raise(state_error(words(name()) + ": expected track_running_stats in a layer to gather them"));
    if (on) gathered_ = latest_ = normkit::Moments<T>(num_features_);
    gathers_ = on;
  }
  bool gathers() const noexcept { return gathers_; }

  /// What a forward of running statistics keeps.
  void keep_running(Saved& saved) const {
    keep_given(num_features_, running_.mean.data(), running_.var.data(), options_.eps, saved.resize(num_features_));
    saved.source = Saved::Source::running;
  }
  void keep_nothing(const StatView& view, Saved& saved) const {
    uses_batch() ? Base::keep_nothing(view, saved) : keep_running(saved);
  }

  // For batches of which there is more elsewhere (across_ranks.hpp).
  bool uses_batch() const noexcept { return this->is_training() || !options_.track_running_stats; }
  /// All that can fail, but for the count of the whole batch.
  template <Stored S>
  std::byte* prepare_part(const StatView& view, Saved& saved) {
    const bool moves = moves_running();
    saved.reserve(num_features_);
    return view.size() > 0 ? this->workspace_.reserve(forward_bytes<S>(view, moves)) : nullptr;
  }
  void require_batch(Index count) const {
    if (count == 1)
      raise(shape_error(words(name()) + ": Expected more than 1 " + words(Derived::values) +
                        " when training, got 1 for each of " + std::to_string(num_features_) + " channels"));
  }
  /// normalize of a part, by the moments of the whole.
  template <Stored S>
  void normalize_part(const Executor& execute, const StatView& view, normkit::Moments<T>& whole, const S* x, S* y,
                      Saved& saved) {
    const Statistics<T> sink = saved.resize(num_features_);
    saved.source = Saved::Source::ranks;
    saved.rank_count = whole.count();
    if (whole.count() == 0) return;
    const Steps<T>& steps = kernels<T>().steps;
    steps.statistics_of(num_features_, whole.arrays(), whole.count(), options_.eps, sink);
    move_by_batch(moves_running(), whole.count(), sink, num_features_, [&](const RunningSink<T>& running) {
      move_running(steps, 0, num_features_, whole.arrays(), whole.count(), running);
    });
    if (view.size() > 0) forward_by_saved(execute, view, affine(), saved.statistics(), x, y);
  }
  void move_by_gathered() {
    if (!gathers_ || gathered_.count() == 0)
      raise(state_error(words(name()) + ": expected micro-batches that were gathered, got none"));
    require_counter(running_.num_batches_tracked);
    const RunningSink<T> sink{running_.mean.data(), running_.var.data(), 0.0, options_.unbiased_running_var, {}};
    kernels<T>().steps.update_running(num_features_, gathered_.arrays(), sink.freedom(gathered_.count()),
                                      running_.next_momentum(options_.momentum), sink.mean, sink.var);
    gathered_.clear();
  }

 private:
  static constexpr bool fits(int rank, int) { return Ranks::fits(rank) && rank >= Derived::least_rank; }

  static Index checked(Index num_features, const Options& options) {
    if (num_features < 1)
      raise(
          argument_error(words(name()) + ": expected num_features of at least 1, got " + std::to_string(num_features)));
    require_eps(name(), options.eps);
    const Index axis = options.channel_axis;
    bool exists = false;
    for (int rank = 2; rank <= max_rank; ++rank) exists |= fits(rank, 0) && axis >= -rank && axis < rank;
    if (!exists)
      raise(argument_error(words(name()) + ": expected channel_axis of a rank that it takes, got " +
                           std::to_string(axis)));
    require_momentum(options.momentum);
    return num_features;
  }
  static void require_momentum(const std::optional<double>& momentum) {
    if (momentum && !(*momentum >= 0.0 && *momentum <= 1.0))
      raise(argument_error(words(name()) + ": expected momentum in [0, 1], got " + python_number(*momentum)));
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

  /// A forward in training moves the running statistics. Throws where these cannot count one more.
  bool moves_running() const {
    const bool moves = this->is_training() && options_.track_running_stats && !held_;
    if (moves) require_counter(running_.num_batches_tracked);
    return moves;
  }
  /// Calls compute(where the running statistics of a batch go), which leaves its statistics in `sink`, and takes back what a
  /// batch with NaN or infinity has moved.
  template <class Compute>
  void move_by_batch(bool moves, Index count, const Statistics<T>& sink, Index statistics, const Compute& compute) {
    const std::int64_t batches = running_.num_batches_tracked;
    if (moves && options_.reject_nonfinite) running_.keep();
    compute(moves ? running_sink() : RunningSink<T>{});
    if (moves && options_.reject_nonfinite && !is_finite(sink, statistics)) {
      running_.restore(batches);
      ++rejected_;
    } else if (moves && gathers_) {
      gathered_.add(latest_.arrays(), count);
    }
  }
  /// One that can count one more: as a buffer it can be set to anything.
  static void require_counter(std::int64_t batches) {
    if (batches < 0 || batches == std::numeric_limits<std::int64_t>::max())
      raise(argument_error(words(name()) + ": expected num_batches_tracked in [0, 2^63 - 1), got " +
                           std::to_string(batches)));
  }
  void require_evaluation() const {
    if (this->is_training()) raise(state_error(words(name()) + ": op() is for evaluation, and this layer is training"));
  }

  Affine<T> affine() const noexcept {
    return {this->data_or_null(this->weight()), this->data_or_null(this->bias()), false};
  }

  template <Stored S, class Y>
  void normalize(const Executor& execute, const StatView& view, const S* x, Y y, Saved& saved) {
    if (!uses_batch()) {
      require_running_var(name(), running_.var.data(), num_features_);
      keep_running(saved);
      return forward_by_given(execute, view, affine(), options_.eps, running_.mean.data(), running_.var.data(), x, y);
    }
    require_batch(view.count());
    const bool moves = moves_running();
    std::byte* const memory = this->workspace_.reserve(forward_bytes<S>(view, moves));
    const Statistics<T> sink = saved.resize(view.stats());
    saved.source = Saved::Source::batch;
    move_by_batch(moves, view.count(), sink, view.stats(), [&](const RunningSink<T>& running) {
      forward_by_batch<S, Y>(execute, {view, Base::about, options_.eps, affine(), x, y, sink, running}, memory);
    });
  }

  template <Stored S, class Y>
  void infer_view(const Executor& execute, const StatView& view, const S* x, Y y) const {
    if (options_.track_running_stats) {
      require_running_var(name(), running_.var.data(), num_features_);
      forward_by_given(execute, view, affine(), options_.eps, running_.mean.data(), running_.var.data(), x, y);
    } else {
      require_batch(view.count());
      forward_by_batch<S, Y>(execute, {view, Base::about, options_.eps, affine(), x, y}, nullptr);
    }
  }

  /// Whereto a batch's statistics go that count.
  RunningSink<T> running_sink() noexcept {
    if (gathers_) return {nullptr, nullptr, 0.0, true, latest_.arrays()};
    return {running_.mean.data(),
            running_.var.data(),
            running_.next_momentum(options_.momentum),
            options_.unbiased_running_var,
            {}};
  }

  Options options_;
  Index num_features_;
  RunningStats<T> running_;
  normkit::Moments<T> gathered_, latest_;  // of micro-batches
  std::int64_t rejected_ = 0;
  bool held_ = false, gathers_ = false;
};

}  // namespace detail
}  // namespace normkit
