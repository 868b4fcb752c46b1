#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <normkit/detail/plan/backward.hpp>

// The operations of norms whose groups share statistics and take their parameters by channel: GroupNorm and InstanceNorm.
namespace normkit::detail {

/// y from the statistics of each pool of x. Where `measured` is not null, it gets the moments of every group, each of which is
/// then a pool.
template <Stored S>
struct NormalizeByPool : NormalizeMap<S> {
  using typename NormalizeMap<S>::T;
  using typename NormalizeMap<S>::Coefficients;
  using Partial = Moments<T>;
  struct Shared {
    T mean[max_groups], mean_lo[max_groups];
    double rstd[max_groups];
    int exponent[max_groups];
  };

  const Plan& members;
  Walk walk;  // in which moments are taken
  About about;
  double eps;
  Statistics<T> saved;
  Moments<T> measured;

  const Plan& groups() const noexcept { return members; }
  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    this->kernel.moments[static_cast<int>(about)][walk](at.block, this->x + tile.offset + at.offset, into);
  }
  void merge(Index groups, Partial into, Index count, Partial other, Index more) const noexcept {
    this->kernel.steps.merge_moments(groups, into, count, other, more);
  }
  void prepare(const Tile&, Partial) const noexcept {}
  void share(const PoolSet& set, Partial moments, Shared& out) const noexcept {
    if (measured.pivot) copy(set.pools(), moments, measured.from(set.base));
    this->kernel.steps.statistics_of(set.pools(), moments, members.view().pool_count(), eps,
                                     {out.mean, out.mean_lo, out.rstd, out.exponent});
  }
  void coefficients(const Tile& tile, const Members& of, const Shared& shared, Coefficients& out) const noexcept {
    of.spread(tile.groups, shared.mean, out.mean);
    of.spread(tile.groups, shared.mean_lo, out.mean_lo);
    of.spread(tile.groups, shared.rstd, out.rstd);
    of.spread(tile.groups, shared.exponent, out.exponent);
    this->scale(tile, out);
    keep(tile, out, saved);
  }
};

/// The gradient of the input where the statistics were those of pools. With d = dy * weight, means over the pool:
///   dx = rstd * (d - mean(d) - xhat * mean(d * xhat))
/// Where `summed` is not null, it gets the sums of dy and dy * xhat over every group.
template <Stored S>
struct GradientByPool : SumsOfGradient<S> {
  using typename SumsOfGradient<S>::T;
  using typename SumsOfGradient<S>::Partial;
  struct Coefficients {
    T mean_dy[max_groups], slope[max_groups], scale[max_groups];
    T weight[max_groups], power[max_groups];  // where any is careful, the channel's weight is weight * power
    scalar::CarefulMeans<T> kept[max_groups];
    bool careful[max_groups], any_careful;
  };
  struct Shared {
    Partial sums;
    T mean_dy[max_groups], slope[max_groups], scale[max_groups];
    scalar::CarefulMeans<T> kept[max_groups];
    bool careful[max_groups], any_careful;
  };

  Affine<T> affine;
  S* dx;
  Partial summed;
  Output output = output_for(this->plan, this->dy, dx, this->x);

