// The network: four convolutions and a matrix, alike but for the norm behind each convolution.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "data.hpp"
#include "layers.hpp"
#include "random.hpp"
#include "tensor.hpp"

namespace digits {

enum class Norm { none, batch, layer };

inline const char* name(Norm norm) {
  switch (norm) {
    case Norm::none:
      return "none";
    case Norm::batch:
      return "BatchNorm";
    case Norm::layer:
      return "LayerNorm";
  }
  return "";
}

/// Makes what stands between a convolution and its ReLU, of so many channels of extent x extent places; null for nothing.
using MakeNorm = std::function<std::unique_ptr<Layer>(Index channels, Index extent)>;

inline MakeNorm maker_of(Norm norm) {
  return [norm](Index channels, Index extent) -> std::unique_ptr<Layer> {
    using BatchNorm = normkit::BatchNorm2d<float>;
    using LayerNorm = normkit::LayerNorm<float, 3>;
    switch (norm) {
      case Norm::none:
        break;
      case Norm::batch:  // each channel over the batch and all places: C means
        return std::make_unique<Normalize<BatchNorm>>(BatchNorm(channels));
      case Norm::layer:  // each image over its channels and places: N means, and a weight for each element of an image
        return std::make_unique<Normalize<LayerNorm>>(LayerNorm({channels, extent, extent}));
    }
    return nullptr;
  };
}

/// What kind of norm stands between a convolution and its ReLU is the only choice. The numbers drawn from `random` do
/// not depend on it: networks of one seed start from the same weights.
class Network {
 public:
  /// `hidden`: outputs of one more layer before the last, normalized too; 0 for none. `width`: channels of the first two
  /// convolutions, of which the last two have twice as many.
  Network(const MakeNorm& make_norm, Random& random, Index hidden = 0, Index width = 16) {
    append_block(make_norm, 1, width, side, random);
    append_block(make_norm, width, width, side, random);
    append<AveragePool>();
    append_block(make_norm, width, 2 * width, side / 2, random);
    append_block(make_norm, 2 * width, 2 * width, side / 2, random);
    const Index features = 2 * width * (side / 2) * (side / 2);
    if (hidden > 0) {
      append<Dense>(features, hidden, random);
      append_norm(make_norm, hidden, 1);
    }
    append<Dense>(hidden > 0 ? hidden : features, classes, random);
  }

  /// One score for each class, (N, 10, 1, 1): the greatest is the answer.
  Images forward(const Device& device, Images x) {
    for (const auto& layer : layers_) x = layer->forward(device, std::move(x));
    return x;
  }

  void backward(const Device& device, Images dy) {
    for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer)
      dy = (*layer)->backward(device, std::move(dy));
  }

  void train() {
    for (const auto& layer : layers_) layer->train();
  }

  void eval() {
    for (const auto& layer : layers_) layer->eval();
  }

  std::vector<Parameter> parameters() {
    std::vector<Parameter> all;
    for (const auto& layer : layers_) layer->append_parameters(all);
    return all;
  }

 private:
  template <class L, class... Arguments>
  void append(Arguments&&... arguments) {
    layers_.push_back(std::make_unique<L>(std::forward<Arguments>(arguments)...));
  }

  void append_norm(const MakeNorm& make_norm, Index channels, Index extent) {
    if (auto norm = make_norm(channels, extent)) layers_.push_back(std::move(norm));
    append<Relu>();
  }

  void append_block(const MakeNorm& make_norm, Index in, Index out, Index extent, Random& random) {
    append<Conv3x3>(in, out, random);
    append_norm(make_norm, out, extent);
  }

  std::vector<std::unique_ptr<Layer>> layers_;
};

/// How far the scores of a batch are from its labels.
struct Judgement {
  double loss = 0.0;  ///< cross entropy, summed over the images
  Index correct = 0;  ///< images whose greatest score is their label's
  Images gradient;    ///< of the mean loss by each score: (softmax - label) / N
};

inline Judgement judge(const Images& scores, const std::vector<int>& labels) {
  Judgement result;
  result.gradient = Images(scores.dimensions());
  const Index images = scores.dimension(0);
  for (Index n = 0; n < images; ++n) {
    const Index label = labels[static_cast<std::size_t>(n)];
    const float* score = &scores(n, 0, 0, 0);
    const float* greatest = std::max_element(score, score + classes);
    double total = 0.0;
    for (Index c = 0; c < classes; ++c) total += std::exp(static_cast<double>(score[c] - *greatest));
    for (Index c = 0; c < classes; ++c) {
      const double probability = std::exp(static_cast<double>(score[c] - *greatest)) / total;
      const double error = probability - (c == label ? 1.0 : 0.0);
      result.gradient(n, c, 0, 0) = static_cast<float>(error / static_cast<double>(images));
    }
    result.loss += std::log(total) - static_cast<double>(score[label] - *greatest);
    result.correct += greatest - score == label ? 1 : 0;
  }
  return result;
}

}  // namespace digits
