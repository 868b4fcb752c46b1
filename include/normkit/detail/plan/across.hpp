#pragma once

#include <normkit/detail/plan/run.hpp>

// The halves of forward and backward, for a batch that is in several parts: what each part is reduced to, and the map from what all
// parts have been merged to. Of views without channels. The bits are those of the whole, if there is one part.
namespace normkit::detail {

/// The moments of each group. `memory` as forward_by_batch's.
template <Stored S>
void keep_moments(const Executor& execute, const StatView& view, const S* x, Moments<Arithmetic<S>> out,
                  std::byte* memory) noexcept {
  const auto sink = [&](const Tile& tile, Moments<Arithmetic<S>> moments) noexcept {
    copy(tile.groups, moments, out.from(tile.first));
  };
  reduce_moments(execute, view, x, sink, memory);
}

/// y from statistics that a forward has kept.
template <Stored S>
struct NormalizeBySaved : NormalizeMap<S> {
  using typename NormalizeMap<S>::T;
  using typename NormalizeMap<S>::Coefficients;

  SavedStatistics<T> saved;

  void coefficients(const Tile& tile, Coefficients& out) const noexcept {
    const SavedStatistics<T> from = saved.from(tile.first);
    for (Index g = 0; g < tile.groups; ++g) {
      out.mean[g] = from.mean[g];
      out.mean_lo[g] = from.mean_lo[g];
      out.rstd[g] = from.rstd[g];
      out.exponent[g] = from.exponent[g];
    }
    this->scale(tile, out);
  }
};

template <Stored S>
void forward_by_saved(const Executor& execute, const StatView& view, const Affine<Arithmetic<S>>& affine,
                      SavedStatistics<Arithmetic<S>> saved, const S* x, S* y) noexcept {
  const Pieces pieces(view, execute.threads());
  map_only(pieces, NormalizeBySaved<S>{{kernels<S>(), pieces, affine, x, y}, saved}, execute);
}

/// The sums of a gradient over each group.
template <Stored S>
struct KeepSums : GradientOfParameters<S> {
  using typename GradientOfParameters<S>::Partial;
  using typename GradientOfParameters<S>::Coefficients;

  Partial out;

  void commit(const Tile& tile, Partial sums, const Coefficients&) const noexcept {
    copy(tile.groups, sums, out.from(tile.first));
  }
};

/// `memory` as backward_by_batch's.
template <Stored S>
void keep_sums(const Executor& execute, const BackwardCall<S>& call, GradientSums<Arithmetic<S>> out,
               std::byte* memory) noexcept {
  const Plan plan(call.view);
  reduce_and_map(plan, KeepSums<S>{{{kernels<S>(), plan, call.saved, call.x, call.dy}, {}}, out}, execute, memory);
}

/// dx from sums over groups of `count` elements, of which these are a part.
template <Stored S>
struct GradientBySums : GradientMap<S> {
  using typename GradientMap<S>::T;
  using Coefficients = GradientCoefficients<T>;

  Affine<T> affine;
  GradientSums<T> sums;
  Index count;

  void coefficients(const Tile& tile, Coefficients& out) const noexcept {
    this->take_means(tile.groups, sums.from(tile.first), count, this->saved.from(tile.first),
                     affine.weight_at(tile.first), out);
  }
  void map(const Tile& tile, const TileBlock& at, const Coefficients& c, Index ahead) const noexcept {
    this->map_block(tile, at, c, {nullptr, WeightBy::element, affine.weight_at(tile.first)}, ahead);
  }
};

template <Stored S>
void backward_by_sums(const Executor& execute, const BackwardCall<S>& call, GradientSums<Arithmetic<S>> sums,
                      Index count) noexcept {
  const Pieces pieces(call.view, execute.threads());
  map_only(pieces,
           GradientBySums<S>{{{kernels<S>(), pieces, call.saved, call.x, call.dy}, call.dx}, call.affine, sums, count},
           execute);
}

}  // namespace normkit::detail
