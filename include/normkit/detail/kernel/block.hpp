#pragma once

#include <normkit/detail/simd/scalar.hpp>

/// What kernels are called with: plain descriptions of one block of data and of what is known of each group in it.
namespace normkit::detail {

/// A block of `groups` neighbouring groups, each of which shares one statistic. Its elements are `planes` runs of
/// `length` contiguous elements; the element i of plane p of group g lies at
///     g * group_stride + p * plane_stride + i,   and is number   p * plane_elements + i   of its group,
/// counted from the start of the block. `_runs` kernels walk along a run, `_lanes` kernels across
/// groups, which have length 1, or in reductions a run of neighbouring columns each.
struct Block {
  Index groups, group_stride;
  Index planes, plane_stride, plane_elements;
  Index length;

  Index elements() const noexcept { return planes * length; }  // of each group
  Block some(Index count) const noexcept { return {count, group_stride, planes, plane_stride, plane_elements, length}; }
};

/// The most groups that one call of a kernel takes: what is kept of them stands in arrays of this length on the stack.
/// Rows of 4096 bytes are read whole then, a page at a time: 1024 channels last took 0.65 to 0.8 of the time of halves.
inline constexpr Index max_groups = 1024;

/// Rows that a kernel across lanes adds up in a register before it goes on to the next columns.
inline constexpr Index rows_at_once = 8;

/// How an output is written. `cached`: L2 holds the tensor. Else kernels ask for what is read next, `ahead` elements after
/// an input, and the output goes into the larger caches (`prefetched`) or past them (`streamed`).
enum class Output : int { cached = 0, prefetched = 1, streamed = 2 };

/// The kinds of sums: on the view itself (statistics by group), without or with a weight by element; or on its dual
/// (statistics by element), which gives the gradients of per-element parameters.
enum class SumKind { plain, weighted, dual };

/// What the squares of a group are taken about: its mean, or zero, where nothing is subtracted (RMSNorm).
enum class About : int { mean = 0, zero = 1 };

/// The power of two that has been taken out of a partial result. Those of float, made in double, need none: the squares
/// and products of any floats are ordinary doubles.
struct NoExponent {
  NoExponent& operator=(int) noexcept { return *this; }
  operator int() const noexcept { return 0; }
};
template <Scalar T>
using Exponent = std::conditional_t<std::is_same_v<Wide<T>, double>, NoExponent, int>;

/// Moments of each group: mean = pivot + delta, m2 = sum of (x - mean)^2. The pivot is near the mean, so that delta
/// keeps its digits even where |mean| is far greater than the deviation. About zero the mean counts as 0: pivot = delta = 0. All are of x / 2^exponent; the exponent is 0
/// but where the data is at an end of the range (careful.inl.hpp).
template <Scalar T>
struct Moments {
  T* pivot;
  Wide<T>* delta;
  Wide<T>* m2;
  Exponent<T>* exponent;

  Moments from(Index group) const noexcept { return {pivot + group, delta + group, m2 + group, exponent + group}; }
};

/// Sums over each group, of dy and of dy * (x - mean), where dy has been multiplied with a per-element weight if any.
/// Each is of what it sums / 2^exponent, an exponent of its own.
template <Scalar T>
struct GradientSums {
  Wide<T>* dy;
  Wide<T>* dy_x;
  Exponent<T>* dy_exponent;
  Exponent<T>* dy_x_exponent;

  GradientSums from(Index group) const noexcept {
    return {dy + group, dy_x + group, dy_exponent + group, dy_x_exponent + group};
  }
};

template <Scalar T>
void copy(Index groups, Moments<T> from, Moments<T> to) noexcept {
  for (Index g = 0; g < groups; ++g) {
    to.pivot[g] = from.pivot[g];
    to.delta[g] = from.delta[g];
    to.m2[g] = from.m2[g];
    to.exponent[g] = from.exponent[g];
  }
}
template <Scalar T>
void copy(Index groups, GradientSums<T> from, GradientSums<T> to) noexcept {
  for (Index g = 0; g < groups; ++g) {
    to.dy[g] = from.dy[g];
    to.dy_x[g] = from.dy_x[g];
    to.dy_exponent[g] = from.dy_exponent[g];
    to.dy_x_exponent[g] = from.dy_x_exponent[g];
  }
}

/// Sums over each group that derivatives in a direction need (direction.inl.hpp says of what): the sums of each kind stand
/// `stride` apart.
template <Scalar T>
struct DirectionSums {
  static constexpr int kinds = 7;
  Wide<T>* sums;
  Index stride;

  Wide<T>& operator()(int kind, Index group) const noexcept { return sums[kind * stride + group]; }
  DirectionSums from(Index group) const noexcept { return {sums + group, stride}; }
};
/// What is taken out of a group: means of v, e and f, and of their products with xhat.
struct DirectionMeans {
  double v, v_xhat, e, e_xhat, joint, f, f_xhat;
};

/// What normalizing a group needs of its statistics:
///   xhat = ((x - mean) / 2^exponent - mean_lo) * rstd
/// mean is the nearest T, mean_lo the rest of it / 2^exponent, rstd = 2^exponent / sqrt(var + eps). The exponent is 0 but
/// where the data is at an end of the range, so that mean_lo would underflow, or rstd leave the range of T.
template <class T, class Rstd = double, class Power = int>
struct Statistics {
  T* mean;
  T* mean_lo;
  Rstd* rstd;
  Power* exponent;

  Statistics from(Index group) const noexcept {
    return {mean + group, mean_lo + group, rstd + group, exponent + group};
  }
  operator Statistics<const T, const Rstd, const Power>() const noexcept requires(!std::is_const_v<T>) {
    return {mean, mean_lo, rstd, exponent};
  }
};
/// The same to be read.
template <Scalar T>
using SavedStatistics = Statistics<const T, const double, const int>;

/// y = ((x - mean) - mean_lo) * scale + shift. By group: mean, mean_lo, scale, shift. Where weight or bias are not null
/// they are by element of the group:  y = ((x - mean) - mean_lo) * scale * weight + bias.
template <Scalar T>
struct Normalization {
  const T *mean, *mean_lo, *scale, *shift;
  const T *weight, *bias;
  Index ahead;
  bool streams = false;
};

/// Where the sums of a gradient find x - mean: by group, or (on the dual view) by element, then times rstd.
template <Scalar T>
struct Centre {
  SavedStatistics<T> statistics;
  const T* rstd;      // by element, rounded to T; null when by group
  const T* weight;    // by element, or null
  bool careful;       // some rstd is not to be used like that
  bool asks = false;  // L2 does not hold the tensor: a kernel across lanes asks for its next rows

  bool is_dual() const noexcept { return rstd != nullptr; }
  Centre from_element(Index i) const noexcept {
    return {is_dual() ? statistics.from(i) : statistics, rstd ? rstd + i : nullptr, weight ? weight + i : nullptr,
            careful, asks};
  }
};

/// How the weight goes that multiplies dy in the gradient of the input.
enum class WeightBy : int { none = 0, element = 1, group = 2 };

/// dx = ((dy * weight - mean_dy) - (x - mean) * slope) * scale [+ added]; weight by element or by group, or null; the rest by
/// group, but for `added`, which is a tensor.
template <Scalar T>
struct InputGradient {
  const T *mean, *mean_lo, *mean_dy, *slope, *scale;
  const T* weight;
  Index ahead;
  bool streams = false;
};

}  // namespace normkit::detail
