#pragma once

#include <normkit/layer.hpp>

namespace normkit {

/// Options of LayerNorm. `elementwise_affine` false leaves out weight and bias; each can also be left out alone.
struct LayerNormOptions {
  double eps = 1e-5;  // >= 0, finite; added to the variance
  bool elementwise_affine = true;
  bool weight = true;
  bool bias = true;
  std::optional<Index> axis = std::nullopt;  // the first normalized axis, negative from the end; none: the last axes
};

/// Layer normalization over as many neighbouring axes as `normalized_shape` has, the last ones if not said otherwise.
///   y = (x - mean) * rstd * weight + bias,  rstd = 1 / sqrt(var + eps),  var biased (divisor |D|)
/// Shapes   x, y (B..., D...), D = normalized_shape; weight, bias (D...); mean, rstd (B...)
/// Units    mean [x], rstd 1/[x], eps [x]^2
/// Memory   contiguous; y may be x; no allocation after the first call with a shape
/// Threads  the same bits for any number of threads; infer may run on many at once, the other calls on one
/// Throws   shape_error, argument_error, state_error; outputs and state untouched
/// Source   Ba, Kiros, Hinton 2016, arXiv:1607.06450, section 3
/// With more than one normalized axis the layout is part of the type, since weight and bias lie in memory as x does.
template <detail::Scalar T, int Rank = 1, int Layout = Eigen::RowMajor>
class LayerNorm : public detail::Layer<LayerNorm<T, Rank, Layout>, T, Rank, Layout> {
  static_assert(Rank >= 1, "LayerNorm: normalized_shape has at least one extent");
  using Base = detail::Layer<LayerNorm, T, Rank, Layout>;
  friend Base;

 public:
  using typename Base::Saved;
  using NormalizedShape = std::array<Index, static_cast<std::size_t>(Rank)>;

  /// Throws   argument_error for an extent < 1, a product that overflows, or an option out of its range
  explicit LayerNorm(const NormalizedShape& normalized_shape, const LayerNormOptions& options = {})
      : Base(checked(normalized_shape, options), options.elementwise_affine && options.weight,
             options.elementwise_affine && options.bias),
        options_(options),
        normalized_shape_(normalized_shape) {}

  /// Over one axis.
  explicit LayerNorm(Index normalized_shape, const LayerNormOptions& options = {}) requires(Rank == 1)
      : LayerNorm(NormalizedShape{normalized_shape}, options) {}

  const NormalizedShape& normalized_shape() const noexcept { return normalized_shape_; }
  const LayerNormOptions& options() const noexcept { return options_; }

  /// A LayerNorm has no state beside its parameters.
  ShortList<Buffer<T>, 1> buffers() { return {}; }
  ShortList<Buffer<const T>, 1> buffers() const { return {}; }

  /// As in PyTorch; what PyTorch does not have is shown where it is not the default.
  friend std::ostream& operator<<(std::ostream& out, const LayerNorm& norm) {
    const LayerNormOptions& o = norm.options_;
    out << "LayerNorm(" << detail::list_of(norm.normalized_shape_) << ", eps=" << detail::python_number(o.eps)
        << ", elementwise_affine=" << (o.elementwise_affine ? "True" : "False");
    if (o.elementwise_affine && !o.weight) out << ", weight=False";
    if (o.elementwise_affine && !o.bias) out << ", bias=False";
    if (o.axis) out << ", axis=" << *o.axis;
    return out << ")";
  }

 private:
  static constexpr bool fits(int rank, int layout) { return rank >= Rank && (Rank == 1 || layout == Layout); }
  static constexpr std::string_view name() { return "LayerNorm"; }

  static const NormalizedShape& checked(const NormalizedShape& shape, const LayerNormOptions& options) {
    for (const Index extent : shape)
      if (extent < 1)
        throw argument_error("LayerNorm: expected normalized_shape of extents of at least 1, got " +
                             detail::list_of(shape));
    if (!detail::checked_product(shape))
      throw argument_error("LayerNorm: expected normalized_shape whose product an Index holds, got " +
                           detail::list_of(shape));
    detail::require_eps("LayerNorm", options.eps);
    return shape;
  }

  detail::StatView view_of(const detail::Shape& shape) const {
    const Index given = options_.axis.value_or(-Rank), first = given + (given < 0 ? shape.rank : 0);
    if (first < 0 || first > shape.rank - Rank)
      throw argument_error("LayerNorm: expected " + std::to_string(Rank) + " axes of x of shape " + shape.text() +
                           " from axis " + std::to_string(given) + " on, which it does not have");
    for (std::size_t i = 0; i < normalized_shape_.size(); ++i)
      if (shape[first + static_cast<Index>(i)] != normalized_shape_[i])
        throw shape_error("LayerNorm: expected extents " + detail::list_of(normalized_shape_) + " from axis " +
                          std::to_string(first) + " on, got x of shape " + shape.text());
    this->require_parameters(normalized_shape_);
    return *detail::make_view(shape, first, Rank, false);
  }
  void require_evaluation() const noexcept {}  // the same in training

  detail::Affine<T> affine() const noexcept {
    return {this->data_or_null(this->weight()), this->data_or_null(this->bias()), true};
  }

  void normalize(const detail::Executor& execute, const detail::StatView& view, const T* x, T* y, Saved& saved) {
    std::byte* const memory = this->workspace_.reserve(detail::forward_bytes<T>(view));
    const detail::Statistics<T> sink = saved.resize(view.stats());
    saved.source = Saved::Source::batch;
    detail::forward_by_batch<T>(execute, view, affine(), options_.eps, x, y, sink, {}, memory);
  }
  void infer_view(const detail::Executor& execute, const detail::StatView& view, const T* x, T* y) const {
    detail::forward_by_batch<T>(execute, view, affine(), options_.eps, x, y, {}, {}, nullptr);
  }

  LayerNormOptions options_;
  NormalizedShape normalized_shape_;
};

}  // namespace normkit
