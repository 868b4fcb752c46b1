// The gradients of careful.inl.hpp.

/// What is summed: dy alone or times a weight by element; with statistics by group, or by element (`dual`), and then times
/// rstd.
template <class T>
struct SumOf {
  const T* weight = nullptr;
  bool dual = false;
};

/// The sums of one group of a block, whatever its numbers.
template <class S, class Up, class T>
NORMKIT_RARE void sum_carefully(const Block& block, Index group, const S* x, const Up& dy,
                                SavedStatistics<T> statistics, SumOf<T> kind, GradientSums<T> out) noexcept {
  NORMKIT_EXACT
  const T* const weight = kind.weight;
  const bool dual = kind.dual;
  const auto upstream = [&](Index at, Index element) {
    const Shifted<T> d = Shifted<T>::of(value(dy[at]));
    return weight ? d * Shifted<T>::of(weight[element]) : d;
  };
  const auto input = [&](Index at, Index element) {
    return dual ? normalized(value(x[at]), statistics.from(element)) : centred(value(x[at]), statistics);
  };
  int most = exponent_of_zero, most_x = exponent_of_zero;
  each_element(block, group, [&](Index at, Index element) {
    const Shifted<T> up = upstream(at, element);
    const int d = up.magnitude(), product = (up * input(at, element)).magnitude();
    most = d > most ? d : most;
    most_x = product > most_x ? product : most_x;
  });
  most = exponent_for<T>(most);
  most_x = exponent_for<T>(most_x);
  Wide<T> sum = widen<T>(0.0), sum_x = sum;
  each_element(block, group, [&](Index at, Index element) {
    const Shifted<T> d = upstream(at, element);
    sum = sum + d.over(most);
    sum_x = sum_x + (d * input(at, element)).over(most_x);
  });
  *out.dy = sum;
  *out.dy_exponent = most;
  *out.dy_x = sum_x;
  *out.dy_x_exponent = most_x;
}

/// Whether every product dy * weight * (x - mean) of one group of a block is 0 because a factor is, while dy * weight
/// itself, which is summed too, has all its digits.
template <class S, class Up, class T>
NORMKIT_RARE bool products_vanish(const Block& block, Index group, const S* x, const Up& dy,
                                  SavedStatistics<T> statistics, SumOf<T> kind) noexcept {
  NORMKIT_EXACT
  bool vanish = true;
  each_element(block, group, [&](Index at, Index element) {
    const auto s = kind.dual ? statistics.from(element) : statistics;
    const T weight = kind.weight ? kind.weight[element] : T(1), d = value(dy[at]);
    const bool no_gradient = d == T(0) || weight == T(0);
    const bool no_input = (value(x[at]) - *s.mean) - *s.mean_lo == T(0);
    vanish &= no_gradient || (no_input && (!kind.weight || ordinary<T>(static_cast<double>(d * weight))));
  });
  return vanish;
}

/// What the gradient of the input needs of a group where T does not hold it.
template <class T>
struct CarefulMeans {
  Shifted<T> dy, dy_xhat;
};

/// The weight in the gradient of the input: of dy, for each element or one for the group; or of the scale, where the means
/// are without it. Null where absent.
template <class T>
struct CarefulWeight {
  const T* of_dy;
  WeightBy by;
  const T* of_scale;

  CarefulWeight from(Index group) const {
    return {of_dy && by == WeightBy::group ? of_dy + group : of_dy, by, of_scale ? of_scale + group : nullptr};
  }
};

/// dx of one group of a block from statistics of the batch; `added` is null where nothing is.
template <class S, class Up, class T = Arithmetic<S>>
NORMKIT_RARE void input_gradient_carefully(const Block& block, Index group, const S* x, const Up& dy, const S* added,
                                           SavedStatistics<T> statistics, const CarefulMeans<T>& mean,
                                           const CarefulWeight<T>& weight, S* dx) noexcept {
  NORMKIT_EXACT
  Shifted<T> scale{widen<T>(*statistics.rstd), -*statistics.exponent};
  if (weight.of_scale) scale = scale * Shifted<T>::of(*weight.of_scale);
  each_element(block, group, [&](Index at, Index element) {
    const S number = dy[at];
    const Shifted<T> xhat = normalized(value(x[at]), statistics);  // what is passed on may go in the place of x
    pass(dy, at, number);
    Shifted<T> d = Shifted<T>::of(value(number));
    if (weight.of_dy) d = d * Shifted<T>::of(weight.of_dy[weight.by == WeightBy::element ? element : 0]);
    const Shifted<T> rest = (d + -mean.dy) + -(xhat * mean.dy_xhat);
    Shifted<T> whole = rest * scale;
    if (added) whole = whole + Shifted<T>::of(value(added[at]));
    dx[at] = stored<S>(narrow<T>(whole.plain()));
  });
}
