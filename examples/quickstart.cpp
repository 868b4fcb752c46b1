// The first use of normkit: one training step, then evaluation.
#include <normkit/normkit.hpp>

#include <exception>
#include <iostream>

int main() try {
  using Images = Eigen::Tensor<float, 4, Eigen::RowMajor>;
  Images x(8, 16, 28, 28), dy(x.dimensions());  // 8 images of 16 channels, and the gradient of a loss by the output
  x.setRandom();
  dy.setRandom();

  normkit::BatchNorm2d<float> norm(16);  // eps 1e-5, momentum 0.1, weight 1, bias 0
  Images y(x.dimensions()), dx(x.dimensions());
  norm.forward(x, y);        // normalizes each channel by the batch's mean and variance; the running ones move
  norm.backward(x, dy, dx);  // dx is written; the gradients of weight and bias are added to what they hold
  for (auto& parameter : norm.parameters()) parameter.value -= parameter.gradient * 0.1f;  // a step of plain SGD
  norm.zero_grad();

  norm.eval();         // from here on the running mean and variance
  Images z = norm(x);  // a functor: makes its own output

  normkit::LayerNorm<float, 3> image_norm({16, 28, 28});  // each image by its own mean and variance
  image_norm.forward(x, y);                               // the same in training and in evaluation

  std::cout << norm << " and " << image_norm << " saw images of " << z.dimension(2) << " x " << z.dimension(3) << "\n";
} catch (const std::exception& error) {  // a shape that does not fit is a normkit::shape_error: expected, and got
  std::cerr << error.what() << "\n";
  return 1;
}
