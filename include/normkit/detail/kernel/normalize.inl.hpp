// y = ((x - mean) - mean_lo) * scale [* weight] + bias. The mean is two numbers, so that x - mean is exact where |mean|
// is far greater than the deviation: folding bias - mean * scale into one shift would lose those digits.

/// `Group` and `Element` say how a term that goes by group or by element varies along the walk: along a run the group's
/// are uniform, across lanes the element's are.
template <class X, class Y, class Group, class Element, bool Weight, bool Bias>
struct Normalize {
  using T = typename Group::Number;
  X x;
  Y y;
  Group mean, mean_lo, scale, shift;
  Element weight, bias;
  Index ahead;

  template <bool Whole, Output Out>
  NORMKIT_INLINE void step(Index i, Index n) {
    NORMKIT_EXACT
    Pack<T> v = x.template at<Whole>(i, n);
    x.template pass<Whole, Out>(v, i, n);
    v = (v - mean.template at<Whole>(i, n)) - mean_lo.template at<Whole>(i, n);
    v = v * scale.template at<Whole>(i, n);
    if constexpr (Weight) v = v * weight.template at<Whole>(i, n);
    if constexpr (Bias) v = v + bias.template at<Whole>(i, n);
    if constexpr (!Weight && !Bias) v = v + shift.template at<Whole>(i, n);
    if constexpr (Out != Output::cached) prefetch(x.values + i + ahead);
    y.template write<Whole, Out>(v, i, n, ahead);
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
  each_pack_into<true>(out, false, count, body);
}

/// X and Y: pointers, or with a ReLU (relu.hpp) Masked dy, or a Rectified output.
template <bool Cached, bool Weight, bool Bias, class X, class Y, class T>
void normalize_runs(const Block& block, X x, const Normalization<T>& terms, Y y) noexcept {
  using Group = Uniform<T>;
  using From = decltype(read_run(x));
  using To = decltype(write_run(y));
  for (Index p = 0; p < block.planes; ++p)
    for (Index g = 0; g < block.groups; ++g) {
      const Index at = g * block.group_stride + p * block.plane_stride, element = p * block.plane_elements;
      Normalize<From, To, Group, Elements<T>, Weight, Bias> body{read_run(x + at),
                                                                 write_run(y + at),
                                                                 {Pack<T>::all(terms.mean[g])},
                                                                 {Pack<T>::all(terms.mean_lo[g])},
                                                                 {Pack<T>::all(terms.scale[g])},
                                                                 {Pack<T>::all(terms.shift[g])},
                                                                 {Weight ? terms.weight + element : nullptr},
                                                                 {Bias ? terms.bias + element : nullptr},
                                                                 terms.ahead};
      each_pack_into<Cached>(body.y.values, terms.streams, block.length, body);
      body.y.end(block.length);
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

  template <bool Whole, int... P>
  NORMKIT_INLINE void step(Index c, Index n, std::integer_sequence<int, P...>) {
    constexpr int width = Pack<T>::width;
    Normalize<Elements<S>, Written<S>, Uniform<T>, Uniform<T>, false, false> down[] = {
        {{x + c + P * width},
         {y + c + P * width},
         uniform_down<Whole>(terms.mean + c + P * width, n),
         uniform_down<Whole>(terms.mean_lo + c + P * width, n),
         uniform_down<Whole>(terms.scale + c + P * width, n),
         uniform_down<Whole>(terms.shift + c + P * width, n),
         {},
         {},
         0}...};
    for (Index p = 0; p < block.planes; ++p)
      (down[P].template step<Whole, Output::cached>(p * block.plane_stride, n), ...);
  }
};

template <bool Cached, bool Weight, bool Bias, class X, class Y, class T>
void normalize_lanes(const Block& block, X x, const Normalization<T>& terms, Y y) noexcept {
  using From = decltype(read_run(x));
  using To = decltype(write_run(y));
  if constexpr (Cached && !Weight && !Bias && std::is_pointer_v<X> && std::is_pointer_v<Y>)
    if (block.groups <= narrow_row<T>) {
      NormalizeDown<std::remove_pointer_t<Y>> body{block, x, terms, y};
      return each_column<T>(block.groups, body);
    }
  using Group = Elements<T>;
  for (Index p = 0; p < block.planes; ++p) {
    const Index at = p * block.plane_stride;
    Normalize<From, To, Group, Uniform<T>, Weight, Bias> body{read_run(x + at),
                                                              write_run(y + at),
                                                              {terms.mean},
                                                              {terms.mean_lo},
                                                              {terms.scale},
                                                              {terms.shift},
                                                              {Pack<T>::all(Weight ? terms.weight[p] : T(1))},
                                                              {Pack<T>::all(Bias ? terms.bias[p] : T(0))},
                                                              terms.ahead};
    each_pack_into<Cached>(body.y.values, terms.streams, block.groups, body);
    body.y.end(block.groups);
  }
}
