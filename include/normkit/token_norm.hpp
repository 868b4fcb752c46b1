#pragma once

#include <normkit/layer.hpp>

namespace normkit::detail {

/// What the norms over neighbouring axes have in common: everything but the statistic, the options and the name.
/// Parameters go by element of a group, training and evaluation are alike, and there is no state beside the parameters.
template <class Derived, Scalar T, int Rank, int Layout>
class TokenNorm : public Layer<Derived, T, Rank, Layout> {
  static_assert(Rank >= 1, "normalized_shape has at least one extent");
  using Base = Layer<Derived, T, Rank, Layout>;
  friend Base;

 public:
  using typename Base::Saved;
  using NormalizedShape = std::array<Index, static_cast<std::size_t>(Rank)>;

  const NormalizedShape& normalized_shape() const noexcept { return normalized_shape_; }
  double eps() const noexcept { return eps_; }

  ShortList<Buffer<T>, 1> buffers() { return {}; }
  ShortList<Buffer<const T>, 1> buffers() const { return {}; }

 protected:
  /// `axis` is the first normalized one, negative from the end; none: the last axes.
  TokenNorm(const NormalizedShape& normalized_shape, double eps, std::optional<Index> axis, bool weight, bool bias,
            bool zero_centred = false)
      : Base(checked(normalized_shape, eps), weight, bias, zero_centred ? T(0) : T(1)),
        normalized_shape_(normalized_shape),
        eps_(eps),
        axis_(axis.value_or(-Rank)),
        zero_centred_(zero_centred) {}

 private:
  static constexpr bool fits(int rank, int layout) { return rank >= Rank && (Rank == 1 || layout == Layout); }

  static const NormalizedShape& checked(const NormalizedShape& shape, double eps) {
    for (const Index extent : shape)
      if (extent < 1)
        throw argument_error(std::string(Derived::name()) +
                             ": expected normalized_shape of extents of at least 1, got " + list_of(shape));
    if (!checked_product(shape))
      throw argument_error(std::string(Derived::name()) +
                           ": expected normalized_shape whose product an Index holds, got " + list_of(shape));
    require_eps(Derived::name(), eps);
    return shape;
  }

  StatView view_of(const Shape& shape) const {
    const Index first = axis_ + (axis_ < 0 ? shape.rank : 0);
    if (first < 0 || first > shape.rank - Rank)
      throw argument_error(std::string(Derived::name()) + ": expected " + std::to_string(Rank) +
                           " axes of x of shape " + shape.text() + " from axis " + std::to_string(axis_) +
                           " on, which it does not have");
    for (std::size_t i = 0; i < normalized_shape_.size(); ++i)
      if (shape[first + static_cast<Index>(i)] != normalized_shape_[i])
        throw shape_error(std::string(Derived::name()) + ": expected extents " + list_of(normalized_shape_) +
                          " from axis " + std::to_string(first) + " on, got x of shape " + shape.text());
    this->require_parameters(normalized_shape_);
    return *make_view(shape, first, Rank, false);
  }
  void require_evaluation() const noexcept {}

  Affine<T> affine() const noexcept {
    return {this->data_or_null(this->weight()), this->data_or_null(this->bias()), true, zero_centred_};
  }

  void normalize(const Executor& execute, const StatView& view, const T* x, T* y, Saved& saved) {
    std::byte* const memory = this->workspace_.reserve(forward_bytes<T>(view));
    const Statistics<T> sink = saved.resize(view.stats());
    saved.source = Saved::Source::batch;
    forward_by_batch<T>(execute, {view, Derived::about, eps_, affine(), x, y, sink}, memory);
  }
  void infer_view(const Executor& execute, const StatView& view, const T* x, T* y) const {
    forward_by_batch<T>(execute, {view, Derived::about, eps_, affine(), x, y}, nullptr);
  }

  NormalizedShape normalized_shape_;
  double eps_;
  Index axis_;
  bool zero_centred_;
};

}  // namespace normkit::detail
