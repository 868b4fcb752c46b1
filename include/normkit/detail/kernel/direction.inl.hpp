// The derivative of a forward in a direction, and the gradients of its backward (docs/derivations.md, "In a direction"): one
// number at a time, in double, so that of float only the results are rounded. Compiled once.

template <class S>
double number(S stored) noexcept {
  return static_cast<double>(value(stored));
}

/// What xhat is made with, and rstd without its exponent. The exponent goes in halves, each of which has a power of two, and one of
/// them first: the greatest numbers have differences too.
struct Normalizer {
  double mean, mean_lo, half, rest, scaled_rstd, rstd;

  template <class T>
  static Normalizer of(SavedStatistics<T> saved, Index s) noexcept {
    NORMKIT_EXACT
    const int exponent = saved.exponent[s], of_half = exponent / 2;
    const double half = shifted(1.0, -of_half);
    return {static_cast<double>(saved.mean[s]) * half,
            static_cast<double>(saved.mean_lo[s]),
            half,
            shifted(1.0, of_half - exponent),
            saved.rstd[s],
            shifted(saved.rstd[s], -exponent)};
  }
  double xhat(double x) const noexcept {
    NORMKIT_EXACT
    return ((x * half - mean) * rest - mean_lo) * scaled_rstd;
  }
};

/// A parameter along a run: by element, or one number for all of it. Null: `missing`.
template <class T>
struct AlongRun {
  const T* values;
  Index step;
  double missing, plus;

  AlongRun(const T* parameter, bool by_element, Index group, Index element, double otherwise, bool plus_one) noexcept
      : values(parameter ? parameter + (by_element ? element : group) : nullptr),
        step(by_element ? 1 : 0),
        missing(otherwise),
        plus(plus_one ? 1.0 : 0.0) {}
  double operator[](Index i) const noexcept {
    NORMKIT_EXACT
    return values ? static_cast<double>(values[i * step]) + plus : missing;
  }
};

/// A block of a call: tensors from its first element on, statistics from its first group, parameters from its first group or
/// its first element. dy is null where there is no backward; of parameters, null is 1, 0 and 0.
template <Stored S, class T = Arithmetic<S>>
struct DirectionBlock {
  const Block& block;
  SavedStatistics<T> saved;
  const S *x, *v, *dy;
  const T *weight, *weight_v, *bias_v;
  bool by_element, zero_centred;

  AlongRun<T> weight_of(Index g, Index element) const noexcept {
    return {weight, by_element, g, element, 1.0, zero_centred};
  }
  AlongRun<T> direction_of(const T* parameter, Index g, Index element) const noexcept {
    return {parameter, by_element, g, element, 0.0, false};
  }
  /// `body` of each run: its group, the number of its first element in the group, and where that is in memory.
  template <class Body>
  void each_run(const Body& body) const noexcept {
    for (Index p = 0; p < block.planes; ++p)
      for (Index g = 0; g < block.groups; ++g)
        body(g, p * block.plane_elements, g * block.group_stride + p * block.plane_stride);
  }
};

/// sum += the product, which is rounded to double.
template <class T>
void add_product(Wide<T>& sum, double a, double b) noexcept {
  NORMKIT_EXACT
  sum = sum + widen<T>(a * b);
}

/// Sums of v, e = dy times a weight by element, f = dy times the direction of weight, and of products, over each group.
template <class S, class T>
void sum_directions(const DirectionBlock<S, T>& at, DirectionSums<T> out) noexcept {
  for (int kind = 0; kind < DirectionSums<T>::kinds; ++kind)
    for (Index g = 0; g < at.block.groups; ++g) out(kind, g) = widen<T>(0.0);
  at.each_run([&](Index g, Index element, Index start) noexcept {
    NORMKIT_EXACT
    const Normalizer normalizer = Normalizer::of(at.saved, g);
    const AlongRun<T> weight = at.weight_of(g, element), weight_v = at.direction_of(at.weight_v, g, element);
    Wide<T> sums[DirectionSums<T>::kinds];
    for (int kind = 0; kind < DirectionSums<T>::kinds; ++kind) sums[kind] = out(kind, g);
    for (Index i = 0; i < at.block.length; ++i) {
      const double v = number(at.v[start + i]), xhat = normalizer.xhat(number(at.x[start + i]));
      add_product<T>(sums[0], v, 1.0);
      add_product<T>(sums[1], v, xhat);
      if (!at.dy) continue;
      const double dy = number(at.dy[start + i]), e = at.by_element ? weight[i] * dy : dy, f = weight_v[i] * dy;
      add_product<T>(sums[2], e, 1.0);
      add_product<T>(sums[3], e, xhat);
      add_product<T>(sums[4], v, e);
      add_product<T>(sums[5], f, 1.0);
      add_product<T>(sums[6], f, xhat);
    }
    for (int kind = 0; kind < DirectionSums<T>::kinds; ++kind) out(kind, g) = sums[kind];
  });
}

