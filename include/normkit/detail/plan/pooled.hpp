#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include <normkit/detail/plan/backward.hpp>

// The operations of norms whose groups share statistics and take their parameters by channel: GroupNorm and InstanceNorm.
namespace normkit::detail {

/// y from the statistics of each pool of x. Where `measured` is not null, it gets the moments of every group, each of which is
/// then a pool.
template <Stored S>
struct NormalizeByPool : FromMoments<NormalizeMap<S>> {
  using typename FromMoments<NormalizeMap<S>>::T;
  using typename FromMoments<NormalizeMap<S>>::Coefficients;
  using typename FromMoments<NormalizeMap<S>>::Partial;
  struct Shared {
    T mean[max_groups], mean_lo[max_groups];
    double rstd[max_groups];
    int exponent[max_groups];
  };

  const Plan& members;
  double eps;
  Statistics<T> saved;
  Moments<T> measured;

  const Plan& groups() const noexcept { return members; }
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

/// The weights of channels as digits * power, with digits in [1, 2) where both are ordinary numbers; null where there are
/// none. Dy is multiplied with the digits alone, so that no product leaves the range that dy is in; means over a pool are
/// multiplied with 1 / power, and the scale with power.
template <Scalar T>
struct SplitWeights {
  const T *digits = nullptr, *power = nullptr, *inverse = nullptr;
  bool are_tame = true;  // no number far inside the range of T leaves it with some power

  static constexpr std::size_t bytes(Index channels) noexcept {
    return aligned(static_cast<std::size_t>(channels) * 3 * sizeof(T));
  }
  static SplitWeights in(std::byte* memory, Index channels, const T* weight) noexcept {
    if (!weight) return {};
    auto* const digits = reinterpret_cast<T*>(memory);
    T *const power = digits + channels, *const inverse = power + channels;
    bool are_tame = true;
    for (Index c = 0; c < channels; ++c) are_tame &= split(weight[c], digits[c], power[c], inverse[c]);
    return {digits, power, inverse, are_tame};
  }

 private:
  /// Returns whether power is tame. From the bits: std::ilogb and std::ldexp took a fifth of the time for a channel of 7x7.
  static bool split(T weight, T& digits, T& power, T& inverse) noexcept {
    using Bits = std::conditional_t<std::is_same_v<T, float>, std::uint32_t, std::uint64_t>;
    constexpr int places = std::numeric_limits<T>::digits - 1, most = std::numeric_limits<T>::max_exponent;
    constexpr Bits bias = most - 1, endless = 2 * bias + 1, tame = most - 4 - scalar::most_exponent<T>;
    const Bits own = std::bit_cast<Bits>(weight) >> places & endless;
    const Bits exponent = weight == T(0) || own == endless ? bias : std::clamp(own, Bits(1), 2 * bias - 1);
    power = std::bit_cast<T>(exponent << places);
    inverse = std::bit_cast<T>((2 * bias - exponent) << places);
    digits = weight * inverse;
    return exponent - (bias - tame) <= 2 * tame;
  }
};

/// The gradient of the input where the statistics were those of pools. With d = dy * weight, means over the pool:
///   dx = rstd * (d - mean(d) - xhat * mean(d * xhat))
/// Where `summed` is not null, it gets the sums of dy and dy * xhat over every group.
template <Stored S>
struct GradientByPool : GradientMap<S> {
  using typename GradientMap<S>::T;
  using typename GradientMap<S>::Partial;
  struct Coefficients : GradientCoefficients<T> {
    const T *digits, *power, *inverse;  // of each group
    T digits_room[max_groups], power_room[max_groups], inverse_room[max_groups];
  };
  struct Shared : GradientCoefficients<T> {
    Partial sums;
  };

  const Plan& members;
  Affine<T> affine;
  SplitWeights<T> weights;
  Partial summed;

  const Plan& groups() const noexcept { return members; }
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
    const TileParameter<T> weight(affine, affine.weight, members.view(), tile);
    if (weight) this->kernel.steps.weigh_sums(tile.groups, sums, weight);
  }
  void share(const PoolSet& set, Partial sums, Shared& out) const noexcept {
    T mean[max_groups];
    double rstd[max_groups];
    int exponent[max_groups];
    const Index pools = set.pools(), unit = pool_unit(members.view().channels);
    for (Index p = 0; p < pools; ++p) {
      const Index group = set.base + p / set.width * unit + p % set.width;
      mean[p] = this->saved.mean[group];
      rstd[p] = this->saved.rstd[group];
      exponent[p] = this->saved.exponent[group];
    }
    out.sums = sums;
    take_pool_means(pools, sums, {mean, mean, rstd, exponent}, nullptr, out);  // mean_lo is not read
  }
  void coefficients(const Tile& tile, const Members& of, const Shared& shared, Coefficients& out) const noexcept {
    const auto of_tile = [&](const T* of_channels, T* room) noexcept {
      return of_channels ? members.view().channels.of(of_channels, tile.first, tile.groups, room) : nullptr;
    };
    out.digits = of_tile(weights.digits, out.digits_room);
    out.power = of_tile(weights.power, out.power_room);
    out.inverse = of_tile(weights.inverse, out.inverse_room);
    if (shared.any_careful || !weights.are_tame) return careful_coefficients(tile, of, shared, out);
    out.any_careful = false;
    of.spread(tile.groups, shared.mean_dy, out.mean_dy);
    of.spread(tile.groups, shared.slope, out.slope);
    of.spread(tile.groups, shared.scale, out.scale);
    if (!weights.digits) return;
    for (Index g = 0; g < tile.groups; ++g) {  // exact, as the numbers are ordinary and the weights tame
      out.mean_dy[g] *= out.inverse[g];
      out.slope[g] *= out.inverse[g];
      out.scale[g] *= out.power[g];
    }
  }
  void map(const Tile& tile, const TileBlock& at, const Coefficients& c, Index ahead) const noexcept {
    if (!this->dx) return;
    this->map_block(tile, at, c, {c.digits, WeightBy::group, c.power}, ahead);
  }

 private:
  void take_pool_means(Index groups, Partial sums, SavedStatistics<T> statistics, const T* power,
                       GradientCoefficients<T>& out) const noexcept {
    this->take_means(groups, sums, members.view().pool_count(), statistics, power, out);
  }
  /// The same where some pool is to be done carefully, or some weight is not tame: group by group.
  void careful_coefficients(const Tile& tile, const Members& of, const Shared& shared,
                            Coefficients& out) const noexcept {
    PartialStore<Partial> store;
    const Partial own = store.view();
    of.spread(tile.groups, shared.sums.dy, own.dy);
    of.spread(tile.groups, shared.sums.dy_x, own.dy_x);
    of.spread(tile.groups, shared.sums.dy_exponent, own.dy_exponent);
    of.spread(tile.groups, shared.sums.dy_x_exponent, own.dy_x_exponent);
    if (out.inverse) this->kernel.steps.weigh_sums(tile.groups, own, out.inverse);
    take_pool_means(tile.groups, own, this->saved.from(tile.first), out.power, out);
  }
};

}  // namespace normkit::detail
