#pragma once

#include <normkit/detail/plan/forward.hpp>

namespace normkit::detail {

/// Gradients of weight and bias to add to, null where not asked for.
template <Scalar T>
struct ParameterSink {
  T* weight = nullptr;
  T* bias = nullptr;

  explicit operator bool() const noexcept { return weight || bias; }
};

/// The kernels of gradients: of a pointer to dy, or with a ReLU of Masked dy, with no weight by element and nothing added.
template <Stored S>
auto* sums_kernel(const Kernels<S>& kernel, Walk walk, SumKind kind, const S*) noexcept {
  return kernel.sums[walk][static_cast<int>(kind)];
}
template <Stored S>
auto* sums_kernel(const Kernels<S>&, Walk walk, SumKind, const Masked<S>&) noexcept {
  return relu_kernels<S>().sums[walk];
}
template <Stored S>
auto* gradient_kernel(const Kernels<S>& kernel, Walk walk, Output output, const S*, WeightBy by, bool adds) noexcept {
  return kernel.maps[output == Output::cached].gradient[walk][static_cast<int>(by)][adds ? 1 : 0];
}
template <Stored S>
auto* gradient_kernel(const Kernels<S>&, Walk walk, Output, const Masked<S>&, WeightBy, bool) noexcept {
  return relu_kernels<S>().gradient[walk];
}

/// The steps that all gradients share: sums of dy and dy * (x - mean) over groups. Up is a pointer, or Masked.
template <Stored S, class Up = const S*>
struct SumsOfGradient {
  using T = Arithmetic<S>;
  using Partial = GradientSums<T>;

  const Kernels<S>& kernel;
  const Cut& cut;
  SavedStatistics<T> saved;
  const S* x;
  Up dy;

  void merge(Index groups, Partial into, Index, Partial other, Index) const noexcept {
    kernel.steps.merge_sums(groups, into, other);
  }

 protected:
  /// Statistics from the one of the tile's first group, or on the dual view of the block's first element; `rstd` in T
  /// goes with the latter.
  void reduce_about(SumKind kind, const Tile& tile, const TileBlock& at, SavedStatistics<T> statistics, const T* rstd,
                    const T* weight, bool careful, Partial into) const noexcept {
    const Index offset = tile.offset + at.offset;
    sums_kernel(kernel, cut.walk(), kind, dy)(
        at.block, x + offset, dy + offset,
        {statistics, rstd, weight, careful, cut.view().size() > Plan::cached_elements}, into);
  }
};

/// What the gradient of the input needs of the groups of one tile, on the stack.
template <Scalar T>
struct GradientCoefficients {
  T mean_dy[max_groups], slope[max_groups], scale[max_groups];
  scalar::CarefulMeans<T> kept[max_groups];
  bool careful[max_groups], any_careful;
};

/// What all gradients of an input share that come from its own statistics. dx may be null, and so may what is added to it.
template <Stored S, class Up = const S*>
struct GradientMap : SumsOfGradient<S, Up> {
  using typename SumsOfGradient<S, Up>::T;
  using typename SumsOfGradient<S, Up>::Partial;

  S* dx;
  const S* added = nullptr;  // to dx
  Output output = output_for(this->cut, this->dy, dx, this->x, added);

 protected:
  /// From the sums over groups, or pools, of `count` elements each; the weight is the scale's.
  void take_means(Index groups, Partial sums, Index count, SavedStatistics<T> statistics, const T* weight,
                  GradientCoefficients<T>& out) const noexcept {
    const Steps<T>& steps = this->kernel.steps;
    out.any_careful = steps.scale_of(groups, statistics, weight, nullptr, out.scale, out.careful);
    out.any_careful |=
        steps.gradient_means(groups, sums, count, statistics, out.mean_dy, out.slope, out.kept, out.careful);
  }
  void map_block(const Tile& tile, const TileBlock& at, const GradientCoefficients<T>& c,
                 const scalar::CarefulWeight<T>& weight, Index ahead) const noexcept {
    const Index offset = tile.offset + at.offset;
    const SavedStatistics<T> statistics = this->saved.from(tile.first);
    auto* const gradient = gradient_kernel(this->kernel, this->cut.walk(), output, this->dy,
                                           weight.of_dy ? weight.by : WeightBy::none, added);
    const auto some = [&](Index from, Index count) noexcept {
      const Index start = offset + from * at.block.group_stride;
      gradient(at.block.some(count), this->x + start, this->dy + start, added ? added + start : nullptr,
               {statistics.mean + from, statistics.mean_lo + from, c.mean_dy + from, c.slope + from, c.scale + from,
                weight.from(from).of_dy, ahead, output == Output::streamed},
               dx + start);
    };
    if (!c.any_careful) return some(0, tile.groups);
    in_parts(c.careful, tile.groups, some, [&](Index g) noexcept {
      scalar::input_gradient_carefully<S>(at.block, g, this->x + offset, this->dy + offset,
                                          added ? added + offset : nullptr, statistics.from(g), c.kept[g],
                                          weight.from(g), dx + offset);
    });
  }
};

/// The gradient of the input where its own statistics were used, and those of parameters that go by group:
///   dx = rstd * weight * (dy - mean(dy) - xhat * mean(dy * xhat)),  dweight += sum(dy * xhat),  dbias += sum(dy)
/// A weight by element multiplies dy first.
template <Stored S, class Up = const S*>
struct GradientByBatch : GradientMap<S, Up> {
  using typename GradientMap<S, Up>::T;
  using typename GradientMap<S, Up>::Partial;
  using Coefficients = GradientCoefficients<T>;

