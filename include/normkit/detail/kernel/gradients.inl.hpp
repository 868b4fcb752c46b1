// Sums of the gradient over each group, and the gradient of the input.

/// Adds dy * weight, and its product with x - mean (times rstd where the statistics go by element), to the sums of
/// each slot.
template <class S, class Upstream, class Stat, class Element, bool Weight, bool Rstd, class Sums>
struct SumGradients {
  using T = Arithmetic<S>;
  const S* x;
  Upstream dy;
  Stat mean, mean_lo, rstd;
  Element weight;
  Sums sums;  // of dy, of its product with x

  template <bool Whole, int Slot>
  NORMKIT_INLINE void step(Index i, Index n) {
    NORMKIT_EXACT
    const Pack<T> m = mean.template at<Whole>(i, n);
    Pack<T> xc = (load<Whole>(x + i, n, m) - m) - mean_lo.template at<Whole>(i, n);
    if constexpr (Rstd) xc = xc * rstd.template at<Whole>(i, n);
    Pack<T> d = dy.template at<Whole>(i, n);
    if constexpr (Weight) d = d * weight.template at<Whole>(i, n);
    sums.first[0][Slot] = sums.first[0][Slot] + d;
    sums.first[1][Slot] = sums.first[1][Slot] + d * xc;
  }
};

/// The sums of a few rows in one register each, of neighbouring columns.
template <class T, int Packs>
struct RowSums {
  Pack<T> first[2][Packs];
};

/// All planes of one group.
template <class S, class Up, SumKind Kind, class Sums>
struct GradientGroup {
  using T = Arithmetic<S>;
  const Block& block;
  const S* x;
  const Up& dy;
  const Centre<T>& centre;

  NORMKIT_INLINE void sum(Index g, Pack<T> (&lanes)[2][Pack<T>::width], int at) const {
    constexpr bool weighted = Kind == SumKind::weighted, dual = Kind == SumKind::dual;
    using Stat = std::conditional_t<dual, Elements<T>, Uniform<T>>;
    const SavedStatistics<T> statistics = centre.statistics;
    SumGradients<S, decltype(read_run(dy)), Stat, Elements<T>, weighted, dual, Sums> body{};
    if constexpr (!dual) {
      body.mean = {Pack<T>::all(statistics.mean[g])};
      body.mean_lo = {Pack<T>::all(statistics.mean_lo[g])};
    }
    for (Index p = 0; p < block.planes; ++p) {
      const Index start = g * block.group_stride + p * block.plane_stride, element = p * block.plane_elements;
      body.x = x + start;
      body.dy = read_run(dy + start);
      if constexpr (dual) {
        body.mean = {statistics.mean + element};
        body.mean_lo = {statistics.mean_lo + element};
        body.rstd = {centre.rstd + element};
      }
      if constexpr (weighted) body.weight = {centre.weight + element};
      each_pack<T, lane_packs>(block.length, body);
    }
    lanes[0][at] = body.sums.template total<0>();
    lanes[1][at] = body.sums.template total<1>();
  }
};

/// Up: a pointer, or with a ReLU Masked dy.
template <SumKind Kind, class S, class Up, class T>
void sum_gradients_runs(const Block& block, const S* x, Up dy, const Centre<T>& centre, GradientSums<T> out) noexcept {
  T sum[max_groups], sum_x[max_groups];
  if (is_short<T>(block))
    sum_groups<T, 2>(block.groups, GradientGroup<S, Up, Kind, ShortSums<T, 2>>{block, x, dy, centre}, {sum, sum_x});
  else
    sum_groups<T, 2>(block.groups, GradientGroup<S, Up, Kind, LaneSums<T, 2>>{block, x, dy, centre}, {sum, sum_x});
  each_group<T>(block.groups, TakeSums<S, Up>{block, x, dy, sum, sum_x, centre, out});
}

/// Registers of columns over several rows, which are added up among themselves before they go to the sums in L1.
template <class S, class Up, SumKind Kind>
struct ColumnGradients {
  using T = Arithmetic<S>;
  const S* x;
  Up dy;
  Index rows, stride, columns;
  Centre<T> centre;  // by element: from the first of these rows
  T *sum, *sum_x;

  /// Where the next rows are that are to be asked for by the time that these are done with the first `c` columns: in the
  /// order of memory, which the hardware then follows. The same place of the next rows took 1.4 times as long.
  NORMKIT_INLINE Index next(Index c) const {
    const Index done = rows * c, beyond = columns == stride ? 0 : done / columns * (stride - columns);
    return rows * stride + done + beyond;
  }

