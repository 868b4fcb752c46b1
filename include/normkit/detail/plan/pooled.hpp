#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <normkit/detail/plan/backward.hpp>

// The operations of norms whose groups share statistics and take their parameters by channel: GroupNorm and InstanceNorm.
namespace normkit::detail {

/// y from the statistics of each pool of x. Where `measured` is not null, it gets the moments of every group.
template <Stored S>
struct NormalizeByPool : NormalizeByBatch<S> {
  using typename NormalizeByBatch<S>::T;
  Moments<T> measured;

  void prepare(const Tile& tile, Moments<T> moments) const noexcept {
    if (measured.pivot) copy(tile.groups, moments, measured.from(tile.first));
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
    T weight[max_groups], power[max_groups];  // the channel's weight as weight * power
    scalar::CarefulMeans<T> kept[max_groups];
    bool careful[max_groups], any_careful;
  };

  Affine<T> affine;
  S* dx;
  Partial summed;
  Output output = output_for(this->plan, this->dy, dx, this->x);

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    this->reduce_about(SumKind::plain, tile, at, this->saved.from(tile.first), nullptr, nullptr, false, into);
  }
  void prepare(const Tile& tile, Partial sums) const noexcept {
    if (summed.dy) {
      copy(tile.groups, sums, summed.from(tile.first));
      this->kernel.steps.scale_sums(tile.groups, summed.from(tile.first), this->saved.rstd + tile.first);
    }
    const TileParameter<T> weight(affine, affine.weight, this->plan.view(), tile);
    if (weight) this->kernel.steps.weigh_sums(tile.groups, sums, weight);
  }
  /// In the kernel dy is multiplied with the digits of the weight alone, so that no product leaves the range that dy is in; the
  /// means are divided by its power of two, and the scale has it.
  void coefficients(const Tile& tile, Partial sums, Coefficients& out) const noexcept {
    const Steps<T>& steps = this->kernel.steps;
    const SavedStatistics<T> statistics = this->saved.from(tile.first);
    PartialStore<Partial> store;
    const TileParameter<T> weight(affine, affine.weight, this->plan.view(), tile);
    const Partial own = weight ? store.view() : sums;
    if (weight) {
      T inverse[max_groups];
      copy(tile.groups, sums, own);
      for (Index g = 0; g < tile.groups; ++g) split(weight[g], out.weight[g], out.power[g], inverse[g]);
      steps.weigh_sums(tile.groups, own, inverse);
    }
    out.any_careful =
        steps.scale_of(tile.groups, statistics, weight ? out.power : nullptr, nullptr, out.scale, out.careful);
    out.any_careful |= steps.gradient_means(tile.groups, own, this->plan.view().pool_count(), statistics, out.mean_dy,
                                            out.slope, out.kept, out.careful);
  }
  void commit(const Tile&, Partial, const Coefficients&) const noexcept {}
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
  /// weight as digits * power, with digits in [1, 2) where both are ordinary numbers.
  static void split(T weight, T& digits, T& power, T& inverse) noexcept {
    constexpr int most = std::numeric_limits<T>::max_exponent - 2;
    const int exponent = weight == T(0) || !std::isfinite(weight) ? 0 : std::clamp(std::ilogb(weight), -most, most);
    power = std::ldexp(T(1), exponent);
    inverse = std::ldexp(T(1), -exponent);
    digits = weight * inverse;
  }
};

}  // namespace normkit::detail
