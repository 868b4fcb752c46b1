#pragma once

#include <normkit/detail/kernel/kernels.hpp>
#include <normkit/detail/plan/output.hpp>
#include <normkit/detail/plan/pool.hpp>

namespace normkit::detail {

/// Weight and bias of a layer, null where absent: by element of the group (LayerNorm), or else by the channel of a group where
/// the view has channels (GroupNorm), or by group (BatchNorm).
template <Scalar T>
struct Affine {
  const T* weight = nullptr;
  const T* bias = nullptr;
  bool by_element = false;
  bool zero_centred = false;  // weight by element means 1 + weight

  const T* weight_at(Index i) const noexcept { return weight ? weight + i : nullptr; }
  const T* bias_at(Index i) const noexcept { return bias ? bias + i : nullptr; }
};

/// A parameter of the groups of a tile: where it stands, or a copy; null where it is absent or by element.
template <Scalar T>
class TileParameter {
 public:
  TileParameter(const Affine<T>& affine, const T* parameter, const StatView& view, const Tile& tile) noexcept {
    if (!parameter || affine.by_element) return;
    values_ =
        view.channels.count ? view.channels.of(parameter, tile.first, tile.groups, copies_) : parameter + tile.first;
  }
  TileParameter(const TileParameter&) = delete;
  TileParameter& operator=(const TileParameter&) = delete;

  operator const T*() const noexcept { return values_; }

 private:
  const T* values_ = nullptr;
  T copies_[max_groups];
};

/// The weights by element of one block as they multiply, null where there are none.
template <Scalar T>
class BlockWeights {
 public:
  template <Stored S>
  BlockWeights(const Kernels<S>& kernel, const Affine<T>& affine, const TileBlock& at) noexcept
      : values_(affine.by_element ? affine.weight_at(at.element) : nullptr) {
    if (!values_ || !affine.zero_centred) return;
    kernel.one_plus(at.block.elements(), values_, sums_);
    values_ = sums_;
  }
  BlockWeights(const BlockWeights&) = delete;
  BlockWeights& operator=(const BlockWeights&) = delete;

  operator const T*() const noexcept { return values_; }

 private:
  const T* values_;
  T sums_[Plan::block_elements];
};

/// What normalizing needs of the groups of one tile, on the stack.
template <Scalar T>
struct NormalizeCoefficients {
  T mean[max_groups], mean_lo[max_groups], scale[max_groups], shift[max_groups];
  double rstd[max_groups];
  int exponent[max_groups];
  bool careful[max_groups], any_careful;

  Statistics<T> statistics() noexcept { return {mean, mean_lo, rstd, exponent}; }
  SavedStatistics<T> statistics() const noexcept { return {mean, mean_lo, rstd, exponent}; }
};

/// A block of a tile in parts: calls ordinary(from, count) for each run of groups that the kernels can do, and
/// careful(group) for each that they cannot.
template <class Ordinary, class Careful>
void in_parts(const bool* is_careful, Index groups, const Ordinary& ordinary, const Careful& careful) noexcept {
  for (Index g = 0; g < groups;) {
    if (is_careful[g]) {
      careful(g++);
      continue;
    }
    const Index from = g;
    while (g < groups && !is_careful[g]) ++g;
    ordinary(from, g - from);
  }
}

/// The kernel that normalizes: of pointers, or with a ReLU (relu.hpp), with no weight or bias by element.
template <Stored S>
auto* normalize_kernel(const Kernels<S>& kernel, Walk walk, Output output, const S*, S*, bool weight,
                       bool bias) noexcept {
  return kernel.maps[output == Output::cached].normalize[walk][(weight ? 1 : 0) + (bias ? 2 : 0)];
}
template <Stored S>
auto* normalize_kernel(const Kernels<S>&, Walk walk, Output, const S*, const Rectified<S>&, bool, bool) noexcept {
  return relu_kernels<S>().normalize[walk];
}
template <Stored S>
auto* normalize_kernel(const Kernels<S>&, Walk walk, Output, const Masked<S>&, S*, bool, bool) noexcept {
  return relu_kernels<S>().scale[walk];
}

/// The part that all ways of normalizing share: from statistics to terms, and the map. X and Y are pointers, or Masked and
/// Rectified.
template <Stored S, class X = const S*, class Y = S*>
struct NormalizeMap {
  using T = Arithmetic<S>;
  using Coefficients = NormalizeCoefficients<T>;