  template <bool Whole, int... P>
  NORMKIT_INLINE void step(Index c, Index n, std::integer_sequence<int, P...>) {
    NORMKIT_EXACT
    constexpr bool weighted = Kind == SumKind::weighted, dual = Kind == SumKind::dual;
    constexpr int width = Pack<T>::width;
    using Stat = std::conditional_t<dual, Uniform<T>, Elements<T>>;
    SumGradients<S, decltype(read_run(dy)), Stat, Uniform<T>, weighted, dual, RowSums<T, sizeof...(P)>> row{};
    if constexpr (!dual) {
      row.mean = {centre.statistics.mean + c};
      row.mean_lo = {centre.statistics.mean_lo + c};
    }
    Index ask = next(c);
    for (Index r = 0; r < rows; ++r, ask += static_cast<Index>(sizeof...(P)) * width) {
      row.x = x + r * stride + c;
      row.dy = read_run(dy + (r * stride + c));
      if (!dual && centre.asks)
        ((begins_line<S>(P) ? (prefetch(x + ask + P * width), prefetch(address_of(dy) + ask + P * width)) : void()),
         ...);
      if constexpr (dual) {
        row.mean = {Pack<T>::all(centre.statistics.mean[r])};
        row.mean_lo = {Pack<T>::all(centre.statistics.mean_lo[r])};
        row.rstd = {Pack<T>::all(centre.rstd[r])};
      }
      if constexpr (weighted) row.weight = {Pack<T>::all(centre.weight[r])};
      (row.template step<Whole, P>(P * width, n), ...);
    }
    (add_to<Whole>(sum + c + P * width, n, row.sums.first[0][P]), ...);
    (add_to<Whole>(sum_x + c + P * width, n, row.sums.first[1][P]), ...);
  }
};

template <SumKind Kind, class S, class Up, class T>
void sum_gradients_lanes(const Block& block, const S* x, Up dy, const Centre<T>& centre, GradientSums<T> out) noexcept {
  T sum[max_groups], sum_x[max_groups];
  for (Index c = 0; c < block.groups; ++c) sum[c] = sum_x[c] = T(0);
  for (Index r = 0; r < block.planes; r += rows_at_once) {
    const Index at = r * block.plane_stride;
    ColumnGradients<S, Up, Kind> body{x + at,
                                      dy + at,
                                      least(rows_at_once, block.planes - r),
                                      block.plane_stride,
                                      block.groups,
                                      centre.from_element(r),
                                      sum,
                                      sum_x};
    each_column<T>(block.groups, body);
  }
  each_group<T>(block.groups, TakeSums<S, Up>{block, x, dy, sum, sum_x, centre, out});
}

/// In place of a term that there is not.
struct Absent {};

template <class S, class Upstream, class Group, class Weight, bool Adds>
struct GradientOfInput {
  using T = Arithmetic<S>;
  const S* x;
  Upstream dy;
  const S* added;
  S* dx;
  Group mean, mean_lo, mean_dy, slope, scale;
  Weight weight;
  Index ahead;

  template <bool Whole, Output Out>
  NORMKIT_INLINE void step(Index i, Index n) {
    NORMKIT_EXACT
    const Pack<T> zero = Pack<T>::zero();
    const Pack<T> xc = (load<Whole>(x + i, n, zero) - mean.template at<Whole>(i, n)) - mean_lo.template at<Whole>(i, n);
    Pack<T> d = dy.template at<Whole>(i, n);
    dy.template pass<Whole, Out>(d, i, n);
    if constexpr (!std::is_same_v<Weight, Absent>) d = d * weight.template at<Whole>(i, n);
    d = (d - mean_dy.template at<Whole>(i, n)) - xc * slope.template at<Whole>(i, n);
    if constexpr (Out != Output::cached) {
      prefetch(x + i + ahead);
      prefetch(dy.values + i + ahead);
      if constexpr (Adds) prefetch(added + i + ahead);
    }
    d = d * scale.template at<Whole>(i, n);
    if constexpr (Adds) d = d + load<Whole>(added + i, n, zero);
    put<Whole, Out>(d, dx + i, n);
  }
};

