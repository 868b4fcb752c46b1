#pragma once

#include <normkit/detail/kernel/block.hpp>

/// The steps between passes over data: what each is done with. Pointers are by group, but for x and dy; null
/// means absent. How a step
/// is done for several groups at a time stands in statistics.inl.hpp, how it is done carefully in one_by_one.inl.hpp.
namespace normkit::detail {

namespace scalar {
template <class T>
struct CarefulMeans;
}

/// Moments of each group of a block from the sums around its first mean: of x - mean, and of its square. The corrected
/// two-pass formula (Chan, Golub, LeVeque 1983): without the correction 9 % of ordinary float outputs would be off by more
/// than 4 u. A group whose squares overflow or underflow in T is done again, carefully.
template <Stored S, Scalar T = Arithmetic<S>>
struct CentreMoments {
  const Block& block;
  const S* x;
  const T *mean, *sum, *squares;
  Moments<T> out;
};

/// Moments of each group of a block about zero, from the sum of its squares. A group whose squares overflow or underflow
/// in T is done again, carefully.
template <Stored S, Scalar T = Arithmetic<S>>
struct TakeSquares {
  const Block& block;
  const S* x;
  const T* squares;
  Moments<T> out;
};

/// Chan's merge: `share` is more / (count + more), `weight` count * share.
template <Scalar T>
struct MergeMoments {
  Moments<T> into, other;
  Wide<T> share, weight;
};

/// The sums of a block as the kernels have made them. A group whose products overflow or underflow in T is done again,
/// carefully, and so is one whose statistics have an exponent.
template <Stored S, class Up = const S*, Scalar T = Arithmetic<S>>
struct TakeSums {
  const Block& block;
  const S* x;
  const Up& dy;
  const T *sum, *sum_x;
  const Centre<T>& centre;
  GradientSums<T> out;
};

template <Scalar T>
struct MergeSums {
  GradientSums<T> into, other;
};

/// value *= factor, each with an exponent of its own.
template <Scalar T, class Factor>
struct Multiply {
  Wide<T>* value;
  Exponent<T>* exponent;
  const Factor* factor;
};

/// The statistics of `count` elements from their moments.
template <Scalar T>
struct StatisticsOf {
  Moments<T> moments;
  Wide<T> count;
  double eps;
  Statistics<T> out;
};

/// The same from a given mean and variance: running statistics (of T), or those of the core header (double).
template <Scalar T, class Given>
struct StatisticsFrom {
  const Given *mean, *var;
  double eps;
  Statistics<T> out;
};

/// running = keep * running + momentum * batch, with keep = 1 - momentum and the variance m2 / freedom: the count, or unbiased
/// one less.
template <Scalar T>
struct UpdateRunning {
  Moments<T> moments;
  Wide<T> keep, momentum, freedom;
  T *running_mean, *running_var;
};

/// scale = rstd * weight, or rstd alone; rounded to T once. Marks the groups that the ordinary kernels cannot do with it,
/// and says whether there is any.
template <Scalar T>
struct ScaleOf {
  SavedStatistics<T> statistics;
  const T *weight, *bias;
  T* scale;
  bool *careful, *any;
};

/// The means that the gradient of the input subtracts: mean(dy), and slope = rstd^2 * mean(dy * (x - mean)). Where T does
/// not hold them, the group is marked, and both are kept as they are.
template <Scalar T>
struct GradientMeans {
  GradientSums<T> sums;
  Wide<T> count;
  SavedStatistics<T> statistics;
  T *mean_dy, *slope;
  scalar::CarefulMeans<T>* kept;
  bool *careful, *any;
};

/// gradient += sum [* rstd]; rstd is absent where the sums have it in them.
template <Scalar T>
struct AddGradient {
  const Wide<T>* sum;
  const Exponent<T>* exponent;
  const double* rstd;
  T* gradient;
};

}  // namespace normkit::detail
