// The derivative of a forward in a direction, and the gradients of its backward (docs/derivations.md, "In a direction"): one
// number at a time, in double, so that of float only the results are rounded. Compiled once.

/// A block of a call: tensors from its first element on, statistics from its first group, parameters from its first group or
/// its first element. dy is null where there is no backward; of parameters, null is 1, 0 and 0.
template <Stored S, class T = Arithmetic<S>>
struct DirectionBlock {
  const Block& block;
  SavedStatistics<T> saved;
  const S *x, *v, *dy;
  const T *weight, *weight_v, *bias_v;
  bool by_element, zero_centred;

  double weight_at(Index g, Index element) const noexcept {
    NORMKIT_EXACT
    if (!weight) return 1.0;
    return (zero_centred ? 1.0 : 0.0) + static_cast<double>(weight[by_element ? element : g]);
  }
  double direction_at(const T* parameter, Index g, Index element) const noexcept {
    return parameter ? static_cast<double>(parameter[by_element ? element : g]) : 0.0;
  }
  /// `body` of each element: its group, its number in it and its place in memory.
  template <class Body>
  void each(Body&& body) const noexcept {
    for (Index p = 0; p < block.planes; ++p)
      for (Index g = 0; g < block.groups; ++g)
        for (Index i = 0; i < block.length; ++i)
          body(g, p * block.plane_elements + i, g * block.group_stride + p * block.plane_stride + i);
  }
};

template <class S>
double number(S stored) noexcept {
  return static_cast<double>(value(stored));
}
/// xhat of the statistic s.
template <class S, class T>
double xhat_of(S x, SavedStatistics<T> saved, Index s) noexcept {
  NORMKIT_EXACT
  const double centred = number(x) - static_cast<double>(saved.mean[s]);
  return (shifted(centred, -saved.exponent[s]) - static_cast<double>(saved.mean_lo[s])) * saved.rstd[s];
}
template <class T>
double rstd_of(SavedStatistics<T> saved, Index s) noexcept {
  return shifted(saved.rstd[s], -saved.exponent[s]);
}

/// sum += the product, which is rounded to double.
template <class T>
void add_product(Wide<T>& sum, double a, double b) noexcept {
  NORMKIT_EXACT
  sum = sum + widen<T>(a * b);
}

/// Sums of v, e = dy times a weight by element, f = dy times the direction of weight, and of products, over each group.
template <class S, class T>
void sum_directions(const DirectionBlock<S, T>& at, DirectionSums<T> out) noexcept {
  for (int which = 0; which < DirectionSums<T>::kinds; ++which)
    for (Index g = 0; g < at.block.groups; ++g) out(which, g) = widen<T>(0.0);
  at.each([&](Index g, Index element, Index i) noexcept {
    NORMKIT_EXACT
    const double v = number(at.v[i]), xhat = xhat_of(at.x[i], at.saved, g);
    add_product<T>(out(0, g), v, 1.0);
    add_product<T>(out(1, g), v, xhat);
    if (!at.dy) return;
    const double dy = number(at.dy[i]), e = at.by_element ? at.weight_at(g, element) * dy : dy;
    const double f = at.direction_at(at.weight_v, g, element) * dy;
    add_product<T>(out(2, g), e, 1.0);
    add_product<T>(out(3, g), e, xhat);
    add_product<T>(out(4, g), v, e);
    add_product<T>(out(5, g), f, 1.0);
    add_product<T>(out(6, g), f, xhat);
  });
}

/// Of the first `kinds`.
template <class T>
void merge_directions(Index groups, int kinds, DirectionSums<T> into, DirectionSums<T> other) noexcept {
  for (int which = 0; which < kinds; ++which)
    for (Index g = 0; g < groups; ++g) into(which, g) = into(which, g) + other(which, g);
}

