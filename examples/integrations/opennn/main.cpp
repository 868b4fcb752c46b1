// Trains a small convolutional network of OpenNN on real hand-written digits: without a norm, with OpenNN's own batch
// normalization, and with normkit's. Gradients are checked by OpenNN's own numerical ones.
#include "batch_norm.hpp"

#include "adaptive_moment_estimation.h"
#include "convolutional_layer.h"
#include "cross_entropy_error.h"
#include "dataset.h"
#include "dense_layer.h"
#include "flatten_layer.h"
#include "neural_network.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <memory>
#include <numeric>
#include <vector>

#include "../accuracy.hpp"

namespace {

using opennn::Shape;

constexpr int epochs = 5, batch = 32, seed = 1;
constexpr float rate = 0.01f;

enum class Kind { none, own, normkit };

/// Convolution and two dense layers; between the first two linear maps and their activations a norm. OpenNN's own is an
/// option of the linear map, normkit's a layer behind it.
std::unique_ptr<opennn::NeuralNetwork> make_network(Kind kind, const char* activation = "RectifiedLinear") {
  const bool own = kind == Kind::own, ours = kind == Kind::normkit;
  const char* const behind_linear = ours ? "Linear" : activation;
  auto network = std::make_unique<opennn::NeuralNetwork>();
  const auto add_norm = [&](const Shape& shape) {
    if (ours) network->add_layer(std::make_unique<integrations::BatchNorm>(shape, activation));
  };
  network->add_layer(std::make_unique<opennn::Convolutional>(Shape{8, 8, 1}, Shape{3, 3, 1, 8}, behind_linear,
                                                             Shape{1, 1}, "Valid", own));
  add_norm({6, 6, 8});
  network->add_layer(std::make_unique<opennn::Flatten<4>>(Shape{6, 6, 8}));
  network->add_layer(std::make_unique<opennn::Dense<2>>(Shape{6 * 6 * 8}, Shape{32}, behind_linear, own));
  add_norm({32});
  network->add_layer(std::make_unique<opennn::Dense<2>>(Shape{32}, Shape{digits::classes}, "Softmax"));
  opennn::set_seed(seed);
  network->set_parameters_glorot();
  return network;
}

/// Rows of OpenNN's table: pixels, and a 1 in the column of the digit.
opennn::Dataset make_dataset(const digits::Dataset& data) {
  MatrixR table = MatrixR::Zero(data.size(), digits::pixels + digits::classes);
  for (Eigen::Index i = 0; i < data.size(); ++i) {
    std::copy_n(&data.images(i, 0, 0, 0), digits::pixels, &table(i, 0));
    table(i, digits::pixels + data.labels[static_cast<std::size_t>(i)]) = 1;
  }
  opennn::Dataset dataset(data.size(), {digits::side, digits::side, 1}, {digits::classes});
  dataset.set_data(table);
  dataset.set_sample_roles("Training");
  return dataset;
}

double accuracy(opennn::NeuralNetwork& network, const digits::Dataset& data) {
  Tensor4 images(data.size(), digits::side, digits::side, 1);
  std::copy_n(data.images.data(), images.size(), images.data());
  return integrations::accuracy(network.calculate_outputs(images), data);
}

/// |gradient - numerical| / |gradient|, of an activation without a kink: the step of OpenNN's differences is 0.001.
float gradient_error(Kind kind, const digits::Dataset& data) {
  const auto network = make_network(kind, "HyperbolicTangent");
  std::vector<Eigen::Index> few(batch);
  std::iota(few.begin(), few.end(), Eigen::Index{0});
  const opennn::Dataset dataset = make_dataset(digits::select(data, few));
  opennn::CrossEntropyError2d loss(network.get(), &dataset);
  loss.set_regularization_method("None");
  const VectorR gradient = loss.calculate_gradient(), numerical = loss.calculate_numerical_gradient();
  return (gradient - numerical).norm() / gradient.norm();
}

/// Returns the accuracy on images held out.
double train(const char* name, opennn::NeuralNetwork& network, const opennn::Dataset& dataset,
             const digits::Dataset& held_out) {
  const auto start = std::chrono::steady_clock::now();
  opennn::CrossEntropyError2d loss(&network, &dataset);
  loss.set_regularization_method("None");
  opennn::AdaptiveMomentEstimation adam(&loss);
  adam.set_learning_rate(rate);
  adam.set_batch_size(batch);
  adam.set_maximum_epochs(epochs - 1);  // the last one's number, from 0
  adam.set_display(false);
  const float last = adam.train().get_training_error();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const double right = accuracy(network, held_out);
  std::printf("%-14s training loss %.4f   held out: right %.2f %%   %.1f s\n", name, static_cast<double>(last),
              100 * right, seconds.count());
  return right;
}

bool run() {
  integrations::register_batch_norm();
  const digits::Split data = digits::hold_out_fifth(digits::read_csv(NORMKIT_DIGITS_CSV));
  const opennn::Dataset dataset = make_dataset(data.train);
  const auto plain = make_network(Kind::none), own = make_network(Kind::own), ours = make_network(Kind::normkit);

  const float error = gradient_error(Kind::normkit, data.train);
  std::printf("error of gradients: none %.4f, OpenNN's own %.4f, normkit %.4f\n",
              static_cast<double>(gradient_error(Kind::none, data.train)),
              static_cast<double>(gradient_error(Kind::own, data.train)), static_cast<double>(error));

  const double without = train("none", *plain, dataset, data.held_out);
  train("OpenNN's own", *own, dataset, data.held_out);
  const double with = train("normkit", *ours, dataset, data.held_out);

  ours->save("opennn_digits.xml");
  opennn::NeuralNetwork loaded("opennn_digits.xml");
  const bool kept = accuracy(loaded, data.held_out) == with;
  std::printf("as good after save and load: %s\n", kept ? "yes" : "no");
  return error < 0.02f && without > 0.9 && with > 0.9 && kept;
}

}  // namespace

int main() {
  try {
    return run() ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
