// Gradients of parameters by element where rows are of different lengths, one number at a time. Compiled once.

/// Rows that follow each other: row r has the elements [offsets[r], offsets[r + 1]).
template <class Offset>
struct Rows {
  const Offset* offsets;
  Index count;

  Index begin(Index row) const noexcept { return static_cast<Index>(offsets[row]); }
  Index length(Index row) const noexcept { return static_cast<Index>(offsets[row + 1]) - begin(row); }
};

/// Adds the sums over all rows, of the elements [first, first + count) of each that has them.
template <class S, class T, class Offset>
void add_ragged_gradients(const Rows<Offset>& rows, Index first, Index count, SavedStatistics<T> saved, const S* x,
                          const S* dy, T* weight_grad, T* bias_grad) noexcept {
  constexpr Index most = 64;
  for (; count > 0; first += most, count -= most) {
    const Index some = count < most ? count : most;
    Wide<T> weight[most], bias[most];
    for (Index e = 0; e < some; ++e) weight[e] = bias[e] = widen<T>(0.0);
    for (Index r = 0; r < rows.count; ++r) {
      const Index left = rows.length(r) - first, here = left < some ? left : some;
      if (here <= 0) continue;
      const Normalizer normalizer = Normalizer::of(saved, r);
      const S *const row_x = x + rows.begin(r) + first, *const row_dy = dy + rows.begin(r) + first;
      for (Index e = 0; e < here; ++e) {
        const double upstream = number(row_dy[e]);
        add_product<T>(weight[e], upstream, normalizer.xhat(number(row_x[e])));
        add_product<T>(bias[e], upstream, 1.0);
      }
    }
    if (weight_grad) add_sums(some, weight, weight_grad + first);
    if (bias_grad) add_sums(some, bias, bias_grad + first);
  }
}
