// Sums of one block, in two passes while it is in L1: sums around a pivot give a first mean; then squares around that
// mean and, in the same pass, the sum of the same differences, with which CentreMoments corrects both. About zero it is one
// pass: squares do not cancel.

/// What the first pass sums: differences from a pivot, or about zero squares. Then the pivot is 0.
template <About A, class T>
NORMKIT_INLINE Pack<T> term_of(Pack<T> x, [[maybe_unused]] Pack<T> pivot) {
  NORMKIT_EXACT
  if constexpr (A == About::mean)
    return x - pivot;
  else
    return x * x;
}

template <class S, class T, class Sums, About A>
struct SumTerms {
  const S* x;
  Pack<T> pivot;
  Sums sums;

  template <bool Whole, int Slot>
  NORMKIT_INLINE void step(Index i, Index n) {
    NORMKIT_EXACT
    sums.first[0][Slot] = sums.first[0][Slot] + term_of<A>(load<Whole>(x + i, n, pivot), pivot);
  }
};

template <class S, class T, class Sums>
struct SquaresAround {
  const S* x;
  Pack<T> mean;
  Sums sums;  // of the differences, of their squares

  template <bool Whole, int Slot>
  NORMKIT_INLINE void step(Index i, Index n) {
    NORMKIT_EXACT
    const Pack<T> d = load<Whole>(x + i, n, mean) - mean;
    sums.first[0][Slot] = sums.first[0][Slot] + d;
    sums.first[1][Slot] = sums.first[1][Slot] + d * d;
  }
};

/// All planes of one group.
template <class S, template <class, int> class Sums, About A>
struct SumGroup {
  using T = Arithmetic<S>;
  const Block& block;
  const S* x;

  NORMKIT_INLINE void sum(Index g, Pack<T> (&lanes)[1][Pack<T>::width], int at) const {
    const S* const first = x + g * block.group_stride;
    SumTerms<S, T, Sums<T, 1>, A> terms{nullptr, A == About::mean ? Pack<T>::all(value(*first)) : Pack<T>::zero(), {}};
    for (Index p = 0; p < block.planes; ++p) {
      terms.x = first + p * block.plane_stride;
      each_pack<T, lane_packs>(block.length, terms);
    }
    lanes[0][at] = terms.sums.template total<0>();
  }
};

template <class S, template <class, int> class Sums>
struct SquareGroup {
  using T = Arithmetic<S>;
  const Block& block;
  const S* x;
  const T* mean;

  NORMKIT_INLINE void sum(Index g, Pack<T> (&lanes)[2][Pack<T>::width], int at) const {
    SquaresAround<S, T, Sums<T, 2>> around{nullptr, Pack<T>::all(mean[g]), {}};
    for (Index p = 0; p < block.planes; ++p) {
      around.x = x + g * block.group_stride + p * block.plane_stride;
      each_pack<T, lane_packs>(block.length, around);
    }
    lanes[0][at] = around.sums.template total<0>();
    lanes[1][at] = around.sums.template total<1>();
  }
};

template <class S, template <class, int> class Sums, class T>
NORMKIT_INLINE void sum_runs(const Block& block, const S* x, T* mean, T* sum, T* squares) {
  NORMKIT_EXACT
  const T n = static_cast<T>(block.elements());
  sum_groups<T, 1>(block.groups, SumGroup<S, Sums, About::mean>{block, x}, {sum});
  for (Index g = 0; g < block.groups; ++g) mean[g] = value(x[g * block.group_stride]) + sum[g] / n;
  sum_groups<T, 2>(block.groups, SquareGroup<S, Sums>{block, x, mean}, {sum, squares});
}

template <class S, class T = Arithmetic<S>>
void moments_runs(const Block& block, const S* x, Moments<T> out) noexcept {
  T mean[max_groups], sum[max_groups], squares[max_groups];
  if (is_short<T>(block))
    sum_runs<S, ShortSums>(block, x, mean, sum, squares);
  else
    sum_runs<S, LaneSums>(block, x, mean, sum, squares);
  each_group<T>(block.groups, CentreMoments<S>{block, x, mean, sum, squares, out});
}

template <class S, class T = Arithmetic<S>>
void squares_runs(const Block& block, const S* x, Moments<T> out) noexcept {
  T squares[max_groups];
  if (is_short<T>(block))
    sum_groups<T, 1>(block.groups, SumGroup<S, ShortSums, About::zero>{block, x}, {squares});
  else
    sum_groups<T, 1>(block.groups, SumGroup<S, LaneSums, About::zero>{block, x}, {squares});
  each_group<T>(block.groups, TakeSquares<S>{block, x, squares, out});
}

/// Adds up to `rows` rows to the column sums, which stay in L1 between calls, so that memory is walked in its own order.
/// The rows are added up among themselves first: 64 rows round 8 + 8 times rather than 64, at no cost.
template <class S, class T, About A>
struct ColumnSums {
  const S* x;
  Index rows, stride;
  const T* pivot;  // about the mean
  T* sum;

