#pragma once

#include <normkit/detail/kernel/kernels.hpp>
#include <normkit/detail/plan/reduce.hpp>

namespace normkit::detail {

/// Weight and bias of a layer, null where absent: by group (BatchNorm) or by element of the group (LayerNorm).
template <Scalar T>
struct Affine {
  const T* weight = nullptr;
  const T* bias = nullptr;
  bool by_element = false;
};

/// What normalizing needs of the groups of one tile, on the stack.
template <Scalar T>
struct NormalizeCoefficients {
  T mean[max_groups], mean_lo[max_groups], scale[max_groups], shift[max_groups];
  double rstd[max_groups];
};

/// The part that all ways of normalizing share: from statistics to terms, and the map.
template <Scalar T>
struct NormalizeMap {
  using Coefficients = NormalizeCoefficients<T>;

  const Kernels<T>& kernel;
  const Plan& plan;
  Affine<T> affine;
  const T* x;
  T* y;

  void scale(const Tile& tile, const double* rstd, Coefficients& out) const noexcept {
    const bool by_group = !affine.by_element;
    scalar::scale_of(tile.groups, rstd, by_group && affine.weight ? affine.weight + tile.first : nullptr, out.scale);
    for (Index g = 0; g < tile.groups; ++g) out.shift[g] = by_group && affine.bias ? affine.bias[tile.first + g] : T(0);
  }

  void map(const Tile& tile, const TileBlock& at, const Coefficients& c) const noexcept {
    const T* const weight = affine.by_element && affine.weight ? affine.weight + at.element : nullptr;
    const T* const bias = affine.by_element && affine.bias ? affine.bias + at.element : nullptr;
    const Index offset = tile.offset + at.offset;
    kernel.normalize[plan.walk()][(weight ? 1 : 0) + (bias ? 2 : 0)](
        at.block, x + offset, {c.mean, c.mean_lo, c.scale, c.shift, weight, bias}, y + offset);
  }
};

/// Where the statistics of a forward go, null where nobody keeps them.
template <Scalar T>
struct StatisticsSink {
  T* mean = nullptr;
  T* mean_lo = nullptr;
  double* rstd = nullptr;

  void keep(const Tile& tile, const NormalizeCoefficients<T>& c) const noexcept {
    if (!mean) return;
    for (Index g = 0; g < tile.groups; ++g) {
      mean[tile.first + g] = c.mean[g];
      mean_lo[tile.first + g] = c.mean_lo[g];
      rstd[tile.first + g] = c.rstd[g];
    }
  }
};

/// Running statistics to move, null where none: running = (1 - momentum) * running + momentum * batch.
template <Scalar T>
struct RunningSink {
  T* mean = nullptr;
  T* var = nullptr;
  double momentum = 0.0;
};

/// y from the statistics of x itself.
template <Scalar T>
struct NormalizeByBatch : NormalizeMap<T> {
  using Partial = Moments<T>;
  using typename NormalizeMap<T>::Coefficients;

  double eps;
  StatisticsSink<T> saved;
  RunningSink<T> running;

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    this->kernel.moments[this->plan.walk()](at.block, this->x + tile.offset + at.offset, into);
    scalar::centre_moments(tile.groups, into, at.block.elements());
  }
  void merge(Index groups, Partial into, Index count, Partial other, Index more) const noexcept {
    scalar::merge_moments(groups, into, count, other, more);
  }
  void coefficients(const Tile& tile, Partial moments, Coefficients& out) const noexcept {
    scalar::statistics_of(tile.groups, moments, this->plan.view().count(), eps, {out.mean, out.mean_lo, out.rstd});
    this->scale(tile, out.rstd, out);
  }
  void commit(const Tile& tile, Partial moments, const Coefficients& c) const noexcept {
    saved.keep(tile, c);
    if (running.mean)
      scalar::update_running(tile.groups, moments, this->plan.view().count(), running.momentum,
                             running.mean + tile.first, running.var + tile.first);
  }
};

/// y from a mean and a variance that are given: running statistics (of T) or those of the core header (double).
template <Scalar T, class Given>
struct NormalizeByGiven : NormalizeMap<T> {
  using typename NormalizeMap<T>::Coefficients;

  double eps;
  const Given *mean, *var;

  void coefficients(const Tile& tile, Coefficients& out) const noexcept {
    const Statistics<T> statistics{out.mean, out.mean_lo, out.rstd};
    scalar::statistics_from(tile.groups, mean + tile.first, var + tile.first, eps, statistics);
    this->scale(tile, out.rstd, out);
  }
};

/// Mean and biased variance of each group, as numbers of type Result.
template <Scalar T, class Result>
struct MeasureMoments {
  using Partial = Moments<T>;
  struct Coefficients {};

  const Kernels<T>& kernel;
  const Plan& plan;
  const T* x;
  Result *mean, *var;

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    kernel.moments[plan.walk()](at.block, x + tile.offset + at.offset, into);
    scalar::centre_moments(tile.groups, into, at.block.elements());
  }
  void merge(Index groups, Partial into, Index count, Partial other, Index more) const noexcept {
    scalar::merge_moments(groups, into, count, other, more);
  }
  void coefficients(const Tile&, Partial, Coefficients&) const noexcept {}
  void commit(const Tile& tile, Partial moments, const Coefficients&) const noexcept {
    scalar::mean_and_variance(tile.groups, moments, plan.view().count(), mean + tile.first, var + tile.first);
  }
};

}  // namespace normkit::detail