  const Kernels<S>& kernel;
  const Cut& cut;
  Affine<T> affine;
  X x;
  Y y;
  Output output = output_for(cut, x, y);

  /// The rest of the coefficients from the statistics that stand in them.
  void scale(const Tile& tile, Coefficients& out) const noexcept {
    const TileParameter<T> weight(affine, affine.weight, cut.view(), tile), bias(affine, affine.bias, cut.view(), tile);
    for (Index g = 0; g < tile.groups; ++g) out.shift[g] = bias ? bias[g] : T(0);
    out.any_careful = kernel.steps.scale_of(tile.groups, out.statistics(), weight,
                                            affine.by_element ? nullptr : out.shift, out.scale, out.careful);
  }

  void map(const Tile& tile, const TileBlock& at, const Coefficients& c, Index ahead) const noexcept {
    const Index offset = tile.offset + at.offset;
    const BlockWeights<T> weights(kernel, affine, at);
    const T* const weight = weights;
    const T* const bias = affine.by_element ? affine.bias_at(at.element) : nullptr;
    auto* const normalize = normalize_kernel(kernel, cut.walk(), output, x, y, weight, bias);
    const auto some = [&](Index from, Index count) noexcept {
      const Index start = offset + from * at.block.group_stride;
      normalize(at.block.some(count), x + start,
                {c.mean + from, c.mean_lo + from, c.scale + from, c.shift + from, weight, bias, ahead,
                 output == Output::streamed},
                y + start);
    };
    if (!c.any_careful) return some(0, tile.groups);
    const TileParameter<T> group_weight(affine, affine.weight, cut.view(), tile);
    in_parts(c.careful, tile.groups, some, [&](Index g) noexcept {
      const T* const of_group = group_weight ? group_weight + g : nullptr;
      scalar::normalize_carefully(at.block, g, x + offset, c.statistics().from(g),
                                  affine.by_element ? weight : of_group,
                                  affine.by_element ? bias
                                  : affine.bias     ? c.shift + g
                                                    : nullptr,
                                  affine.by_element, y + offset);
    });
  }
};

/// Where the statistics of a forward go, null where nobody keeps them.
template <Scalar T>
void keep(const Tile& tile, const NormalizeCoefficients<T>& c, const Statistics<T>& sink) noexcept {
  if (!sink.mean) return;
  for (Index g = 0; g < tile.groups; ++g) {
    sink.mean[tile.first + g] = c.mean[g];
    sink.mean_lo[tile.first + g] = c.mean_lo[g];
    sink.rstd[tile.first + g] = c.rstd[g];
    sink.exponent[tile.first + g] = c.exponent[g];
  }
}

/// Running statistics to move, null where none: running = (1 - momentum) * running + momentum * batch. Or, not null, where the
/// moments of the batch go instead.
template <Scalar T>
struct RunningSink {
  T* mean = nullptr;
  T* var = nullptr;
  double momentum = 0.0;
  bool unbiased = true;
  Moments<T> measured = {};

  /// What the sum of squares of so many elements is divided by.
  Index freedom(Index count) const noexcept { return unbiased ? count - 1 : count; }
};

/// Moves running statistics, or keeps the moments, of some groups from `first` on, of `count` elements each.
template <Scalar T>
void move_running(const Steps<T>& steps, Index first, Index groups, Moments<T> moments, Index count,
                  const RunningSink<T>& running) noexcept {
  if (running.measured.pivot) copy(groups, moments, running.measured.from(first));
  if (running.mean)
    steps.update_running(groups, moments, running.freedom(count), running.momentum, running.mean + first,
                         running.var + first);
}

/// The part that all share that begin with the moments of x; Base has the kernel and x.
template <class Base>
struct FromMoments : Base {
  using Partial = Moments<typename Base::T>;

