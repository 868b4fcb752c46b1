#pragma once

#include <normkit/from_output.hpp>
#include <normkit/ragged_rows.hpp>
#include <normkit/token_norm.hpp>

namespace normkit {

/// Options of LayerNorm. `elementwise_affine` false leaves out weight and bias; each can also be left out alone.
struct LayerNormOptions {
  double eps = 1e-5;                         // >= 0, finite; added to the variance
  bool elementwise_affine = true;            // with weight and bias
  bool weight = true;                        // false: without weight
  bool bias = true;                          // false: without bias
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
class LayerNorm
    : public detail::FromOutput<detail::RaggedRows<detail::TokenNorm<LayerNorm<T, Rank, Layout>, T, Rank, Layout>>> {
  using Tokens = detail::TokenNorm<LayerNorm, T, Rank, Layout>;
  using Base = detail::FromOutput<detail::RaggedRows<Tokens>>;
  friend Base;
  friend Tokens;
  friend detail::Layer<LayerNorm, T, Rank, Layout>;

 public:
  using typename Base::NormalizedShape;

  /// Throws   argument_error for an extent < 1, a product that overflows, or an option out of its range
  explicit LayerNorm(const NormalizedShape& normalized_shape, const LayerNormOptions& options = {})
      : Base(normalized_shape, options.eps, options.axis, options.elementwise_affine && options.weight,
             options.elementwise_affine && options.bias),
        options_(options) {}

  /// Over one axis.
  explicit LayerNorm(Index normalized_shape, const LayerNormOptions& options = {}) requires(Rank == 1)
      : LayerNorm(NormalizedShape{normalized_shape}, options) {}

  /// Copies have all of the state. An assignment that fails for want of memory changes nothing.
  LayerNorm(const LayerNorm&) = default;
  LayerNorm(LayerNorm&&) noexcept = default;
  LayerNorm& operator=(const LayerNorm& other) { return *this = LayerNorm(other); }
  LayerNorm& operator=(LayerNorm&&) noexcept = default;

  const LayerNormOptions& options() const noexcept { return options_; }  // as given

  /// As in PyTorch; what PyTorch does not have is shown where it is not the default.
  friend std::ostream& operator<<(std::ostream& out, const LayerNorm& norm) {
    const LayerNormOptions& o = norm.options_;
    out << "LayerNorm(" << detail::list_of(norm.normalized_shape()) << ", eps=" << detail::python_number(o.eps)
        << ", elementwise_affine=" << (o.elementwise_affine ? "True" : "False");
    if (o.elementwise_affine && !o.weight) out << ", weight=False";
    if (o.elementwise_affine && !o.bias) out << ", bias=False";
    if (o.axis) out << ", axis=" << *o.axis;
    return out << ")";
  }

 private:
  static constexpr std::string_view name() { return "LayerNorm"; }

  LayerNormOptions options_;
};

}  // namespace normkit