  const Plan& groups() const noexcept { return this->plan; }
  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    this->reduce_about(SumKind::plain, tile, at, this->saved.from(tile.first), nullptr, nullptr, false, into);
  }
  void merge_neighbours(Index groups, Index each, Partial from, Partial into) const noexcept {
    this->kernel.steps.merge_neighbours(groups, each, from, into);
  }
  void prepare(const Tile& tile, Partial sums) const noexcept {
    if (summed.dy) {
      copy(tile.groups, sums, summed.from(tile.first));
      this->kernel.steps.scale_sums(tile.groups, summed.from(tile.first), this->saved.rstd + tile.first);
    }
    const TileParameter<T> weight(affine, affine.weight, this->plan.view(), tile);
    if (weight) this->kernel.steps.weigh_sums(tile.groups, sums, weight);
  }
  void share(const PoolSet& set, Partial sums, Shared& out) const noexcept {
    T mean[max_groups];
    double rstd[max_groups];
    int exponent[max_groups];
    const Index pools = set.pools(), unit = pool_unit(this->plan.view().channels);
    for (Index p = 0; p < pools; ++p) {
      const Index group = set.base + p / set.width * unit + p % set.width;
      mean[p] = this->saved.mean[group];
      rstd[p] = this->saved.rstd[group];
      exponent[p] = this->saved.exponent[group];
    }
    out.sums = sums;
    take_means(pools, sums, {mean, nullptr, rstd, exponent}, nullptr, out);
  }
  void coefficients(const Tile& tile, const Members& of, const Shared& shared, Coefficients& out) const noexcept {
    const TileParameter<T> weight(affine, affine.weight, this->plan.view(), tile);
    bool all_tame = !shared.any_careful;
    if (weight)
      for (Index g = 0; g < tile.groups; ++g) {
        out.weight[g] = weight[g];
        all_tame &= is_tame(weight[g]);
      }
    out.any_careful = !all_tame;
    if (!all_tame) return careful_coefficients(tile, of, shared, weight, out);
    of.spread(tile.groups, shared.mean_dy, out.mean_dy);
    of.spread(tile.groups, shared.slope, out.slope);
    of.spread(tile.groups, shared.scale, out.scale);
  }
  void map(const Tile& tile, const TileBlock& at, const Coefficients& c, Index ahead) const noexcept {
    if (!dx) return;
    const Index offset = tile.offset + at.offset;
    const SavedStatistics<T> statistics = this->saved.from(tile.first);
    const T* const weight = affine.weight ? c.weight : nullptr;
    auto* const gradient = gradient_kernel(this->kernel, this->plan.walk(), output, this->dy,
                                           weight ? WeightBy::group : WeightBy::none, false);
    const auto some = [&](Index from, Index count) noexcept {
      const Index start = offset + from * at.block.group_stride;
      gradient(at.block.some(count), this->x + start, this->dy + start, nullptr,
               {statistics.mean + from, statistics.mean_lo + from, c.mean_dy + from, c.slope + from, c.scale + from,
                weight ? weight + from : nullptr, ahead},
               dx + start);
    };
    if (!c.any_careful) return some(0, tile.groups);
    in_parts(c.careful, tile.groups, some, [&](Index g) noexcept {
      scalar::input_gradient_carefully<S>(
          at.block, g, this->x + offset, this->dy + offset, static_cast<const S*>(nullptr), statistics.from(g),
          c.kept[g], {weight ? weight + g : nullptr, WeightBy::group, weight ? c.power + g : nullptr}, dx + offset);
    });
  }

 private:
  /// Whether the weight takes no ordinary number out of the range of T.
  static bool is_tame(T weight) noexcept {
    const T size = std::abs(weight);
    return (size >= T(0x1p-16) && size <= T(0x1p16)) || size == T(0);
  }
  template <class Out>
  void take_means(Index groups, Partial sums, SavedStatistics<T> statistics, const T* power, Out& out) const noexcept {
    const Steps<T>& steps = this->kernel.steps;
    out.any_careful = steps.scale_of(groups, statistics, power, nullptr, out.scale, out.careful);
    out.any_careful |= steps.gradient_means(groups, sums, this->plan.view().pool_count(), statistics, out.mean_dy,
                                            out.slope, out.kept, out.careful);
  }
  /// Where some are not: in the kernel dy is multiplied with the digits of the weight alone, so that no product leaves the
  /// range that dy is in; the means are divided by its power of two, and the scale has it.
  void careful_coefficients(const Tile& tile, const Members& of, const Shared& shared, bool weighted,
                            Coefficients& out) const noexcept {
    PartialStore<Partial> store;
    const Partial own = store.view();
    of.spread(tile.groups, shared.sums.dy, own.dy);
    of.spread(tile.groups, shared.sums.dy_x, own.dy_x);
    of.spread(tile.groups, shared.sums.dy_exponent, own.dy_exponent);
    of.spread(tile.groups, shared.sums.dy_x_exponent, own.dy_x_exponent);
    if (weighted) {
      T inverse[max_groups];
      for (Index g = 0; g < tile.groups; ++g) split(out.weight[g], out.power[g], inverse[g]);
      this->kernel.steps.weigh_sums(tile.groups, own, inverse);
    }
    take_means(tile.groups, own, this->saved.from(tile.first), weighted ? out.power : nullptr, out);
  }
  /// weight becomes its digits, in [1, 2) where it is an ordinary number.
  static void split(T& weight, T& power, T& inverse) noexcept {
    constexpr int most = std::numeric_limits<T>::max_exponent - 2;
    const int exponent = weight == T(0) || !std::isfinite(weight) ? 0 : std::clamp(std::ilogb(weight), -most, most);
    power = std::ldexp(T(1), exponent);
    inverse = std::ldexp(T(1), -exponent);
    weight *= inverse;
  }
};

}  // namespace normkit::detail
