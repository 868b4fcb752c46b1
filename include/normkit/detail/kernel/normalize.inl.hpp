// y = ((x - mean) - mean_lo) * scale [* weight] + bias. The mean is two numbers, so that x - mean is exact where |mean|
// is far greater than the deviation: folding bias - mean * scale into one shift would lose those digits.

/// One term of the formula for a whole run: one value for all of it, or one for each element.
template <class T>
struct Uniform {
  Pack<T> value;
  template <bool Whole>
  NORMKIT_INLINE Pack<T> at(Index, Index) const {
    return value;
  }
};
template <class T>
struct Elements {
  const T* values;
  template <bool Whole>
  NORMKIT_INLINE Pack<T> at(Index i, Index n) const {
    return load<Whole>(values + i, n, Pack<T>::zero());
  }
};

/// `Group` and `Element` say how a term that goes by group or by element varies along the walk: along a run the group's
/// are uniform, across lanes the element's are.
template <class S, class Group, class Element, bool Weight, bool Bias>
struct Normalize {
  using T = Arithmetic<S>;
  const S* x;
  S* y;
  Group mean, mean_lo, scale, shift;
  Element weight, bias;
  Index ahead;

  template <bool Whole, Output Out>
  NORMKIT_INLINE void step(Index i, Index n) {
    NORMKIT_EXACT
    Pack<T> v = load<Whole>(x + i, n, Pack<T>::zero());
    v = (v - mean.template at<Whole>(i, n)) - mean_lo.template at<Whole>(i, n);
    v = v * scale.template at<Whole>(i, n);
    if constexpr (Weight) v = v * weight.template at<Whole>(i, n);
    if constexpr (Bias) v = v + bias.template at<Whole>(i, n);
    if constexpr (!Weight && !Bias) v = v + shift.template at<Whole>(i, n);
    if constexpr (Out != Output::cached) prefetch(x + i + ahead);
    put<Whole, Out>(v, y + i, n);
  }
};

template <class T>
struct OnePlus {
  const T* weight;
  T* out;

  template <bool Whole, Output Out>
  NORMKIT_INLINE void step(Index i, Index n) {
    NORMKIT_EXACT
    put<Whole, Out>(Pack<T>::all(T(1)) + load<Whole>(weight + i, n, Pack<T>::zero()), out + i, n);
  }
};

/// 1 + weight, for weights that are stored less 1.
template <class T>
void one_plus(Index count, const T* weight, T* out) noexcept {
  OnePlus<T> body{weight, out};
  each_pack_into<Output::cached>(out, count, body);
}

template <class S, Output Out, bool Weight, bool Bias, class T = Arithmetic<S>>
void normalize_runs(const Block& block, const S* x, const Normalization<T>& terms, S* y) noexcept {
  using Group = Uniform<T>;
  for (Index p = 0; p < block.planes; ++p)
    for (Index g = 0; g < block.groups; ++g) {
      const Index at = g * block.group_stride + p * block.plane_stride, element = p * block.plane_elements;
      Normalize<S, Group, Elements<T>, Weight, Bias> body{x + at,
                                                          y + at,
                                                          {Pack<T>::all(terms.mean[g])},
                                                          {Pack<T>::all(terms.mean_lo[g])},
                                                          {Pack<T>::all(terms.scale[g])},
                                                          {Pack<T>::all(terms.shift[g])},
                                                          {Weight ? terms.weight + element : nullptr},
                                                          {Bias ? terms.bias + element : nullptr},
                                                          terms.ahead};
      each_pack_into<Out>(body.y, block.length, body);
    }
}

/// Columns that are walked down all rows with their terms in registers, in cache: rows of 16 floats took 0.41 of the time in
/// evaluation, rows of 64 0.87, rows of 256 1.2 to 1.6.
template <class T>
inline constexpr Index narrow_row = 256 / static_cast<Index>(sizeof(T));
template <class S>
struct NormalizeDown {
  using T = Arithmetic<S>;
  const Block& block;
  const S* x;
  const Normalization<T>& terms;
  S* y;

  template <bool Whole>
  static NORMKIT_INLINE Uniform<T> of_group(const T* values, Index n) {
    return {load<Whole>(values, n, Pack<T>::zero())};
  }

  template <bool Whole, int... P>
  NORMKIT_INLINE void step(Index c, Index n, std::integer_sequence<int, P...>) {
    constexpr int width = Pack<T>::width;
    Normalize<S, Uniform<T>, Uniform<T>, false, false> down[] = {{x + c + P * width,
                                                                  y + c + P * width,
                                                                  of_group<Whole>(terms.mean + c + P * width, n),
                                                                  of_group<Whole>(terms.mean_lo + c + P * width, n),
                                                                  of_group<Whole>(terms.scale + c + P * width, n),
                                                                  of_group<Whole>(terms.shift + c + P * width, n),
                                                                  {},
                                                                  {},
                                                                  0}...};
    for (Index p = 0; p < block.planes; ++p)
      (down[P].template step<Whole, Output::cached>(p * block.plane_stride, n), ...);
  }
};

template <class S, Output Out, bool Weight, bool Bias, class T = Arithmetic<S>>
void normalize_lanes(const Block& block, const S* x, const Normalization<T>& terms, S* y) noexcept {
  if constexpr (Out == Output::cached && !Weight && !Bias)
    if (block.groups <= narrow_row<T>) {
      NormalizeDown<S> body{block, x, terms, y};
      return each_column<T>(block.groups, body);
    }
  using Group = Elements<T>;
  for (Index p = 0; p < block.planes; ++p) {
    const Index at = p * block.plane_stride;
    Normalize<S, Group, Uniform<T>, Weight, Bias> body{x + at,
                                                       y + at,
                                                       {terms.mean},
                                                       {terms.mean_lo},
                                                       {terms.scale},
                                                       {terms.shift},
                                                       {Pack<T>::all(Weight ? terms.weight[p] : T(1))},
                                                       {Pack<T>::all(Bias ? terms.bias[p] : T(0))},
                                                       terms.ahead};
    each_pack_into<Out>(body.y, block.groups, body);
  }
}
