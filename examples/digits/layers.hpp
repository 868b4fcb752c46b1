// The layers: each computes forward, remembers what its backward needs, and adds up the gradients of its parameters.
#pragma once

#include "tensor.hpp"

#include <normkit/normkit.hpp>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "random.hpp"

namespace digits {

/// A name, the values and their gradient. normkit's layers hand these out; the layers below do likewise.
using Parameter = normkit::Parameter<float>;

class Layer {
 public:
  Layer() = default;
  Layer(const Layer&) = delete;  // its parameters are pointed at by whoever trains them
  Layer& operator=(const Layer&) = delete;
  virtual ~Layer() = default;

  virtual Images forward(const Device& device, Images x) = 0;
  virtual Images backward(const Device& device, Images dy) = 0;
  virtual void train() {}
  virtual void eval() {}
  virtual void append_parameters(std::vector<Parameter>&) {}
};

/// Any norm of normkit as a layer: BatchNorm and LayerNorm are called in the same words.
template <class Norm>
class Normalize final : public Layer {
 public:
  explicit Normalize(Norm norm) : norm_(std::move(norm)) {}

  Images forward(const Device& device, Images x) override {
    x_ = std::move(x);  // backward reads it again, so y is not written over it
    Images y(x_.dimensions());
    norm_.forward(device, x_, y);  // BatchNorm: the batch's statistics after train(), the running ones after eval()
    return y;
  }

  Images backward(const Device& device, Images dy) override {
    norm_.backward(device, x_, dy, dy);  // dx takes the place of dy; the gradients of weight and bias grow
    return dy;
  }

  void train() override { norm_.train(); }
  void eval() override { norm_.eval(); }

  void append_parameters(std::vector<Parameter>& all) override {
    for (const auto& parameter : norm_.parameters()) all.push_back(parameter);  // "weight" and "bias"
  }

 private:
  Norm norm_;
  Images x_;
};

/// Weights and biases of a layer that multiplies by a matrix, with their gradients.
struct Affine {
  /// Uniform with variance 2 / inputs, which keeps the size of activations through ReLU (He et al. 2015,
  /// arXiv:1502.01852, section 2.2): a limit of sqrt(3 * 2 / inputs).
  Affine(Index outputs, Index inputs, Random& random)
      : weight(outputs, inputs), weight_grad(outputs, inputs), bias(outputs), bias_grad(outputs) {
    const float limit = std::sqrt(6.0f / static_cast<float>(inputs));
    std::generate_n(weight.data(), weight.size(), [&] { return random.symmetric(limit); });
    bias.setZero();
    weight_grad.setZero();
    bias_grad.setZero();
  }

  void append_parameters(std::vector<Parameter>& all) {
    all.push_back({"weight", {weight.data(), weight.size()}, {weight_grad.data(), weight.size()}});
    all.push_back({"bias", {bias.data(), bias.size()}, {bias_grad.data(), bias.size()}});
  }

  Tensor<2> weight, weight_grad;
  Tensor<1> bias, bias_grad;
};

/// Convolution by 3 x 3 kernels with a border of zeros, so that height and width stay:
///   y(n, o, h, w) = bias(o) + sum over c, i, j of weight(o, c, i, j) x(n, c, h + i - 1, w + j - 1)
class Conv3x3 final : public Layer {
 public:
  Conv3x3(Index in, Index out, Random& random) : in_(in), out_(out), affine_(out, 9 * in, random) {}

  Images forward(const Device& device, Images x) override {
    columns_ = columns(x);
    Images y = convolve(device, affine_.weight, columns_);
    const auto each_place = shape(y.dimension(0), 1, y.dimension(2), y.dimension(3));
    y.device(device) += affine_.bias.reshape(shape(1, out_, 1, 1)).broadcast(each_place);
    return y;
  }

  Images backward(const Device& device, Images dy) override {
    const Images planes = dy.shuffle(shape(1, 0, 2, 3));
    affine_.weight_grad += product(device, rows(planes), 1, rows(columns_), 1);
    affine_.bias_grad += dy.sum(shape(0, 2, 3));

    // dx is a convolution of dy, each kernel turned by half a circle, inputs and outputs exchanged.
    const Tensor<3> turned = affine_.weight.reshape(shape(out_, in_, 9))
                                 .shuffle(shape(1, 0, 2))
                                 .reverse(Eigen::array<bool, 3>{false, false, true});
    return convolve(device, rows(turned), columns(dy));
  }