/// The weight of a run: of its elements, or the one of its group.
template <class T, WeightBy By>
NORMKIT_INLINE auto weight_of_run(const T* weight, Index group, Index element) {
  if constexpr (By == WeightBy::element)
    return Elements<T>{weight + element};
  else if constexpr (By == WeightBy::group)
    return Uniform<T>{Pack<T>::all(weight[group])};
  else
    return Absent{};
}
/// The same of a row across lanes.
template <class T, WeightBy By>
NORMKIT_INLINE auto weight_of_row(const T* weight, Index element) {
  if constexpr (By == WeightBy::element)
    return Uniform<T>{Pack<T>::all(weight[element])};
  else if constexpr (By == WeightBy::group)
    return Elements<T>{weight};
  else
    return Absent{};
}

template <bool Cached, WeightBy By, bool Adds, class S, class Up, class T>
void input_gradient_runs(const Block& block, const S* x, Up dy, const S* added, const InputGradient<T>& terms,
                         S* dx) noexcept {
  using Upstream = decltype(read_run(dy));
  for (Index p = 0; p < block.planes; ++p)
    for (Index g = 0; g < block.groups; ++g) {
      const Index at = g * block.group_stride + p * block.plane_stride;
      const auto weight = weight_of_run<T, By>(terms.weight, g, p * block.plane_elements);
      GradientOfInput<S, Upstream, Uniform<T>, std::remove_const_t<decltype(weight)>, Adds> body{
          x + at,
          read_run(dy + at),
          Adds ? added + at : nullptr,
          dx + at,
          {Pack<T>::all(terms.mean[g])},
          {Pack<T>::all(terms.mean_lo[g])},
          {Pack<T>::all(terms.mean_dy[g])},
          {Pack<T>::all(terms.slope[g])},
          {Pack<T>::all(terms.scale[g])},
          weight,
          terms.ahead};
      each_pack_into<Cached>(body.dx, terms.streams, block.length, body);
    }
}

/// Narrow rows in cache, as NormalizeDown; the weight is none or by group.
template <WeightBy By, bool Adds, class S>
struct GradientDown {
  using T = Arithmetic<S>;
  const Block& block;
  const S *x, *dy, *added;
  const InputGradient<T>& terms;
  S* dx;

  template <bool Whole>
  NORMKIT_INLINE auto weight(Index c, Index n) const {
    if constexpr (By == WeightBy::group)
      return uniform_down<Whole>(terms.weight + c, n);
    else
      return Absent{};
  }
  template <bool Whole, int... P>
  NORMKIT_INLINE void step(Index c, Index n, std::integer_sequence<int, P...>) {
    constexpr int width = Pack<T>::width;
    using Weight = decltype(weight<Whole>(c, n));
    GradientOfInput<S, Elements<S>, Uniform<T>, Weight, Adds> down[] = {
        {x + c + P * width,
         {dy + c + P * width},
         Adds ? added + c + P * width : nullptr,
         dx + c + P * width,
         uniform_down<Whole>(terms.mean + c + P * width, n),
         uniform_down<Whole>(terms.mean_lo + c + P * width, n),
         uniform_down<Whole>(terms.mean_dy + c + P * width, n),
         uniform_down<Whole>(terms.slope + c + P * width, n),
         uniform_down<Whole>(terms.scale + c + P * width, n),
         weight<Whole>(c + P * width, n),
         0}...};
    for (Index p = 0; p < block.planes; ++p)
      (down[P].template step<Whole, Output::cached>(p * block.plane_stride, n), ...);
  }
};

template <bool Cached, WeightBy By, bool Adds, class S, class Up, class T>
void input_gradient_lanes(const Block& block, const S* x, Up dy, const S* added, const InputGradient<T>& terms,
                          S* dx) noexcept {
  if constexpr (Cached && By != WeightBy::element && std::is_pointer_v<Up>)
    if (block.groups <= narrow_row<T>) {
      GradientDown<By, Adds, S> body{block, x, dy, added, terms, dx};
      return each_column<T>(block.groups, body);
    }
  using Upstream = decltype(read_run(dy));
  for (Index p = 0; p < block.planes; ++p) {
    const Index at = p * block.plane_stride;
    const auto weight = weight_of_row<T, By>(terms.weight, p);
    GradientOfInput<S, Upstream, Elements<T>, std::remove_const_t<decltype(weight)>, Adds> body{
        x + at,          read_run(dy + at), Adds ? added + at : nullptr,
        dx + at,         {terms.mean},      {terms.mean_lo},
        {terms.mean_dy}, {terms.slope},     {terms.scale},
        weight,          terms.ahead};
    each_pack_into<Cached>(body.dx, terms.streams, block.groups, body);
  }
}
