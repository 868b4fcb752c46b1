// normkit, as it is used: layers over Eigen tensors in the layout of the case.
#include <array>
#include <normkit/normkit.hpp>
#include <stdexcept>

#include "peer.hpp"
#include "support/tensors.hpp"

namespace peers {
namespace {

using Eigen::ColMajor, Eigen::RowMajor, Eigen::Tensor, Eigen::Index;

template <class Tensor>
Tensor tensor_of(const Floats& values, const Problem& p) {
  Tensor tensor = support::sized<Tensor>(p.extents);
  support::assign(tensor, values);
  return tensor;
}

/// How a case is seen by the library: the type of its tensors, and its layer.
template <class TensorType, std::size_t Axes>
struct Config {
  using Tensor = TensorType;

  static auto layer(const Problem& p, std::optional<double> momentum) {
    const auto axis = static_cast<Index>(p.axis);
    if constexpr (Axes == 0) {
      return normkit::BatchNorm<float>(static_cast<Index>(p.g.groups),
                                       {.eps = p.eps, .momentum = momentum, .channel_axis = axis});
    } else {
      std::array<Index, Axes> shape;
      for (std::size_t i = 0; i < Axes; ++i) shape[i] = static_cast<Index>(p.extents.at(p.axis + i));
      return normkit::LayerNorm<float, static_cast<int>(Axes), Tensor::Layout>(shape, {.eps = p.eps, .axis = axis});
    }
  }

  static std::vector<Index> reduced(const Problem& p) {
    std::vector<Index> axes;
    for (std::size_t a = 0; a < p.extents.size(); ++a)
      if (Axes == 0 ? a != p.axis : a >= p.axis && a < p.axis + Axes) axes.push_back(static_cast<Index>(a));
    return axes;
  }
};

/// Calls `body` with the Config of the problem.
template <class Body>
auto with_config(const Problem& p, const Body& body) {
  const std::size_t rank = p.extents.size();
  if (p.is_batch_norm && rank == 2) return body(Config<Tensor<float, 2, RowMajor>, 0>());
  if (p.is_batch_norm && rank == 3) return body(Config<Tensor<float, 3, RowMajor>, 0>());
  if (p.is_batch_norm && rank == 4) return body(Config<Tensor<float, 4, RowMajor>, 0>());
  if (p.axes == 1 && rank == 2 && p.column_major) return body(Config<Tensor<float, 2, ColMajor>, 1>());
  if (p.axes == 1 && rank == 2) return body(Config<Tensor<float, 2, RowMajor>, 1>());
  if (p.axes == 1 && rank == 3) return body(Config<Tensor<float, 3, RowMajor>, 1>());
  if (p.axes == 2 && rank == 3) return body(Config<Tensor<float, 3, RowMajor>, 2>());
  throw std::runtime_error("accuracy_peers: no tensor for a case");
}

class Normkit : public Peer {
 public:
  std::string name() const override { return "normkit"; }
  std::string version() const override {
    return std::to_string(NORMKIT_VERSION_MAJOR) + "." + std::to_string(NORMKIT_VERSION_MINOR) + "." +
           std::to_string(NORMKIT_VERSION_PATCH);
  }

  Moments moments(const Problem& p) override {
    return with_config(p, [&]<class C>(C) {
      const auto result = normkit::moments(tensor_of<typename C::Tensor>(p.x, p), C::reduced(p));
      return Moments{support::values(result.mean), support::values(result.var)};
    });
  }

  std::vector<Moments> running(const Problem& p, std::optional<double> momentum, int batches) override {
    normkit::BatchNorm<float> norm(static_cast<Index>(p.g.groups),
                                   {.eps = p.eps, .momentum = momentum, .channel_axis = static_cast<Index>(p.axis)});
    return with_config(p, [&]<class C>(C) {
      const auto x = tensor_of<typename C::Tensor>(p.x, p);
      auto y = x;
      std::vector<Moments> steps;
      for (int batch = 0; batch < batches; ++batch) {
        norm.forward(x, y);
        steps.push_back({support::values(norm.running_mean()), support::values(norm.running_var())});
      }
      return steps;
    });
  }

  Outputs run(const Problem& p, bool evaluates) override {
    return with_config(p, [&]<class C>(C) {
      const auto x = tensor_of<typename C::Tensor>(p.x, p), dy = tensor_of<typename C::Tensor>(p.dy, p);
      auto y = x, dx = x;
      auto norm = C::layer(p, 0.1);
      support::assign(norm.weight(), p.weight);
      support::assign(norm.bias(), p.bias);
      if constexpr (requires { norm.running_mean(); }) {
        norm.train(!evaluates);
        support::assign(norm.running_mean(), p.running_mean);
        support::assign(norm.running_var(), p.running_var);
      }
      norm.forward(x, y);
      norm.backward(x, dy, dx);
      return Outputs{support::values(y), support::values(dx), support::values(norm.weight_grad()),
                     support::values(norm.bias_grad())};
    });
  }
};

}  // namespace

std::unique_ptr<Peer> normkit_peer() { return std::make_unique<Normkit>(); }

}  // namespace peers
