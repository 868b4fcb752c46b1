// Training of the model of characters, and what becomes of it on verses that it has not seen.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "text_network.hpp"

namespace why {

/// Kingma and Ba 2014, arXiv:1412.6980, algorithm 1.
class Adam {
 public:
  Adam(Parameters parameters, double rate) : parameters_(std::move(parameters)), rate_(rate) {
    for (const auto& parameter : parameters_)
      moments_.push_back({Array::Zero(parameter.value.size()), Array::Zero(parameter.value.size())});
  }

  /// One step along the gradients, which are cleared.
  void step() {
    constexpr float decay = 0.9f, square_decay = 0.99f, eps = 1e-8f;
    ++steps_;
    const auto rate = static_cast<float>(rate_ / (1 - std::pow(decay, steps_)));
    const auto correction = static_cast<float>(1 / (1 - std::pow(square_decay, steps_)));
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      auto& [mean, square] = moments_[i];
      Eigen::Map<Array> value(parameters_[i].value.data(), mean.size()),
          gradient(parameters_[i].gradient.data(), mean.size());
      mean = decay * mean + (1 - decay) * gradient;
      square = square_decay * square + (1 - square_decay) * gradient.square();
      value -= rate * mean / ((square * correction).sqrt() + eps);
      gradient.setZero();
    }
  }

 private:
  using Array = Eigen::ArrayXf;
  Parameters parameters_;
  std::vector<std::pair<Array, Array>> moments_;
  double rate_;
  int steps_ = 0;
};

/// How far scores are from what came next: cross entropy and right guesses, summed over the places that hold text, apart for the first
/// `Verses::longest` of a verse and those beyond.
struct TextJudgement {
  struct Sum {
    double loss = 0.0, right = 0.0, count = 0.0;
    double mean_loss() const { return loss / count; }
  };
  Sum near, far;

  double loss() const { return (near.loss + far.loss) / (near.count + far.count); }
  double accuracy() const { return (near.right + far.right) / (near.count + far.count); }

  /// Adds a batch; its scores become the gradient of its mean loss by them.
  void add(const Batch& batch, Matrix& scores) {
    const float share = 1.0f / static_cast<float>(batch.lengths.sum());
    for (Index row = 0; row < scores.rows(); ++row) {
      const int target = batch.target[static_cast<std::size_t>(row)];
      auto score = scores.row(row);
      if (target == padding) {
        score.setZero();
        continue;
      }
      Index guess = 0;
      const float greatest = score.maxCoeff(&guess), of_target = score(target);
      score = (score.array() - greatest).exp();
      const float total = score.sum();
      Sum& sum = row % batch.length < static_cast<Index>(Verses::longest) ? near : far;
      sum.loss += std::log(static_cast<double>(total)) - static_cast<double>(of_target - greatest);
      sum.right += guess == target;
      sum.count += 1;
      score *= share / total;
      score(target) -= share;
    }
  }
};

inline TextJudgement judge_text(TextNetwork& network, const std::vector<Verse>& verses, Index batch_size,
                                Index stretch = 1) {
  TextJudgement judgement;
  each_batch(verses, digits::Random(1).permutation(static_cast<std::ptrdiff_t>(verses.size())), batch_size, stretch,
             [&](const Batch& batch) {
               Matrix scores = network.forward(batch);
               judgement.add(batch, scores);
             });
  return judgement;
}

inline constexpr Index text_features = 48;  ///< of a place

inline std::uint64_t fingerprint(const Verses& data) {
  Fingerprint print;
  print.add(text_features);
  for (const std::vector<Verse>* part : {&data.train, &data.held_out, &data.longer})
    for (const Verse& verse : *part)
      for (const int symbol : verse) print.add(symbol);
  return print.value();
}

inline Outcome train_text(const Trial& trial, const Verses& data) {
  digits::Random weights(trial.seed), order(~trial.seed);
  TextNetwork network(trial.norm, text_features, weights);
  Adam adam(network.parameters(), trial.rate);

  Outcome outcome;
  for (int epoch = 0; epoch < trial.epochs; ++epoch) {
    TextJudgement judgement;
    network.train();
    each_batch(data.train, order.permutation(static_cast<std::ptrdiff_t>(data.train.size())), trial.batch, 1,
               [&](const Batch& batch) {
                 Matrix scores = network.forward(batch);
                 judgement.add(batch, scores);
                 network.backward(batch, scores);
                 adam.step();
               });
    outcome.train_loss = judgement.loss();
  }
  network.eval();
  const TextJudgement held_out = judge_text(network, data.held_out, trial.batch),
                      longer = judge_text(network, data.longer, trial.batch);
  outcome.loss = held_out.loss();
  outcome.accuracy = held_out.accuracy();
  outcome.near_loss = longer.near.mean_loss();
  outcome.far_loss = longer.far.mean_loss();
  network.train();  // the last that is done with it: a forward moves the running statistics
  const TextJudgement by_batch = judge_text(network, data.held_out, trial.batch);
  outcome.batch_loss = by_batch.loss();
  outcome.batch_accuracy = by_batch.accuracy();
  outcome.padded_loss = judge_text(network, data.held_out, trial.batch, 2).loss();
  return outcome;
}

}  // namespace why