  Walk walk;
  About about;

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    this->kernel.moments[static_cast<int>(about)][walk](at.block, this->x + tile.offset + at.offset, into);
  }
  void merge(Index groups, Partial into, Index count, Partial other, Index more) const noexcept {
    this->kernel.steps.merge_moments(groups, into, count, other, more);
  }
};

/// y from the statistics of x itself.
template <Stored S, class Y = S*>
struct NormalizeByBatch : FromMoments<NormalizeMap<S, const S*, Y>> {
  using Base = FromMoments<NormalizeMap<S, const S*, Y>>;
  using typename Base::Coefficients;
  using typename Base::Partial;
  using typename Base::T;

  double eps;
  Statistics<T> saved;
  RunningSink<T> running;

  void coefficients(const Tile& tile, Partial moments, Coefficients& out) const noexcept {
    this->kernel.steps.statistics_of(tile.groups, moments, this->cut.view().count(), eps, out.statistics());
    this->scale(tile, out);
  }
  void commit(const Tile& tile, Partial moments, const Coefficients& c) const noexcept {
    keep(tile, c, saved);
    move_running(this->kernel.steps, tile.first, tile.groups, moments, this->cut.view().count(), running);
  }
};

/// The same of x = first + second, which is written on the way.
template <Stored S>
struct NormalizeSum : NormalizeByBatch<S> {
  using typename NormalizeByBatch<S>::Partial;
  using typename NormalizeByBatch<S>::Coefficients;

  const S *first, *second;
  S* sum;

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    const Index offset = tile.offset + at.offset;
    this->kernel.add[this->cut.walk()](at.block, first + offset, second + offset, sum + offset);
    NormalizeByBatch<S>::reduce(tile, at, into);
  }
  /// Nothing is asked for ahead of time: what is read next is not the sum.
  void map(const Tile& tile, const TileBlock& at, const Coefficients& c, Index) const noexcept {
    NormalizeByBatch<S>::map(tile, at, c, 0);
  }
};

template <Scalar T, class Given>
void statistics_from(const Steps<T>& steps, Index groups, const Given* mean, const Given* var, double eps,
                     const Statistics<T>& out) noexcept {
  if constexpr (std::is_same_v<Given, T>)
    steps.statistics_from(groups, mean, var, eps, out);
  else
    steps.statistics_from_wide(groups, mean, var, eps, out);
}

/// y from a mean and a variance that are given: running statistics (of T) or those of the core header (double).
template <Stored S, class Given, class Y = S*>
struct NormalizeByGiven : NormalizeMap<S, const S*, Y> {
  using typename NormalizeMap<S, const S*, Y>::Coefficients;

  double eps;
  const Given *mean, *var;

  void coefficients(const Tile& tile, Coefficients& out) const noexcept {
    statistics_from(this->kernel.steps, tile.groups, mean + tile.first, var + tile.first, eps, out.statistics());
    this->scale(tile, out);
  }
};

/// What is measured, and by which kernels.
template <Stored S>
struct Measured {
  using T = Arithmetic<S>;
  const Kernels<S>& kernel;
  const S* x;
};

/// The moments of each group, and no output: sink(tile, moments).
template <Stored S, class Sink>
struct MeasureMoments : FromMoments<Measured<S>> {
  using typename FromMoments<Measured<S>>::Partial;
  struct Coefficients {};

  Sink sink;

  void coefficients(const Tile&, Partial, Coefficients&) const noexcept {}
  void commit(const Tile& tile, Partial moments, const Coefficients&) const noexcept { sink(tile, moments); }
};

}  // namespace normkit::detail
