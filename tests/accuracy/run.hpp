// Runs the library on a case and hands what it makes to the judge.
#pragma once

#include <normkit/normkit.hpp>

#include <array>
#include <optional>
#include <vector>

#include "accuracy/judge.hpp"
#include "support/judge.hpp"

namespace accuracy {

using Eigen::Index;

/// The tensors of a case.
template <class Tensor, class T>
struct Tensors {
  explicit Tensors(const Inputs<T>& in) : x(support::sized<Tensor>(in.extents)), dy(x), y(x), dx(x) {
    support::assign(x, in.x);
    support::assign(dy, in.dy);
  }
  /// Backward of the last forward, and what all of it came to.
  template <class Norm, class Device>
  Outputs<T> backward(Norm& norm, const Device& device) {
    norm.zero_grad();
    norm.backward(device, x, dy, dx);
    return {support::values(y), support::values(dx), support::values(norm.weight_grad()),
            support::values(norm.bias_grad())};
  }
  Tensor x, dy, y, dx;
};

template <class T, class Norm>
void set_affine(Norm& norm, const Inputs<T>& in, bool plain) {
  if (plain) return norm.reset_parameters();
  support::assign(norm.weight(), in.weight);
  support::assign(norm.bias(), in.bias);
}

template <class T, class Tensor, class Device>
void run_moments(const Tensor& x, const std::vector<Index>& axes, const Device& device, Judge<T>& judge) {
  const auto result = normkit::moments(device, x, axes);
  judge.moments(support::values(result.mean), support::values(result.var));
}

/// Three batches, which move the running statistics.
template <class T, class Tensor, class Norm, class Device>
void train(Norm& norm, const Tensor& x, Tensor& y, const Device& device, Judge<T>& judge) {
  for (int batch = 0; batch < 3; ++batch) {
    RunningStep<T> step{support::running_of(norm), support::momentum_of(norm), {}, {}};
    norm.forward(device, x, y);
    step.mean = support::values(norm.running_mean());
    step.var = support::values(norm.running_var());
    judge.running(step);
  }
}

/// The momentum is the usual one, with plain parameters none; the one has nothing to do with the other.
template <class Tensor, class T, class Device>
void run_batch_norm(const Case& c, const Inputs<T>& in, const Device& device, Judge<T>& judge) {
  const auto axis = static_cast<Index>(c.integer("axis"));
  std::vector<Index> reduced;
  for (Index a = 0; a < Tensor::NumDimensions; ++a)
    if (a != axis) reduced.push_back(a);
  Tensors<Tensor, T> tensors(in);
  run_moments(tensors.x, reduced, device, judge);
  for (const Pass& pass : passes(c, in)) {
    const std::optional<double> momentum = pass.plain ? std::nullopt : std::optional<double>(0.1);
    normkit::BatchNorm<T> norm(static_cast<Index>(in.g.groups),
                               {.eps = in.eps, .momentum = momentum, .channel_axis = axis});
    set_affine(norm, in, pass.plain);
    if (pass.evaluates) {
      norm.eval();
      support::assign(norm.running_mean(), in.running_mean);
      support::assign(norm.running_var(), in.running_var);
      norm.forward(device, tensors.x, tensors.y);
    } else {
      train(norm, tensors.x, tensors.y, device, judge);
    }
    judge.outputs(pass, tensors.backward(norm, device));
  }
}

/// And RMSNorm on the same data.
template <std::size_t Axes, class Tensor, class T, class Device>
void run_layer_norm(const Case& c, const Inputs<T>& in, const Device& device, Judge<T>& judge) {
  const auto axis = static_cast<Index>(c.integer("axis"));
  std::array<Index, Axes> shape;
  std::vector<Index> reduced;
  for (std::size_t i = 0; i < Axes; ++i) {
    reduced.push_back(axis + static_cast<Index>(i));
    shape[i] = in.extents.at(static_cast<std::size_t>(reduced.back()));
  }
  Tensors<Tensor, T> tensors(in);
  run_moments(tensors.x, reduced, device, judge);
  for (const Pass& pass : passes(c, in)) {
    normkit::LayerNorm<T, static_cast<int>(Axes), Tensor::Layout> norm(shape, {.eps = in.eps, .axis = axis});
    set_affine(norm, in, pass.plain);
    norm.forward(device, tensors.x, tensors.y);
    judge.outputs(pass, tensors.backward(norm, device));

    normkit::RMSNorm<T, static_cast<int>(Axes), Tensor::Layout> rms(shape, {.eps = in.eps, .axis = axis});
    pass.plain ? rms.reset_parameters() : support::assign(rms.weight(), in.weight);
    rms.forward(device, tensors.x, tensors.y);
    judge.about_zero(pass, tensors.backward(rms, device));
  }
}

/// The ranks and layouts that there are cases of.
template <class T, class Device>
void run(const Case& c, const Inputs<T>& in, const Device& device, Judge<T>& judge) {
  using Eigen::ColMajor, Eigen::RowMajor, Eigen::Tensor;
  const std::size_t rank = in.extents.size();
  const std::int64_t axes = c.has("axes") ? c.integer("axes") : 0;
  const bool column_major = c.has("column_major");
  if (axes == 0 && rank == 2 && !column_major)
    run_batch_norm<Tensor<T, 2, RowMajor>>(c, in, device, judge);
  else if (axes == 0 && rank == 3 && !column_major)
    run_batch_norm<Tensor<T, 3, RowMajor>>(c, in, device, judge);
  else if (axes == 0 && rank == 4 && !column_major)
    run_batch_norm<Tensor<T, 4, RowMajor>>(c, in, device, judge);
  else if (axes == 1 && rank == 2 && !column_major)
    run_layer_norm<1, Tensor<T, 2, RowMajor>>(c, in, device, judge);
  else if (axes == 1 && rank == 2)
    run_layer_norm<1, Tensor<T, 2, ColMajor>>(c, in, device, judge);
  else if (axes == 1 && rank == 3 && !column_major)
    run_layer_norm<1, Tensor<T, 3, RowMajor>>(c, in, device, judge);
  else if (axes == 2 && rank == 3 && !column_major)
    run_layer_norm<2, Tensor<T, 3, RowMajor>>(c, in, device, judge);
  else
    refuse("nobody runs " + c.name());
}

}  // namespace accuracy