/// The means of n elements, and with them `joint`, which is mean(v * e) without what is along 1 and along xhat. Where the
/// statistics are given nothing is taken out; about zero nothing along 1.
template <class T>
void direction_means(Index groups, DirectionSums<T> sums, Index n, bool given, bool about_mean,
                     DirectionMeans* out) noexcept {
  NORMKIT_EXACT
  const Wide<T> count = widen<T>(static_cast<double>(n)), zero = widen<T>(0.0);
  for (Index g = 0; g < groups; ++g) {
    const auto mean = [&](int which, bool wanted) { return wanted ? sums(which, g) / count : zero; };
    const Wide<T> v = mean(0, !given && about_mean), v_xhat = mean(1, !given);
    const Wide<T> e = mean(2, !given && about_mean), e_xhat = mean(3, !given);
    out[g] = {nearest(v),
              nearest(v_xhat),
              nearest(e),
              nearest(e_xhat),
              nearest(mean(4, true) - v * e - v_xhat * e_xhat),
              nearest(mean(5, !given && about_mean)),
              nearest(mean(6, !given))};
  }
}

/// The gradient of a weight by group, n * rstd * joint, added to what is there.
template <class T>
void add_joint(Index groups, const DirectionMeans* means, Index n, SavedStatistics<T> saved, T* weight_grad) noexcept {
  NORMKIT_EXACT
  for (Index g = 0; g < groups; ++g) {
    const double more = means[g].joint * static_cast<double>(n) * rstd_of(saved, g);
    weight_grad[g] = narrow<T>(exact_sum<T>(static_cast<double>(weight_grad[g]), more));
  }
}

/// The derivative of y in the direction (v, weight_v, bias_v), which is the gradient of dy too; and that of x. Both of each
/// element are made before one is written.
template <class S, class T>
void map_directions(const DirectionBlock<S, T>& at, const DirectionMeans* means, bool given, S* y_v,
                    S* x_grad) noexcept {
  at.each([&](Index g, Index element, Index i) noexcept {
    NORMKIT_EXACT
    const DirectionMeans& m = means[g];
    const double xhat = xhat_of(at.x[i], at.saved, g), r = rstd_of(at.saved, g);
    const double v = (number(at.v[i]) - m.v) - xhat * m.v_xhat;
    const double weight = at.weight_at(g, element), weight_v = at.direction_at(at.weight_v, g, element);
    const double y = weight * (r * v) + (weight_v * xhat + at.direction_at(at.bias_v, g, element));
    if (at.dy) {
      const double dy = number(at.dy[i]), e = ((at.by_element ? weight * dy : dy) - m.e) - xhat * m.e_xhat;
      double grad = r * ((weight_v * dy - m.f) - xhat * m.f_xhat);
      if (!given) {
        const double by_group = at.by_element ? 1.0 : weight;
        grad = grad - (r * by_group) * (r * ((m.joint * xhat + m.e_xhat * v) + m.v_xhat * e));
      }
      x_grad[i] = stored<S>(static_cast<T>(grad));
    }
    y_v[i] = stored<S>(static_cast<T>(y));
  });
}

/// On the dual view, where statistics go by element: sums of rstd * dy * (v - mean(v) - xhat * mean(v * xhat)).
template <class S, class T>
void sum_joint(const DirectionBlock<S, T>& at, const DirectionMeans* means, Wide<T>* out) noexcept {
  for (Index g = 0; g < at.block.groups; ++g) out[g] = widen<T>(0.0);
  at.each([&](Index g, Index s, Index i) noexcept {
    NORMKIT_EXACT
    const double xhat = xhat_of(at.x[i], at.saved, s);
    const double v = (number(at.v[i]) - means[s].v) - xhat * means[s].v_xhat;
    add_product<T>(out[g], number(at.dy[i]), rstd_of(at.saved, s) * v);
  });
}

template <class T>
void add_sums(Index groups, const Wide<T>* sums, T* gradient) noexcept {
  NORMKIT_EXACT
  for (Index g = 0; g < groups; ++g) gradient[g] = narrow<T>(widen<T>(static_cast<double>(gradient[g])) + sums[g]);
}
