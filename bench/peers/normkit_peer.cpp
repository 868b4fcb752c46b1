// normkit, as it is used: layers over Eigen tensors.
#include "peer.hpp"
#include "pool.hpp"

#include <normkit/normkit.hpp>

namespace peers {
namespace {

class Normkit : public PeerOf<Normkit> {
 public:
  std::string name() const override { return "normkit"; }
  std::string version() const override {
    return std::to_string(NORMKIT_VERSION_MAJOR) + "." + std::to_string(NORMKIT_VERSION_MINOR) + "." +
           std::to_string(NORMKIT_VERSION_PATCH);
  }
  void use_threads(int threads) override { pool_.use(threads); }

  template <class T>
  Call make(const Row& row, Pass pass, Buffers<T>& b) {
    return with_eigen_row<T>(row, [&]<class Eigens>(Eigens) -> Call {
      if (row.norm == Norm::batch)
        return of_layer<Eigens>(
            normkit::BatchNorm<T>(row.middle(), {.eps = eps, .momentum = momentum, .channel_axis = Eigens::axis(row)}),
            row, pass, b);
      if (row.norm == Norm::group)
        return of_layer<Eigens>(
            normkit::GroupNorm<T>(row.groups, row.middle(), {.eps = eps, .channel_axis = Eigens::axis(row)}), row, pass,
            b);
      if constexpr (Eigens::rank > 2) {
        if (row.norm == Norm::instance)
          return of_layer<Eigens>(
              normkit::InstanceNorm<T>(row.middle(), {.eps = eps, .affine = true, .channel_axis = Eigens::axis(row)}),
              row, pass, b);
      }
      if (row.norm == Norm::rms)
        return of_layer<Eigens>(normkit::RMSNorm<T>(row.middle(), {.eps = eps, .axis = Eigens::axis(row)}), row, pass,
                                b);
      if (row.axes == 1) return of_layer<Eigens>(layer_norm<Eigens, T, 1>(row), row, pass, b);
      if constexpr (Eigens::rank == 4) {
        if (row.axes == 3) return of_layer<Eigens>(layer_norm<Eigens, T, 3>(row), row, pass, b);
      }
      throw std::runtime_error("peers: LayerNorm over 1 or 3 axes is known");
    });
  }

 private:
  template <class Eigens, class T, int Axes>
  static auto layer_norm(const Row& row) {
    std::array<Eigen::Index, Axes> shape;
    for (int a = 0; a < Axes; ++a) shape[a] = Eigens::extents(row)[Eigens::axis(row) + a];
    return normkit::LayerNorm<T, Axes, Eigens::layout>(shape, {.eps = eps, .axis = Eigens::axis(row)});
  }

  template <class Eigens, class Layer, class T>
  Call of_layer(Layer made, const Row& row, Pass pass, Buffers<T>& b) {
    const auto layer = std::make_shared<Layer>(std::move(made));
    const auto x = Eigens::map(row, b.x), dy = Eigens::map(row, b.dy);
    auto out = Eigens::map(row, b.out);
    layer->weight().setConstant(b.weight.data()[0]);
    if (layer->bias().size() > 0) layer->bias().setConstant(b.bias.data()[0]);
    layer->train(pass != Pass::eval);
    if (pass != Pass::backward)
      return [=, this]() mutable { pool_.with_device([&](const auto& device) { layer->forward(device, x, out); }); };
    layer->forward(x, out);
    return [=, this]() mutable { pool_.with_device([&](const auto& device) { layer->backward(device, x, dy, out); }); };
  }

  Pool pool_;
};

}  // namespace

std::unique_ptr<Peer> normkit_peer() { return std::make_unique<Normkit>(); }

}  // namespace peers