  void append_parameters(std::vector<Parameter>& all) override { affine_.append_parameters(all); }

 private:
  /// Row (c, i, j) holds what entry (i, j) of a kernel meets in channel c, at each place of each image: (9 C, N, H, W).
  /// Eigen's extract_patches does this in one expression, and takes eight times as long.
  static Images columns(const Images& x) {
    const Index images = x.dimension(0), height = x.dimension(2), width = x.dimension(3);
    const Images padded = x.pad(Eigen::array<std::pair<int, int>, 4>{{{0, 0}, {0, 0}, {1, 1}, {1, 1}}});
    Images result(9 * x.dimension(1), images, height, width);
    for (Index row = 0; row < result.dimension(0); ++row)
      for (Index n = 0; n < images; ++n)
        for (Index h = 0; h < height; ++h)
          std::copy_n(&padded(n, row / 9, h + row % 9 / 3, row % 3), width, &result(row, n, h, 0));
    return result;
  }

  /// The weights (O, 9 C) times the columns (9 C, N H W), and then the images put first: (N, O, H, W).
  static Images convolve(const Device& device, const MatrixView& weight, const Images& columns) {
    const Tensor<2> planes = product(device, weight, 1, rows(columns), 0);
    const auto in_order = shape(planes.dimension(0), columns.dimension(1), columns.dimension(2), columns.dimension(3));
    return planes.reshape(in_order).shuffle(shape(1, 0, 2, 3));
  }

  Index in_, out_;
  Affine affine_;
  Images columns_;
};

/// y = max(x, 0)
class Relu final : public Layer {
 public:
  Images forward(const Device& device, Images x) override {
    y_ = std::move(x);
    y_.device(device) = y_.cwiseMax(0.0f);
    return y_;
  }

  Images backward(const Device& device, Images dy) override {
    dy.device(device) = (y_ > 0.0f).select(dy, dy.constant(0.0f));
    return dy;
  }

 private:
  Images y_;
};

/// The mean of each 2 x 2 places: (N, C, H, W) becomes (N, C, H / 2, W / 2).
class AveragePool final : public Layer {
 public:
  Images forward(const Device& device, Images x) override {
    const Index height = x.dimension(2) / 2, width = x.dimension(3) / 2;
    Images y(x.dimension(0), x.dimension(1), height, width);
    y.device(device) = x.reshape(shape(y.dimension(0), y.dimension(1), height, 2, width, 2)).mean(shape(3, 5));
    return y;
  }

  Images backward(const Device& device, Images dy) override {
    const Index images = dy.dimension(0), channels = dy.dimension(1), height = dy.dimension(2), width = dy.dimension(3);
    Images dx(images, channels, 2 * height, 2 * width);
    dx.device(device) = dy.reshape(shape(images, channels, height, 1, width, 1))
                            .broadcast(shape(1, 1, 1, 2, 1, 2))
                            .reshape(dx.dimensions()) *
                        0.25f;
    return dx;
  }
};

/// y = x weight^T + bias over all that an image has become: (N, C, H, W) to (N, O, 1, 1).
class Dense final : public Layer {
 public:
  Dense(Index in, Index out, Random& random) : out_(out), affine_(out, in, random) {}

  Images forward(const Device& device, Images x) override {
    x_ = std::move(x);
    const Index images = x_.dimension(0);
    Tensor<2> y = product(device, rows(x_), 1, affine_.weight, 1);
    y += affine_.bias.reshape(shape(1, out_)).broadcast(shape(images, 1));
    return y.reshape(shape(images, out_, 1, 1));
  }

  Images backward(const Device& device, Images dy) override {
    affine_.weight_grad += product(device, rows(dy), 0, rows(x_), 0);
    affine_.bias_grad += dy.sum(shape(0, 2, 3));
    return product(device, rows(dy), 1, affine_.weight, 0).reshape(x_.dimensions());
  }

  void append_parameters(std::vector<Parameter>& all) override { affine_.append_parameters(all); }

 private:
  Index out_;
  Affine affine_;
  Images x_;
};

}  // namespace digits
