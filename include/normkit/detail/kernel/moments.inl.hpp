// Sums of one block, in two passes while it is in L1: sums around a pivot give a first mean; then squares around that
// mean and, in the same pass, the sum of the same differences, with which CentreMoments corrects both.

template <class T>
struct SumAround {
  const T* x;
  Pack<T> pivot;
  LaneSums<T, 1> sums;

  template <bool Whole, int Slot>
  NORMKIT_INLINE void step(Index i, Index n) {
    NORMKIT_EXACT
    sums.first[0][Slot] = sums.first[0][Slot] + (load<Whole>(x + i, n, pivot) - pivot);
  }
};

template <class T>
struct SquaresAround {
  const T* x;
  Pack<T> mean;
  LaneSums<T, 2> sums;  // of the differences, of their squares

  template <bool Whole, int Slot>
  NORMKIT_INLINE void step(Index i, Index n) {
    NORMKIT_EXACT
    const Pack<T> d = load<Whole>(x + i, n, mean) - mean;
    sums.first[0][Slot] = sums.first[0][Slot] + d;
    sums.first[1][Slot] = sums.first[1][Slot] + d * d;
  }
};

template <class T>
void moments_runs(const Block& block, const T* x, Moments<T> out) noexcept {
  NORMKIT_EXACT
  const T n = static_cast<T>(block.elements());
  T mean[max_groups], sum[max_groups], squares[max_groups];
  // Each pass over all groups before the next one: the latencies at the end of one group's sum, a tree of additions
  // and a division, overlap with the next group's.
  for (Index g = 0; g < block.groups; ++g) {
    const T* const first = x + g * block.group_stride;
    SumAround<T> around{nullptr, Pack<T>::all(*first), {}};
    for (Index p = 0; p < block.planes; ++p) {
      around.x = first + p * block.plane_stride;
      each_pack<T, lane_packs>(block.length, around);
    }
    mean[g] = *first + around.sums.template total<0>() / n;
  }
  for (Index g = 0; g < block.groups; ++g) {
    SquaresAround<T> around{nullptr, Pack<T>::all(mean[g]), {}};
    for (Index p = 0; p < block.planes; ++p) {
      around.x = x + g * block.group_stride + p * block.plane_stride;
      each_pack<T, lane_packs>(block.length, around);
    }
    sum[g] = around.sums.template total<0>();
    squares[g] = around.sums.template total<1>();
  }
  each_group<T>(block.groups, CentreMoments<T>{block, x, mean, sum, squares, out});
}

/// Adds up to `rows` rows to the column sums, which stay in L1 between calls, so that memory is walked in its own order.
/// The rows are added up among themselves first: 64 rows round 8 + 8 times rather than 64, at no cost.
template <class T>
struct ColumnSums {
  const T* x;
  Index rows, stride;
  const T* pivot;
  T* sum;

  template <bool Whole, int>
  NORMKIT_INLINE void step(Index c, Index n) {
    NORMKIT_EXACT
    const Pack<T> zero = Pack<T>::zero(), k = load<Whole>(pivot + c, n, zero);
    Pack<T> s = zero;
    for (Index r = 0; r < rows; ++r) s = s + (load<Whole>(x + r * stride + c, n, k) - k);
    add_to<Whole>(sum + c, n, s);
  }
};

template <class T>
struct ColumnSquares {
  const T* x;
  Index rows, stride, ahead;
  const T* mean;
  T *sum, *squares;

  template <bool Whole, int>
  NORMKIT_INLINE void step(Index c, Index n) {
    NORMKIT_EXACT
    const Pack<T> zero = Pack<T>::zero(), m = load<Whole>(mean + c, n, zero);
    Pack<T> s = zero, q = zero;
    for (Index r = 0; r < rows; ++r) {
      const Pack<T> d = load<Whole>(x + r * stride + c, n, m) - m;
      prefetch(x + r * stride + c + ahead);
      s = s + d;
      q = q + d * d;
    }
    add_to<Whole>(sum + c, n, s);
    add_to<Whole>(squares + c, n, q);
  }
};

template <class T>
void moments_lanes(const Block& block, const T* x, Moments<T> out) noexcept {
  NORMKIT_EXACT
  T pivot[max_groups], mean[max_groups], sum[max_groups], squares[max_groups];
  const T n = static_cast<T>(block.planes);
  for (Index c = 0; c < block.groups; ++c) {
    pivot[c] = x[c];
    sum[c] = T(0);
  }
  ColumnSums<T> sums{x, 0, block.plane_stride, pivot, sum};
  for (Index r = 0; r < block.planes; r += rows_at_once) {
    sums.x = x + r * block.plane_stride;
    sums.rows = least(rows_at_once, block.planes - r);
    each_pack<T, 1>(block.groups, sums);
  }
  for (Index c = 0; c < block.groups; ++c) {
    mean[c] = pivot[c] + sum[c] / n;
    sum[c] = squares[c] = T(0);
  }
  ColumnSquares<T> second{x, 0, block.plane_stride, block.planes * block.plane_stride, mean, sum, squares};
  for (Index r = 0; r < block.planes; r += rows_at_once) {
    second.x = x + r * block.plane_stride;
    second.rows = least(rows_at_once, block.planes - r);
    each_pack<T, 1>(block.groups, second);
  }
  each_group<T>(block.groups, CentreMoments<T>{block, x, mean, sum, squares, out});
}
