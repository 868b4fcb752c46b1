// Data-parallel training: every rank has the whole network and a part of each batch, and the ranks add up their gradients.
#pragma once

#include "../digits/train.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <normkit/mpi.hpp>

namespace digits {

/// Whose statistics a BatchNorm uses.
enum class Statistics { one_process, all_ranks, each_rank };

inline const char* name(Statistics statistics) {
  switch (statistics) {
    case Statistics::one_process:
      return "one process";
    case Statistics::all_ranks:
      return "all ranks";
    case Statistics::each_rank:
      return "each rank";
  }
  return "";
}

/// A BatchNorm of the batch that all ranks have together. Two lines differ from `Normalize`.
class BatchNormOfRanks final : public Layer {
 public:
  BatchNormOfRanks(Index channels, normkit::MpiCommunicator& ranks) : norm_(channels), ranks_(ranks) {}

  Images forward(const Device& device, Images x) override {
    x_ = std::move(x);
    Images y(x_.dimensions());
    norm_.forward(device, ranks_, x_, y);
    return y;
  }

  Images backward(const Device& device, Images dy) override {
    norm_.backward(device, ranks_, x_, dy, dy, {.own_part = true});  // gradients are added up below, all alike
    return dy;
  }

  void train() override { norm_.train(); }
  void eval() override { norm_.eval(); }

  void append_parameters(std::vector<Parameter>& all) override {
    for (const auto& parameter : norm_.parameters()) all.push_back(parameter);
  }

 private:
  normkit::BatchNorm2d<float> norm_;
  normkit::MpiCommunicator& ranks_;
  Images x_;
};

/// The ranks that train one network, this process among them.
class Team {
 public:
  explicit Team(MPI_Comm ranks) : ranks_(ranks), norms_(ranks) {}

  int rank() const { return norms_.rank(); }
  int size() const { return norms_.size(); }

  Network network(Statistics statistics, Random& weights) {
    constexpr Index hidden = 64;
    if (statistics != Statistics::all_ranks) return Network(maker_of(Norm::batch), weights, hidden);
    return Network([this](Index channels, Index) { return std::make_unique<BatchNormOfRanks>(channels, norms_); },
                   weights, hidden);
  }

  /// The sum over all ranks, on each of them.
  double sum(double value) const {
    MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_SUM, ranks_);
    return value;
  }
  /// The same of all gradients, in one message.
  void sum_gradients(std::vector<Parameter>& parameters) {
    gradients_.clear();
    for (const Parameter& parameter : parameters)
      gradients_.insert(gradients_.end(), parameter.gradient.data(),
                        parameter.gradient.data() + parameter.gradient.size());
    MPI_Allreduce(MPI_IN_PLACE, gradients_.data(), static_cast<int>(gradients_.size()), MPI_FLOAT, MPI_SUM, ranks_);
    const float* from = gradients_.data();
    for (Parameter& parameter : parameters) {
      std::copy_n(from, parameter.gradient.size(), parameter.gradient.data());
      from += parameter.gradient.size();
    }
  }

 private:
  MPI_Comm ranks_;
  normkit::MpiCommunicator norms_;
  std::vector<float> gradients_;
};

/// Once through all images in random order, the same on all ranks, but for the last, which are not a whole batch. Returns the mean
/// loss.
inline double train_epoch(Team& team, Network& network, Sgd& sgd, std::vector<Parameter>& parameters,
                          const Device& device, const Dataset& data, Index batch_size, Random& random) {
  network.train();
  const std::vector<Index> order = random.permutation(data.size());
  double loss = 0.0;
  Index done = 0;
  for (; done + batch_size <= data.size(); done += batch_size) {
    const Index count = batch_size / team.size(), begin = done + count * team.rank();
    const Dataset part =
        select(data, std::span(order).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)));
    Judgement judgement = judge(network.forward(device, part.images), part.labels);
    // Of the mean over the part; wanted is that over the batch.
    Images gradient = judgement.gradient / static_cast<float>(team.size());
    network.backward(device, std::move(gradient));
    team.sum_gradients(parameters);
    sgd.step();
    loss += judgement.loss;
  }
  return team.sum(loss) / static_cast<double>(done);
}

/// Trains a new network; rank 0 judges it after each epoch, with its own running statistics, and tells. The history is rank 0's.
inline std::vector<Epoch> train(Team& team, Statistics statistics, const Split& data, const Settings& settings,
                                const Device& device) {
  Random weights(settings.seed);
  Network network = team.network(statistics, weights);
  std::vector<Parameter> parameters = network.parameters();
  Sgd sgd(parameters, settings);
  Random order(settings.seed + 1);
  std::vector<Epoch> history;
  for (int number = 1; number <= settings.epochs; ++number) {
    const auto start = std::chrono::steady_clock::now();
    const double loss = train_epoch(team, network, sgd, parameters, device, data.train, settings.batch, order);
    if (team.rank() == 0)  // from here to the next epoch no rank waits for another
      history.push_back(
          end_epoch(network, device, data.held_out, name(statistics), number, settings.epochs, loss, start));
  }
  return history;
}

}  // namespace digits
