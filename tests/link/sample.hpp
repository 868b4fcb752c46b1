// A little of everything that normkit computes. generic.cpp and native.cpp each compile a copy for a CPU of their own,
// hence the unnamed namespace: the linker must not take one copy for both.
#pragma once

#include <cmath>
#include <cstddef>
#include <normkit/normkit.hpp>
#include <unsupported/Eigen/CXX11/Tensor>
#include <vector>

namespace {

template <class T>
using Rows = Eigen::Tensor<T, 4, Eigen::RowMajor>;

/// Values with no pattern that a lane width could hide behind; the same on every machine.
template <class T>
void fill(Rows<T>& x, double scale, double shift) {
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    const auto noise = static_cast<double>((static_cast<unsigned long long>(i) * 2654435761u + 12345u) % 65536u);
    x.data()[i] = static_cast<T>(shift + scale * (noise / 32768.0 - 1.0));
  }
}

template <class Tensor>
void append(std::vector<double>& out, const Tensor& values) {
  for (Eigen::Index i = 0; i < values.size(); ++i) out.push_back(static_cast<double>(values.data()[i]));
}

/// Forward, backward and evaluation of one norm on x, and all that they leave behind, as doubles: exact for float too.
template <class T, class Norm>
void append_norm(std::vector<double>& out, Norm norm, const Rows<T>& x, const Rows<T>& dy) {
  Rows<T> y(x.dimensions()), dx(x.dimensions());
  norm.forward(x, y);
  append(out, y);
  norm.backward(x, dy, dx);
  append(out, dx);
  append(out, norm.weight_grad());
  append(out, norm.bias_grad());
  norm.eval();
  norm.infer(x, y);
  append(out, y);
}

template <class T>
void append_all(std::vector<double>& out) {
  // Odd extents, so that every kernel has a tail; a mean far from zero, so that the low part of the mean matters.
  Rows<T> x(3, 5, 7, 11), dy(3, 5, 7, 11);
  fill(x, 0.5, 1000.0);
  fill(dy, 1.0, 0.1);
  append_norm(out, normkit::BatchNorm2d<T>(5), x, dy);
  append_norm(out, normkit::BatchNorm<T>(11, {.channel_axis = -1}), x, dy);
  append_norm(out, normkit::LayerNorm<T>(11), x, dy);
  append_norm(out, normkit::LayerNorm<T, 3>({5, 7, 11}), x, dy);
  append_norm(out, normkit::LayerNorm<T>(5, {.axis = 1}), x, dy);
  const auto moments = normkit::moments(x, {0, 2, 3});
  append(out, moments.mean);
  append(out, moments.var);
}

std::vector<double> sample() {
  std::vector<double> out;
  append_all<float>(out);
  append_all<double>(out);
  return out;
}

}  // namespace
