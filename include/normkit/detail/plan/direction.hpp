#pragma once

#include <normkit/detail/plan/run.hpp>

namespace normkit::detail {

/// Sums in a direction are as many as 7 for each group: tiles of fewer groups keep them small on the stack, 14 kB.
inline constexpr Index direction_groups = 128;

template <Scalar T>
struct PartialStore<DirectionSums<T>> {
  Wide<T> sums[DirectionSums<T>::kinds * direction_groups];

  DirectionSums<T> view() noexcept { return {sums, direction_groups}; }

  static constexpr std::size_t bytes(Index groups) noexcept {
    return aligned(static_cast<std::size_t>(groups * DirectionSums<T>::kinds) * sizeof(Wide<T>));
  }
  static DirectionSums<T> in(std::byte* memory, Index groups) noexcept {
    return {reinterpret_cast<Wide<T>*>(memory), groups};
  }
};

/// A forward in the direction (v, direction), and the gradients of its backward (docs/derivations.md, "In a direction").
template <Stored S>
struct DirectionCall {
  using T = Arithmetic<S>;
  StatView view;  // of the statistics, without channels
  About about;
  bool given;  // statistics that do not depend on x
  SavedStatistics<T> saved;
  Affine<T> affine, direction;
  const S *x, *v, *dy;       // dy null: the forward alone
  S *y_v, *x_grad;           // the derivative of y, which is the gradient of dy; the gradient of x
  T* weight_grad = nullptr;  // added to; null where not asked for

  scalar::DirectionBlock<S> block(const TileBlock& at, Index offset, SavedStatistics<T> statistics,
                                  Index parameter) const noexcept {
    const auto from = [&](const T* p) { return p ? p + parameter : nullptr; };
    return {at.block,
            statistics,
            x + offset,
            v + offset,
            dy ? dy + offset : nullptr,
            from(affine.weight),
            from(direction.weight),
            from(direction.bias),
            affine.by_element,
            affine.zero_centred};
  }
};

/// Everything of each group; `kept` instead of the outputs, where it is not null.
template <Stored S>
struct MapDirections {
  using T = Arithmetic<S>;
  using Partial = DirectionSums<T>;
  struct Coefficients {
    DirectionMeans means[direction_groups];
  };

  const Plan& plan;
  const DirectionCall<S>& call;
  DirectionMeans* kept;
  static constexpr Output output = Output::cached;

  scalar::DirectionBlock<S> block(const Tile& tile, const TileBlock& at) const noexcept {
    return call.block(at, tile.offset + at.offset, call.saved.from(tile.first),
                      call.affine.by_element ? at.element : tile.first);
  }
  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    scalar::sum_directions(block(tile, at), into);
  }
  void merge(Index groups, Partial into, Index, Partial other, Index) const noexcept {
    scalar::merge_directions(groups, Partial::kinds, into, other);
  }
  void coefficients(const Tile& tile, Partial sums, Coefficients& out) const noexcept {
    scalar::direction_means(tile.groups, sums, plan.view().count(), call.given, call.about == About::mean, out.means);
  }
  void commit(const Tile& tile, Partial, const Coefficients& c) const noexcept {
    if (kept)
      std::copy_n(c.means, tile.groups, kept + tile.first);
    else if (call.weight_grad && !call.affine.by_element)
      scalar::add_joint(tile.groups, c.means, plan.view().count(), call.saved.from(tile.first),
                        call.weight_grad + tile.first);
  }
  void map(const Tile& tile, const TileBlock& at, const Coefficients& c, Index) const noexcept {
    const Index offset = tile.offset + at.offset;
    if (!kept)
      scalar::map_directions(block(tile, at), c.means, call.given, call.y_v + offset,
                             call.dy ? call.x_grad + offset : nullptr);
  }
};

/// The gradient of a weight by element, on the dual view, from the means that were kept.
template <Stored S>
struct SumDirections {
  using T = Arithmetic<S>;
  using Partial = DirectionSums<T>;
  struct Coefficients {};

  const DirectionCall<S>& call;
  const DirectionMeans* kept;

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    scalar::sum_joint(call.block(at, tile.offset + at.offset, call.saved.from(at.element), 0), kept + at.element,
                      into.sums);
  }
  void merge(Index groups, Partial into, Index, Partial other, Index) const noexcept {
    scalar::merge_directions(groups, 1, into, other);
  }
  void coefficients(const Tile&, Partial, Coefficients&) const noexcept {}
  void commit(const Tile& tile, Partial sums, const Coefficients&) const noexcept {
    scalar::add_sums(tile.groups, sums.sums, call.weight_grad + tile.first);
  }
};

inline Plan direction_plan(const StatView& view) noexcept { return Plan(view, 1, direction_groups); }

/// The memory that `differentiate_in_direction` needs.
template <Stored S>
std::size_t direction_bytes(const StatView& view, bool by_element) noexcept {
  const std::size_t sums = chunk_bytes<MapDirections<S>>(direction_plan(view));
  if (!by_element) return sums;
  const std::size_t dual = chunk_bytes<SumDirections<S>>(direction_plan(view.dual()));
  return std::max(sums, dual) + static_cast<std::size_t>(view.stats()) * sizeof(DirectionMeans);
}

/// The outputs may lie over x, v and dy: a weight by element, which needs these of all groups, comes before them.
template <Stored S>
void differentiate_in_direction(const Executor& execute, const DirectionCall<S>& call, std::byte* memory) noexcept {
  const Plan plan = direction_plan(call.view);
  if (call.weight_grad && call.affine.by_element) {
    auto* const kept = reinterpret_cast<DirectionMeans*>(memory);
    std::byte* const rest = memory + static_cast<std::size_t>(call.view.stats()) * sizeof(DirectionMeans);
    reduce_and_map(plan, MapDirections<S>{plan, call, kept}, execute, rest);
    const Plan dual = direction_plan(call.view.dual());
    reduce_and_map(dual, SumDirections<S>{call, kept}, execute, rest);
  }
  reduce_and_map(plan, MapDirections<S>{plan, call, nullptr}, execute, memory);
}

}  // namespace normkit::detail
