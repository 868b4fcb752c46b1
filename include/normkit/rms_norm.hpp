#pragma once

#include <limits>

#include <normkit/from_output.hpp>
#include <normkit/ragged_rows.hpp>
#include <normkit/token_norm.hpp>

namespace normkit {

/// Options of RMSNorm.
struct RMSNormOptions {
  std::optional<double> eps = std::nullopt;  // >= 0, finite; added to the mean square; none: the epsilon of T
  bool elementwise_affine = true;            // with a weight
  bool zero_centred = false;                 // weight begins at 0 and means 1 + weight
  std::optional<Index> axis = std::nullopt;  // the first normalized axis, negative from the end; none: the last axes
};

/// Root mean square normalization over as many neighbouring axes as `normalized_shape` has, the last ones if not said
/// otherwise. Nothing is subtracted.
///   y = x * rstd * weight,  rstd = 1 / sqrt(mean(x^2) + eps);  zero-centred: y = x * rstd * (1 + weight)
///   dx = rstd * (d - xhat * mean(d * xhat)),  d = dy * weight,  xhat = x * rstd;  dweight += sum(dy * xhat)
/// Shapes   x, y (B..., D...), D = normalized_shape; weight (D...); rstd (B...)
/// Units    rstd 1/[x], eps [x]^2
/// Memory   contiguous; y may be x; no allocation after the first call with a shape
/// Threads  the same bits for any number of threads; infer may run on many at once, the other calls on one
/// Throws   shape_error, argument_error, state_error; outputs and state untouched
/// Source   Zhang, Sennrich 2019, arXiv:1910.07467, section 4; eps as in PyTorch's RMSNorm
/// With more than one normalized axis the layout is part of the type, since the weight lies in memory as x does.
template <detail::Scalar T, int Rank = 1, int Layout = Eigen::RowMajor>
class RMSNorm
    : public detail::FromOutput<detail::RaggedRows<detail::TokenNorm<RMSNorm<T, Rank, Layout>, T, Rank, Layout>>> {
  using Tokens = detail::TokenNorm<RMSNorm, T, Rank, Layout>;
  using Base = detail::FromOutput<detail::RaggedRows<Tokens>>;
  friend Base;
  friend Tokens;
  friend detail::Layer<RMSNorm, T, Rank, Layout>;

 public:
  using typename Base::NormalizedShape;

  /// Throws   argument_error for an extent < 1, a product that overflows, or an option out of its range
  explicit RMSNorm(const NormalizedShape& normalized_shape, const RMSNormOptions& options = {})
      : Base(normalized_shape, options.eps.value_or(static_cast<double>(std::numeric_limits<T>::epsilon())),
             options.axis, options.elementwise_affine, false, options.zero_centred),
        options_(options) {}

  /// Over one axis.
  explicit RMSNorm(Index normalized_shape, const RMSNormOptions& options = {}) requires(Rank == 1)
      : RMSNorm(NormalizedShape{normalized_shape}, options) {}

  /// Copies have all of the state. An assignment that fails for want of memory changes nothing.
  RMSNorm(const RMSNorm&) = default;
  RMSNorm(RMSNorm&&) noexcept = default;
  RMSNorm& operator=(const RMSNorm& other) { return *this = RMSNorm(other); }
  RMSNorm& operator=(RMSNorm&&) noexcept = default;

  const RMSNormOptions& options() const noexcept { return options_; }  // as given

  /// As in PyTorch; what PyTorch does not have is shown where it is not the default.
  friend std::ostream& operator<<(std::ostream& out, const RMSNorm& norm) {
    const RMSNormOptions& o = norm.options_;
    out << "RMSNorm(" << detail::list_of(norm.normalized_shape())
        << ", eps=" << (o.eps ? detail::python_number(*o.eps) : "None")
        << ", elementwise_affine=" << (o.elementwise_affine ? "True" : "False");
    if (o.zero_centred) out << ", zero_centred=True";
    if (o.axis) out << ", axis=" << *o.axis;
    return out << ")";
  }

 private:
  static constexpr std::string_view name() { return "RMSNorm"; }
  static constexpr detail::About about = detail::About::zero;

  RMSNormOptions options_;
};

}  // namespace normkit
