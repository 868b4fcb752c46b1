#pragma once

#include <normkit/detail/plan/forward.hpp>

namespace normkit::detail {

/// What a forward kept, for each group.
template <Scalar T>
struct SavedStatistics {
  const T *mean, *mean_lo;
  const double* rstd;
};

/// Gradients of weight and bias to add to, null where not asked for.
template <Scalar T>
struct ParameterSink {
  T* weight = nullptr;
  T* bias = nullptr;

  explicit operator bool() const noexcept { return weight || bias; }
};

/// The steps that all gradients share: sums of dy and dy * (x - mean) over groups.
template <Scalar T>
struct SumsOfGradient {
  using Partial = GradientSums<T>;

  const Kernels<T>& kernel;
  const Plan& plan;
  SavedStatistics<T> saved;
  const T *x, *dy;

  void merge(Index groups, Partial into, Index, Partial other, Index) const noexcept {
    scalar::merge_sums(groups, into, other);
  }

 protected:
  void reduce_about(SumKind kind, const Tile& tile, const TileBlock& at, const Centre<T>& centre,
                    Partial into) const noexcept {
    const Index offset = tile.offset + at.offset;
    kernel.sums[plan.walk()][static_cast<int>(kind)](at.block, x + offset, dy + offset, centre, into);
  }
};

/// The gradient of the input where its own statistics were used, and those of parameters that go by group:
///   dx = rstd * weight * (dy - mean(dy) - xhat * mean(dy * xhat)),  dweight += sum(dy * xhat),  dbias += sum(dy)
/// A weight by element multiplies dy first. dx may be null.
template <Scalar T>
struct GradientByBatch : SumsOfGradient<T> {
  using typename SumsOfGradient<T>::Partial;
  struct Coefficients {
    T mean_dy[max_groups], slope[max_groups], scale[max_groups];
  };

  Affine<T> affine;
  ParameterSink<T> by_group;
  T* dx;

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    const T* const weight = by_element(at);
    this->reduce_about(weight ? SumKind::weighted : SumKind::plain, tile, at,
                       {this->saved.mean + tile.first, this->saved.mean_lo + tile.first, nullptr, weight}, into);
  }
  void coefficients(const Tile& tile, Partial sums, Coefficients& out) const noexcept {
    const double* const rstd = this->saved.rstd + tile.first;
    const bool weighted = affine.weight && !affine.by_element;
    scalar::gradient_means(tile.groups, sums, this->plan.view().count(), rstd, out.mean_dy, out.slope);
    scalar::scale_of(tile.groups, rstd, weighted ? affine.weight + tile.first : nullptr, out.scale);
  }
  void commit(const Tile& tile, Partial sums, const Coefficients&) const noexcept {
    if (by_group)
      scalar::add_gradients(tile.groups, sums, this->saved.rstd + tile.first,
                            by_group.weight ? by_group.weight + tile.first : nullptr,
                            by_group.bias ? by_group.bias + tile.first : nullptr);
  }
  void map(const Tile& tile, const TileBlock& at, const Coefficients& c) const noexcept {
    if (!dx) return;
    const T* const weight = by_element(at);
    const Index offset = tile.offset + at.offset;
    this->kernel.gradient[this->plan.walk()][weight ? 1 : 0](
        at.block, this->x + offset, this->dy + offset,
        {this->saved.mean + tile.first, this->saved.mean_lo + tile.first, c.mean_dy, c.slope, c.scale, weight},
        dx + offset);
  }

 private:
  const T* by_element(const TileBlock& at) const noexcept {
    return affine.by_element && affine.weight ? affine.weight + at.element : nullptr;
  }
};

/// The gradients of parameters that go by group, from given statistics: dweight += sum(dy * xhat), dbias += sum(dy).
template <Scalar T>
struct GradientOfParameters : SumsOfGradient<T> {
  using typename SumsOfGradient<T>::Partial;
  struct Coefficients {};

  ParameterSink<T> by_group;

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    this->reduce_about(SumKind::plain, tile, at,
                       {this->saved.mean + tile.first, this->saved.mean_lo + tile.first, nullptr, nullptr}, into);
  }
  void coefficients(const Tile&, Partial, Coefficients&) const noexcept {}
  void commit(const Tile& tile, Partial sums, const Coefficients&) const noexcept {
    scalar::add_gradients(tile.groups, sums, this->saved.rstd + tile.first,
                          by_group.weight ? by_group.weight + tile.first : nullptr,
                          by_group.bias ? by_group.bias + tile.first : nullptr);
  }
};

/// The same for parameters that go by element of a group: sums over the dual view, whose groups are the parameters and
/// whose elements are the statistics.
template <Scalar T>
struct GradientOfElements : SumsOfGradient<T> {
  using typename SumsOfGradient<T>::Partial;
  struct Coefficients {};

  const T* rstd;  // rounded to T
  ParameterSink<T> by_element;

  void reduce(const Tile& tile, const TileBlock& at, Partial into) const noexcept {
    this->reduce_about(SumKind::dual, tile, at,
                       {this->saved.mean + at.element, this->saved.mean_lo + at.element, rstd + at.element, nullptr},
                       into);
  }
  void coefficients(const Tile&, Partial, Coefficients&) const noexcept {}
  void commit(const Tile& tile, Partial sums, const Coefficients&) const noexcept {
    scalar::add_gradients(tile.groups, sums, nullptr, by_element.weight ? by_element.weight + tile.first : nullptr,
                          by_element.bias ? by_element.bias + tile.first : nullptr);
  }
};

/// The gradient of the input where the statistics were given: dx = dy * (rstd * weight), whatever x was.
template <Scalar T>
struct GradientByGiven : NormalizeMap<T> {
  using typename NormalizeMap<T>::Coefficients;

  const double* rstd;

  void coefficients(const Tile& tile, Coefficients& out) const noexcept {
    for (Index g = 0; g < tile.groups; ++g) out.mean[g] = out.mean_lo[g] = T(0);
    this->scale(tile, rstd + tile.first, out);
  }
};

}  // namespace normkit::detail
