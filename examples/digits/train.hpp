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

/// What an epoch that began at `start` has come to, which is told as well.
inline Epoch end_epoch(Network& network, const Device& device, const Dataset& held_out, const char* who, int number,
                       int epochs, double train_loss, std::chrono::steady_clock::time_point start) {
  network.eval();
  const Judgement judgement = judge(network.forward(device, held_out.images), held_out.labels);
  const auto images = static_cast<double>(held_out.size());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const Epoch epoch{train_loss, judgement.loss / images, static_cast<double>(judgement.correct) / images,
                    seconds.count()};
  std::printf("%-11s  epoch %2d of %d   loss %.4f   held out: loss %.4f, right %5.2f %%   %.2f s\n", who, number,
              epochs, epoch.train_loss, epoch.held_out_loss, 100.0 * epoch.accuracy, epoch.seconds);
  std::fflush(stdout);
  return epoch;
}

/// Trains a new network and tells of each epoch as it ends.
inline std::vector<Epoch> train(Norm norm, const Split& data, const Settings& settings, const Device& device) {
  Random weights(settings.seed);
  Network network(maker_of(norm), weights);
  Sgd sgd(network.parameters(), settings);
  Random order(settings.seed + 1);
  std::vector<Epoch> history;
  for (int number = 1; number <= settings.epochs; ++number) {
    const auto start = std::chrono::steady_clock::now();
    const double loss = train_epoch(network, sgd, device, data.train, settings.batch, order);
    history.push_back(end_epoch(network, device, data.held_out, name(norm), number, settings.epochs, loss, start));
  }
  return history;
}

}  // namespace digits
