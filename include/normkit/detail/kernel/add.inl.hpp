// out = a + b, element by element: what a norm with a residual sums up before it measures.

template <class S>
struct Add {
  const S *a, *b;
  S* out;

  template <bool Whole, Output Out>
  NORMKIT_INLINE void step(Index i, Index n) {
    NORMKIT_EXACT
    const auto zero = Pack<Arithmetic<S>>::zero();
    put<Whole, Out>(load<Whole>(a + i, n, zero) + load<Whole>(b + i, n, zero), out + i, n);
  }
};

template <class S>
void add_runs(const Block& block, const S* a, const S* b, S* out) noexcept {
  for (Index p = 0; p < block.planes; ++p)
    for (Index g = 0; g < block.groups; ++g) {
      const Index at = g * block.group_stride + p * block.plane_stride;
      Add<S> body{a + at, b + at, out + at};
      each_pack_into<true>(body.out, false, block.length, body);
    }
}

template <class S>
void add_lanes(const Block& block, const S* a, const S* b, S* out) noexcept {
  for (Index p = 0; p < block.planes; ++p) {
    const Index at = p * block.plane_stride;
    Add<S> body{a + at, b + at, out + at};
    each_pack_into<true>(body.out, false, block.groups, body);
  }
}
