#pragma once

#include <normkit/detail/plan/ragged.hpp>
#include <normkit/layer.hpp>

namespace normkit {

/// Where rows of different lengths begin in a tensor of rank 1 that has them one after the other, and where the last ends:
/// integers of rank 1, one more than there are rows, the first 0, never falling, the last the size of the tensor.
template <class O>
concept RowOffsets =
    DenseTensor<O> && std::is_integral_v<detail::ScalarOf<O>> && !std::is_same_v<detail::ScalarOf<O>, bool> &&
    detail::rank_of<O> == 1;

namespace detail {

/// Rows of different lengths without padding, each normalized over its own. For norms `Base` over one axis: normalized_shape is the
/// length that a row may have at most, and a shorter one takes the first elements of weight and bias.
template <class Base>
class RaggedRows : public Base {
  using T = typename Base::Tensor::Scalar;

  template <class X, class... Y>
  static constexpr bool packs() {
    if constexpr (TensorInput<X>)
      return rank_of<X> == 1 && std::tuple_size_v<typename Base::NormalizedShape> == 1 &&
             Base::template takes<X, Y...>();
    else
      return false;
  }

 public:
  using Base::backward;
  using Base::forward;
  using Base::infer;
  using typename Base::Saved;

  /// forward of each row. An empty row gives nothing.
  /// Shapes   x and y (offsets(rows))
  /// Memory   y may be x (then there is no backward), or lie apart from it; no allocation after the first call with a shape
  /// Threads  as forward; a row has one thread
  /// Throws   as forward; argument_error for offsets that are none, shape_error for a row longer than normalized_shape
  template <class Device, class X, RowOffsets O, class Y>
  requires(Base::template is_device<Device>&& packs<X, Y>()) void forward(const Device& device, const X& x, O&& offsets,
                                                                          Y&& y, Saved& saved) {
    decltype(auto) input = dense<Y>(device, x);
    const Shape shape = this->checked_shape(input);
    const auto rows = rows_of(shape, offsets);
    this->check_output(shape, "x", elements(input), "y", y);
    run_forward(device, rows, elements(input), elements(y), saved.resize(rows.count));
    saved.source = Saved::Source::batch;
    saved.template describe<ScalarOf<X>>(shape, view_of_rows(shape, rows.count), Base::current_about(),
                                         shape.size() > 0 && y.data() == input.data());
  }
  template <class Device, class X, RowOffsets O, class Y>
  requires(Base::template is_device<Device>&& packs<X, Y>()) void forward(const Device& device, const X& x, O&& offsets,
                                                                          Y&& y) {
    forward(device, x, offsets, y, this->saved_);
  }
  template <class X, RowOffsets O, class Y>
  requires(packs<X, Y>()) void forward(const X& x, O&& offsets, Y&& y, Saved& saved) {
    forward(Eigen::DefaultDevice(), x, offsets, y, saved);
  }
  template <class X, RowOffsets O, class Y>
  requires(packs<X, Y>()) void forward(const X& x, O&& offsets, Y&& y) {
    forward(Eigen::DefaultDevice(), x, offsets, y, this->saved_);
  }

  /// The same, keeping nothing. Const and lock-free, as infer.
  template <class Device, class X, RowOffsets O, class Y>
  requires(Base::template is_device<Device>&& packs<X, Y>()) void infer(const Device& device, const X& x, O&& offsets,
                                                                        Y&& y) const {
    decltype(auto) input = dense<Y>(device, x);
    const Shape shape = this->checked_shape(input);
    const auto rows = rows_of(shape, offsets);
    this->check_output(shape, "x", elements(input), "y", y);
    run_forward(device, rows, elements(input), elements(y), {});
  }
  template <class X, RowOffsets O, class Y>
  requires(packs<X, Y>()) void infer(const X& x, O&& offsets, Y&& y) const {
    infer(Eigen::DefaultDevice(), x, offsets, y);
  }