/// Of the first `kinds`.
template <class T>
void merge_directions(Index groups, int kinds, DirectionSums<T> into, DirectionSums<T> other) noexcept {
  for (int kind = 0; kind < kinds; ++kind)
    for (Index g = 0; g < groups; ++g) into(kind, g) = into(kind, g) + other(kind, g);
}

/// The means of n elements, and with them `joint`, which is mean(v * e) without what is along 1 and along xhat. Where the
/// statistics are given nothing is taken out; about zero nothing along 1.
template <class T>
void direction_means(Index groups, DirectionSums<T> sums, Index n, bool given, bool about_mean,
                     DirectionMeans* out) noexcept {
  NORMKIT_EXACT
  const Wide<T> count = widen<T>(static_cast<double>(n)), zero = widen<T>(0.0);
  for (Index g = 0; g < groups; ++g) {
    const auto mean = [&](int kind, bool wanted) { return wanted ? sums(kind, g) / count : zero; };
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
    const double more = means[g].joint * static_cast<double>(n) * Normalizer::of(saved, g).rstd;
    weight_grad[g] = narrow<T>(exact_sum<T>(static_cast<double>(weight_grad[g]), more));
  }
}

/// The derivative of y in the direction (v, weight_v, bias_v), which is the gradient of dy too; and that of x. Both of each
/// element are made before one is written.
template <class S, class T>
void map_directions(const DirectionBlock<S, T>& at, const DirectionMeans* means, bool given, S* y_v,
                    S* x_grad) noexcept {
  at.each_run([&](Index g, Index element, Index start) noexcept {
    NORMKIT_EXACT
    const Normalizer normalizer = Normalizer::of(at.saved, g);
    const DirectionMeans m = means[g];
    const double r = normalizer.rstd;
    const AlongRun<T> weights = at.weight_of(g, element);
    const AlongRun<T> weights_v = at.direction_of(at.weight_v, g, element);
    const AlongRun<T> biases_v = at.direction_of(at.bias_v, g, element);
    for (Index i = 0; i < at.block.length; ++i) {
      const double xhat = normalizer.xhat(number(at.x[start + i])), weight = weights[i], weight_v = weights_v[i];
      const double v = (number(at.v[start + i]) - m.v) - xhat * m.v_xhat;
      const double y = weight * (r * v) + (weight_v * xhat + biases_v[i]);
      if (at.dy) {
        const double dy = number(at.dy[start + i]);
        const double e = ((at.by_element ? weight * dy : dy) - m.e) - xhat * m.e_xhat;
        double grad = r * ((weight_v * dy - m.f) - xhat * m.f_xhat);
        if (!given) {
          const double by_group = at.by_element ? 1.0 : weight;
          grad = grad - (r * by_group) * (r * ((m.joint * xhat + m.e_xhat * v) + m.v_xhat * e));
        }
        x_grad[start + i] = stored<S>(static_cast<T>(grad));
      }
      y_v[start + i] = stored<S>(static_cast<T>(y));
    }
  });
}

/// On the dual view, where statistics go by element: sums of rstd * dy * (v - mean(v) - xhat * mean(v * xhat)).
template <class S, class T>
void sum_joint(const DirectionBlock<S, T>& at, const DirectionMeans* means, Wide<T>* out) noexcept {
  for (Index g = 0; g < at.block.groups; ++g) out[g] = widen<T>(0.0);
  const auto add = [&](const Normalizer& normalizer, const DirectionMeans& m, Index g, Index i) noexcept {
    NORMKIT_EXACT
    const double xhat = normalizer.xhat(number(at.x[i]));
    add_product<T>(out[g], number(at.dy[i]), normalizer.rstd * ((number(at.v[i]) - m.v) - xhat * m.v_xhat));
  };
  for (Index p = 0; p < at.block.planes; ++p)
    for (Index s = p * at.block.plane_elements, i = 0; i < at.block.length; ++i) {
      const Normalizer normalizer = Normalizer::of(at.saved, s + i);
      for (Index g = 0; g < at.block.groups; ++g)
        add(normalizer, means[s + i], g, g * at.block.group_stride + p * at.block.plane_stride + i);
    }
}

template <class T>
void add_sums(Index groups, const Wide<T>* sums, T* gradient) noexcept {
  NORMKIT_EXACT
  for (Index g = 0; g < groups; ++g) gradient[g] = narrow<T>(widen<T>(static_cast<double>(gradient[g])) + sums[g]);
}