  About about;
  Affine<T> affine;
  ParameterSink<T> by_group;

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    const BlockWeights<T> weight(this->kernel, affine, at);
    this->reduce_about(weight ? SumKind::weighted : SumKind::plain, tile, at, this->saved.from(tile.first), nullptr,
                       weight, false, into);
  }
  void coefficients(const Tile& tile, Partial sums, Coefficients& out) const noexcept {
    this->take_means(tile.groups, sums, this->cut.view().count(), this->saved.from(tile.first),
                     affine.by_element ? nullptr : affine.weight_at(tile.first), out);
    if (about == About::zero)  // no mean was subtracted, so none is missing
      for (Index g = 0; g < tile.groups; ++g) {
        out.mean_dy[g] = T(0);
        out.kept[g].dy = {};
      }
  }
  void commit(const Tile& tile, Partial sums, const Coefficients&) const noexcept {
    if (by_group)
      this->kernel.steps.add_gradients(tile.groups, sums, this->saved.rstd + tile.first,
                                       by_group.weight ? by_group.weight + tile.first : nullptr,
                                       by_group.bias ? by_group.bias + tile.first : nullptr);
  }
  void map(const Tile& tile, const TileBlock& at, const Coefficients& c, Index ahead) const noexcept {
    if (!this->dx) return;
    const BlockWeights<T> weights(this->kernel, affine, at);
    this->map_block(tile, at, c,
                    {weights, WeightBy::element, affine.by_element ? nullptr : affine.weight_at(tile.first)}, ahead);
  }
};

/// The gradients of parameters that go by group, from given statistics: dweight += sum(dy * xhat), dbias += sum(dy).
template <Stored S, class Up = const S*>
struct GradientOfParameters : SumsOfGradient<S, Up> {
  using typename SumsOfGradient<S, Up>::T;
  using typename SumsOfGradient<S, Up>::Partial;
  struct Coefficients {};

  ParameterSink<T> by_group;

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    this->reduce_about(SumKind::plain, tile, at, this->saved.from(tile.first), nullptr, nullptr, false, into);
  }
  void coefficients(const Tile&, Partial, Coefficients&) const noexcept {}
  void commit(const Tile& tile, Partial sums, const Coefficients&) const noexcept {
    this->kernel.steps.add_gradients(tile.groups, sums, this->saved.rstd + tile.first,
                                     by_group.weight ? by_group.weight + tile.first : nullptr,
                                     by_group.bias ? by_group.bias + tile.first : nullptr);
  }
};

/// The same for parameters that go by element of a group: sums over the dual view, whose groups are the parameters and
/// whose elements are the statistics.
template <Stored S>
struct GradientOfElements : SumsOfGradient<S> {
  using typename SumsOfGradient<S>::T;
  using typename SumsOfGradient<S>::Partial;
  struct Coefficients {};

  const T* rstd;  // rounded to T
  bool careful;   // some statistic is not to be used like that
  ParameterSink<T> by_element;

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    this->reduce_about(SumKind::dual, tile, at, this->saved.from(at.element), rstd + at.element, nullptr, careful,
                       into);
  }
  void coefficients(const Tile&, Partial, Coefficients&) const noexcept {}
  void commit(const Tile& tile, Partial sums, const Coefficients&) const noexcept {
    this->kernel.steps.add_gradients(tile.groups, sums, nullptr,
                                     by_element.weight ? by_element.weight + tile.first : nullptr,
                                     by_element.bias ? by_element.bias + tile.first : nullptr);
  }
};

/// The gradient of the input where the statistics were given: dx = dy * (rstd * weight), whatever x was.
template <Stored S, class Up = const S*>
struct GradientByGiven : NormalizeMap<S, Up> {
  using typename NormalizeMap<S, Up>::T;
  using typename NormalizeMap<S, Up>::Coefficients;

  SavedStatistics<T> saved;

  void coefficients(const Tile& tile, Coefficients& out) const noexcept {
    for (Index g = 0; g < tile.groups; ++g) {
      out.mean[g] = out.mean_lo[g] = T(0);
      out.rstd[g] = saved.rstd[tile.first + g];
      out.exponent[g] = saved.exponent[tile.first + g];
    }
    this->scale(tile, out);
  }
};

}  // namespace normkit::detail
