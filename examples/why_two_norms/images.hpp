// The digits network of examples/digits, narrower, with one norm at one learning rate and batch size.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "../digits/train.hpp"
#include "trial.hpp"

namespace why {

inline digits::Norm of_digits(Norm norm) {
  return norm == Norm::none ? digits::Norm::none : norm == Norm::layer ? digits::Norm::layer : digits::Norm::batch;
}

/// Sums over a data set, in batches: their mean loss, and the share told rightly.
inline std::pair<double, double> judge_images(digits::Network& network, const digits::Device& device,
                                              const digits::Dataset& data, Index batch) {
  double loss = 0.0, correct = 0.0;
  const std::vector<Index> order = digits::Random(1).permutation(data.size());
  for (Index first = 0; first < data.size(); first += batch) {
    const auto count = static_cast<std::size_t>(std::min(batch, data.size() - first));
    const digits::Dataset part = select(data, std::span(order).subspan(static_cast<std::size_t>(first), count));
    const digits::Judgement judgement = digits::judge(network.forward(device, part.images), part.labels);
    loss += judgement.loss;
    correct += static_cast<double>(judgement.correct);
  }
  const auto size = static_cast<double>(data.size());
  return {loss / size, correct / size};
}

inline constexpr Index image_width = 8;  ///< channels of the first convolutions

inline std::uint64_t fingerprint(const digits::Split& data) {
  Fingerprint print;
  print.add(image_width);
  for (const digits::Dataset* part : {&data.train, &data.held_out}) {
    for (const int label : part->labels) print.add(label);
    for (Index i = 0; i < part->images.size(); ++i) print.add(static_cast<std::int64_t>(16 * part->images.data()[i]));
  }
  return print.value();
}

inline Outcome train_images(const Trial& trial, const digits::Split& data, const digits::Device& device) {
  digits::Random weights(trial.seed), order(~trial.seed);
  digits::Network network(digits::maker_of(of_digits(trial.norm)), weights, 0, image_width);
  digits::Settings settings;
  settings.rate = static_cast<float>(trial.rate);
  digits::Sgd sgd(network.parameters(), settings);

  Outcome outcome;
  for (int epoch = 0; epoch < trial.epochs; ++epoch)
    outcome.train_loss = digits::train_epoch(network, sgd, device, data.train, trial.batch, order);
  network.eval();
  std::tie(outcome.loss, outcome.accuracy) = judge_images(network, device, data.held_out, trial.batch);
  network.train();  // the last that is done with it: a forward moves the running statistics
  std::tie(outcome.batch_loss, outcome.batch_accuracy) = judge_images(network, device, data.held_out, trial.batch);
  return outcome;
}

}  // namespace why
