// Chan's merge of the moments of two sets (Chan, Golub, LeVeque 1983), one precision up.

/// The mean of `other` less that of `into`: pivots, which are numbers of T, and what the means have beside them.
template <class T, class R>
NORMKIT_INLINE WideOf<T, R> gap_between(R pivot, WideOf<T, R> delta, R other_pivot, WideOf<T, R> other_delta) {
  NORMKIT_EXACT
  return exact_sum<T>(other_pivot, -pivot) + (other_delta - delta);
}

/// Adds to `delta` and `m2` a set with `m2` other_m2: `share` is more / (count + more), `weight` count * share.
template <class N>
NORMKIT_INLINE void merge_one(N& delta, N& m2, N other_m2, N gap, N share, N weight) {
  NORMKIT_EXACT
  delta = delta + gap * share;
  m2 = m2 + other_m2 + gap * gap * weight;
}
