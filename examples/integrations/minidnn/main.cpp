// Trains a small convolutional network of MiniDNN on real hand-written digits, without and with normkit's BatchNorm,
// from the same seed and at the same rate. Before that MiniDNN's check_gradient judges the gradients.
#include "../accuracy.hpp"  // first: it asks Eigen for its threads

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "batch_norm.hpp"

namespace {

using MiniDNN::Scalar;
using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;

constexpr int epochs = 20, batch = 32, seed = 1;
constexpr double rate = 0.1, sigma = 0.1;  // of the steps, and of the first weights

/// Images in columns, as MiniDNN takes them.
Matrix columns(const digits::Dataset& data) {
  return Eigen::Map<const Eigen::MatrixXf>(data.images.data(), digits::pixels, data.size()).cast<Scalar>();
}
Eigen::RowVectorXi labels(const digits::Dataset& data) {
  return Eigen::Map<const Eigen::RowVectorXi>(data.labels.data(), data.size());
}

/// Convolution, pooling, two fully connected layers; between the first two linear maps and their activations a norm.
class Model {
 public:
  explicit Model(bool normalized) {
    using namespace MiniDNN;
    add<Convolutional>(normalized, 8, 6 * 6, 8, 8, 1, 8, 3, 3);
    network_.add_layer(new MaxPooling<Identity>(6, 6, 8, 2, 2));
    add<FullyConnected>(normalized, 32, 1, 3 * 3 * 8, 32);
    network_.add_layer(new FullyConnected<Softmax>(32, digits::classes));
    network_.set_output(new MultiClassEntropy);
    network_.init(0, sigma, seed);
  }

  MiniDNN::Network& network() { return network_; }

  double accuracy(const digits::Dataset& data) {
    for (auto* norm : norms_) norm->norm().eval();
    const double share = integrations::accuracy(network_.predict(columns(data)).transpose(), data);
    for (auto* norm : norms_) norm->norm().train();
    return share;
  }

 private:
  template <template <class> class Linear, class... Sizes>
  void add(bool normalized, int channels, int pixels, Sizes... sizes) {
    if (!normalized) return network_.add_layer(new Linear<MiniDNN::ReLU>(sizes...));
    network_.add_layer(new Linear<MiniDNN::Identity>(sizes...));
    norms_.push_back(new integrations::BatchNorm<MiniDNN::ReLU>(channels, pixels));
    network_.add_layer(norms_.back());
  }

  MiniDNN::Network network_;
  std::vector<integrations::BatchNorm<MiniDNN::ReLU>*> norms_;  // the network's, which deletes them
};

/// The largest difference of a gradient from its numerical one. check_gradient prints, and returns nothing.
double gradient_error(Model& model, const digits::Dataset& data) {
  std::stringstream printed;
  auto* const screen = std::cout.rdbuf(printed.rdbuf());
  const Matrix images = columns(data).leftCols(batch);
  const Eigen::RowVectorXi digits = labels(data).head(batch);
  model.network().check_gradient(images, digits, 300, seed);
  std::cout.rdbuf(screen);
  double worst = 0;
  for (std::string word; printed >> word;) {
    double difference = 0;
    if (word == "diff" && printed >> word >> difference) worst = std::max(worst, std::abs(difference));
  }
  return worst;
}

/// Returns the accuracy on images held out.
double train(const char* name, Model& model, const digits::Split& data) {
  const auto start = std::chrono::steady_clock::now();
  const Matrix images = columns(data.train);
  const Eigen::RowVectorXi digits = labels(data.train);
  MiniDNN::SGD sgd(rate);
  double accuracy = 0;
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    model.network().fit(sgd, images, digits, batch, 1, seed + epoch);
    accuracy = model.accuracy(data.held_out);
    if (epoch == 1 || epoch % 5 == 0)
      std::printf("%-10s epoch %2d of %d   held out: right %.2f %%\n", name, epoch, epochs, 100 * accuracy);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%-10s %.1f s\n", name, seconds.count());
  return accuracy;
}

bool run() {
  const digits::Split data = digits::hold_out_fifth(digits::read_csv(NORMKIT_DIGITS_CSV));
  Model plain(false), normalized(true);

  const double error = gradient_error(normalized, data.train);
  std::printf("gradients differ from numerical ones by %.1e at most\n", error);

  const double without = train("none", plain, data);
  const double with = train("BatchNorm", normalized, data);

  Model copy(true);
  copy.network().set_parameters(normalized.network().get_parameters());
  const bool kept = copy.accuracy(data.held_out) == with;
  std::printf("another network with its parameters is as good: %s\n", kept ? "yes" : "no");
  return error < 1e-6 && without > 0.9 && with > 0.9 && kept;
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