  template <bool Whole, int... P>
  NORMKIT_INLINE void step(Index c, Index n, std::integer_sequence<int, P...>) {
    NORMKIT_EXACT
    constexpr int width = Pack<T>::width;
    const Pack<T> zero = Pack<T>::zero();
    Pack<T> k[] = {(static_cast<void>(P), zero)...}, s[] = {(static_cast<void>(P), zero)...};
    if constexpr (A == About::mean) ((k[P] = load<Whole>(pivot + c + P * width, n, zero)), ...);
    for (Index r = 0; r < rows; ++r) {
      const S* const row = x + r * stride + c;
      ((s[P] = s[P] + term_of<A>(load<Whole>(row + P * width, n, k[P]), k[P])), ...);
    }
    (add_to<Whole>(sum + c + P * width, n, s[P]), ...);
  }
};

template <class S, class T>
struct ColumnSquares {
  const S* x;
  Index rows, stride, ahead;
  const T* mean;
  T *sum, *squares;

  template <bool Whole, int... P>
  NORMKIT_INLINE void step(Index c, Index n, std::integer_sequence<int, P...>) {
    NORMKIT_EXACT
    constexpr int width = Pack<T>::width;
    const Pack<T> zero = Pack<T>::zero(), m[] = {load<Whole>(mean + c + P * width, n, zero)...};
    Pack<T> s[] = {(static_cast<void>(P), zero)...}, q[] = {(static_cast<void>(P), zero)...};
    for (Index r = 0; r < rows; ++r) {
      const S* const row = x + r * stride + c;
      const Pack<T> d[] = {(load<Whole>(row + P * width, n, m[P]) - m[P])...};
      ((begins_line<S>(P) ? prefetch(row + P * width + ahead) : void()), ...);
      ((s[P] = s[P] + d[P]), ...);
      ((q[P] = q[P] + d[P] * d[P]), ...);
    }
    (add_to<Whole>(sum + c + P * width, n, s[P]), ...);
    (add_to<Whole>(squares + c + P * width, n, q[P]), ...);
  }
};

template <About A, class S, class T>
NORMKIT_INLINE void sum_columns(const Block& block, const S* x, const T* pivot, T* sum) {
  ColumnSums<S, T, A> sums{x, 0, block.plane_stride, pivot, sum};
  for (Index r = 0; r < block.planes; r += rows_at_once) {
    sums.x = x + r * block.plane_stride;
    sums.rows = least(rows_at_once, block.planes - r);
    each_column<T>(block.groups * block.length, sums);
  }
}

/// What each group has, for all of its columns.
template <class T>
NORMKIT_INLINE const T* spread_columns(const Block& block, const T* of_groups, T* room) {
  if (block.length == 1) return of_groups;
  for (Index g = 0; g < block.groups; ++g)
    for (Index i = 0; i < block.length; ++i) room[g * block.length + i] = of_groups[g];
  return room;
}

/// Neighbouring columns become the sums of those of each group, `length` of them, halves onto halves.
template <class T>
NORMKIT_INLINE void fold_columns(const Block& block, T* sums) {
  NORMKIT_EXACT
  if (block.length == 1) return;
  for (Index g = 0; g < block.groups; ++g) {
    T* const own = sums + g * block.length;
    for (Index left = block.length; left > 1;) {
      const Index half = (left + 1) / 2;
      for (Index i = half; i < left; ++i) own[i - half] = own[i - half] + own[i];
      left = half;
    }
    sums[g] = own[0];
  }
}

/// The groups of a block lie side by side, each with `length` columns.
template <class S, class T = Arithmetic<S>>
void moments_lanes(const Block& block, const S* x, Moments<T> out) noexcept {
  NORMKIT_EXACT
  T pivot[max_groups], mean[max_groups], sum[max_groups], squares[max_groups];
  const Index columns = block.groups * block.length;
  const T n = static_cast<T>(block.elements());
  for (Index g = 0; g < block.groups; ++g) mean[g] = value(x[g * block.group_stride]);
  for (Index c = 0; c < columns; ++c) sum[c] = T(0);
  sum_columns<About::mean>(block, x, spread_columns(block, mean, pivot), sum);
  fold_columns(block, sum);
  for (Index g = 0; g < block.groups; ++g) mean[g] = mean[g] + sum[g] / n;
  const T* const about = spread_columns(block, mean, pivot);
  for (Index c = 0; c < columns; ++c) sum[c] = squares[c] = T(0);
  ColumnSquares<S, T> second{x, 0, block.plane_stride, block.planes * block.plane_stride, about, sum, squares};
  for (Index r = 0; r < block.planes; r += rows_at_once) {
    second.x = x + r * block.plane_stride;
    second.rows = least(rows_at_once, block.planes - r);
    each_column<T>(columns, second);
  }
  fold_columns(block, sum);
  fold_columns(block, squares);
  each_group<T>(block.groups, CentreMoments<S>{block, x, mean, sum, squares, out});
}

template <class S, class T = Arithmetic<S>>
void squares_lanes(const Block& block, const S* x, Moments<T> out) noexcept {
  T squares[max_groups];
  for (Index c = 0; c < block.groups * block.length; ++c) squares[c] = T(0);
  sum_columns<About::zero>(block, x, static_cast<const T*>(nullptr), squares);
  fold_columns(block, squares);
  each_group<T>(block.groups, TakeSquares<S>{block, x, squares, out});
}