  /// Gradients of such a forward; `offsets` are those of the forward. An element of weight and bias has those of the rows that
  /// reach it.
  /// Shapes   x, dy and dx the same; dx may be of any shape where `which.input` is false
  /// Memory   dx may be dy or x, or lie apart from both
  /// Threads  as forward
  /// Throws   as backward; state_error for another number of rows
  template <class Device, class X, RowOffsets O, class DY, class DX, std::same_as<Saved> Kept>
  requires(Base::template is_device<Device>&& packs<X, DY, DX>()) void backward(const Device& device, const X& x,
                                                                                O&& offsets, const DY& dy, DX&& dx,
                                                                                const Kept& saved,
                                                                                Gradients which = {}) {
    decltype(auto) input = dense<DX>(device, x);
    decltype(auto) upstream = dense<DX>(device, dy);
    const Shape shape = this->checked_shape(input);
    const auto rows = rows_of(shape, offsets);
    this->check_backward(shape, input, upstream, dx, which);
    this->require_saved(shape, view_of_rows(shape, rows.count), saved);
    this->require_input(saved);
    if (shape.size() > 0)
      backward_ragged(executor_for(device, shape.size()), rows,
                      this->backward_call({}, saved, elements(input), elements(upstream),
                                          which.input ? elements(dx) : nullptr, which));
  }
  template <class Device, class X, RowOffsets O, class DY, class DX>
  requires(Base::template is_device<Device>&& packs<X, DY, DX>()) void backward(const Device& device, const X& x,
                                                                                O&& offsets, const DY& dy, DX&& dx,
                                                                                Gradients which = {}) {
    backward(device, x, offsets, dy, dx, this->saved_, which);
  }
  template <class X, RowOffsets O, class DY, class DX, std::same_as<Saved> Kept>
  requires(packs<X, DY, DX>()) void backward(const X& x, O&& offsets, const DY& dy, DX&& dx, const Kept& saved,
                                             Gradients which = {}) {
    backward(Eigen::DefaultDevice(), x, offsets, dy, dx, saved, which);
  }
  template <class X, RowOffsets O, class DY, class DX>
  requires(packs<X, DY, DX>()) void backward(const X& x, O&& offsets, const DY& dy, DX&& dx, Gradients which = {}) {
    backward(Eigen::DefaultDevice(), x, offsets, dy, dx, this->saved_, which);
  }

 protected:
  using Base::Base;

 private:
  /// As if the rows were as long as all together: no tensor of rank 1 has such a view, but for a single row.
  static StatView view_of_rows(const Shape& shape, Index rows) noexcept { return {1, 1, rows, shape.size()}; }

  template <class O>
  auto rows_of(const Shape& shape, const O& offsets) const {
    const auto refuse = [&](const std::string& expected) {
      raise(argument_error(words(Base::current_name()) + ": expected offsets " + expected));
    };
    require_no_gaps(Base::current_name(), "offsets", shape_of(offsets));
    this->require_parameters(this->normalized_shape());
    const scalar::Rows<ScalarOf<O>> rows{offsets.data(), static_cast<Index>(offsets.size()) - 1};
    if (rows.count < 0) refuse("of at least 1 element, got none");
    if (rows.begin(0) != 0) refuse("that begin with 0, got " + std::to_string(rows.begin(0)));
    for (Index r = 0; r < rows.count; ++r) {
      if (rows.begin(r + 1) < rows.begin(r))
        refuse("that do not fall, got " + std::to_string(rows.begin(r + 1)) + " after " +
               std::to_string(rows.begin(r)));
      if (rows.length(r) > this->normalized_shape()[0])
        raise(shape_error(words(Base::current_name()) + ": expected rows of at most " +
                          std::to_string(this->normalized_shape()[0]) + " elements, got " +
                          std::to_string(rows.length(r)) + " in row " + std::to_string(r)));
    }
    if (rows.begin(rows.count) != shape.size())
      refuse("that end with the size of x, " + std::to_string(shape.size()) + ", got " +
             std::to_string(rows.begin(rows.count)));
    return rows;
  }
  template <class Device, Stored S, class Offset>
  void run_forward(const Device& device, const scalar::Rows<Offset>& rows, const S* x, S* y,
                   const Statistics<T>& saved) const {
    const Index size = rows.begin(rows.count);
    if (size > 0)
      forward_ragged<S>(executor_for(device, size), rows,
                        {{}, Base::current_about(), this->eps(), this->current_affine(), x, y, saved});
  }
};

}  // namespace detail
}  // namespace normkit
