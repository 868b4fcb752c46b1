// Training by stochastic gradient descent, and what is remembered of each epoch.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <span>
#include <utility>
#include <vector>

#include "data.hpp"
#include "network.hpp"
#include "random.hpp"
#include "tensor.hpp"

namespace digits {

struct Settings {
  int epochs = 12;
  float rate = 0.02f;
  float momentum = 0.9f;
  Index batch = 32;
  std::uint64_t seed = 1;  ///< of the first weights and of the order of the images
};

struct Epoch {
  double train_loss = 0.0;     ///< mean over the epoch's batches, each before its step
  double held_out_loss = 0.0;  ///< after the epoch
  double accuracy = 0.0;       ///< share of held-out images told rightly, after the epoch
  double seconds = 0.0;        ///< the epoch's steps and the evaluation after them
};

/// velocity = momentum * velocity + gradient,  value -= rate * velocity. (This momentum is the weight of the *old*
/// velocity; BatchNorm's momentum is the weight of the *new* batch.)
class Sgd {
 public:
  Sgd(std::vector<Parameter> parameters, const Settings& settings)
      : parameters_(std::move(parameters)), rate_(settings.rate), momentum_(settings.momentum) {
    for (const Parameter& parameter : parameters_) {
      velocities_.emplace_back(parameter.value.size());
      velocities_.back().setZero();
    }
  }

  /// One step along the gradients, which are cleared: layers add to them.
  void step() {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      velocities_[i] = velocities_[i] * momentum_ + parameters_[i].gradient;
      parameters_[i].value -= velocities_[i] * rate_;
      parameters_[i].gradient.setZero();
    }
  }

 private:
  std::vector<Parameter> parameters_;
  std::vector<Eigen::Tensor<float, 1>> velocities_;
  float rate_, momentum_;
};

/// Once through all images in random order. Returns the mean loss.
inline double train_epoch(Network& network, Sgd& sgd, const Device& device, const Dataset& data, Index batch_size,
                          Random& random) {
  network.train();
  const std::vector<Index> order = random.permutation(data.size());
  double loss = 0.0;
  for (Index first = 0; first < data.size(); first += batch_size) {
    const Index count = std::min(batch_size, data.size() - first);
    const std::span<const Index> which(order.data() + first, static_cast<std::size_t>(count));
    const Dataset batch = select(data, which);
    Judgement judgement = judge(network.forward(device, batch.images), batch.labels);
    network.backward(device, std::move(judgement.gradient));
    sgd.step();
    loss += judgement.loss;
  }
  return loss / static_cast<double>(data.size());
}

/// Trains a new network and tells of each epoch as it ends.
inline std::vector<Epoch> train(Norm norm, const Split& data, const Settings& settings, const Device& device) {
  Random weights(settings.seed);
  Network network(norm, weights);
  Sgd sgd(network.parameters(), settings);
  Random order(settings.seed + 1);
  std::vector<Epoch> history;
  for (int number = 1; number <= settings.epochs; ++number) {
    const auto start = std::chrono::steady_clock::now();
    Epoch epoch;
    epoch.train_loss = train_epoch(network, sgd, device, data.train, settings.batch, order);
    network.eval();
    const Judgement judgement = judge(network.forward(device, data.held_out.images), data.held_out.labels);
    epoch.held_out_loss = judgement.loss / static_cast<double>(data.held_out.size());
    epoch.accuracy = static_cast<double>(judgement.correct) / static_cast<double>(data.held_out.size());
    epoch.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%-9s  epoch %2d of %d   loss %.4f   held out: loss %.4f, right %5.2f %%   %.2f s\n", name(norm),
                number, settings.epochs, epoch.train_loss, epoch.held_out_loss, 100.0 * epoch.accuracy, epoch.seconds);
    std::fflush(stdout);
    history.push_back(epoch);
  }
  return history;
}

}  // namespace digits
