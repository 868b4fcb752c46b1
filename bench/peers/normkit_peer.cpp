// normkit, as it is used: layers over Eigen tensors.
#include "peer.hpp"
#include "pool.hpp"

#include <normkit/normkit.hpp>

namespace peers {
namespace {

/// The tensors of a row as they are.
struct AsGiven {
  static constexpr const char* name = "normkit";
  template <class T>
  using Of = T;
};
/// Copies of 16 bits, of float rows alone.
template <class S>
struct As {
  static constexpr const char* name = std::is_same_v<S, Eigen::half> ? "normkit, half" : "normkit, bfloat16";
  template <class>
  using Of = S;
};

template <class T>
struct Tensors {
  explicit Tensors(std::int64_t size) : x(size), dy(size), out(size) {}
  Buffer<T> x, dy, out;
};

template <class Stored>
class Normkit : public PeerOf<Normkit<Stored>> {
 public:
  std::string name() const override { return Stored::name; }
  std::string version() const override {
    if constexpr (!std::is_same_v<Stored, AsGiven>) return "";
    return std::to_string(NORMKIT_VERSION_MAJOR) + "." + std::to_string(NORMKIT_VERSION_MINOR) + "." +
           std::to_string(NORMKIT_VERSION_PATCH);
  }
  void use_threads(int threads) override { pool_.use(threads); }
  std::int64_t element_bytes(std::int64_t given) const override {
    return std::is_same_v<Stored, AsGiven> ? given : static_cast<std::int64_t>(sizeof(Eigen::half));
  }

  template <class T>
  Call make(const Row& row, Pass pass, Buffers<T>& b) {
    using S = typename Stored::template Of<T>;
    if constexpr (!std::is_same_v<S, T> && std::is_same_v<T, double>)
      return {};
    else
      return with_eigen_row<S>(row, [&]<class Eigens>(Eigens) -> Call {
        if (row.norm == Norm::batch)
          return of_layer<Eigens>(
              normkit::BatchNorm<T>(row.middle(),
                                    {.eps = eps, .momentum = momentum, .channel_axis = Eigens::axis(row)}),
              row, pass, b);
        if (row.norm == Norm::group)
          return of_layer<Eigens>(
              normkit::GroupNorm<T>(row.groups, row.middle(), {.eps = eps, .channel_axis = Eigens::axis(row)}), row,
              pass, b);
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
    const auto first = static_cast<std::size_t>(Eigens::axis(row));
    for (std::size_t a = 0; a < Axes; ++a) shape[a] = Eigens::extents(row)[first + a];
    return normkit::LayerNorm<T, Axes, Eigens::layout>(shape, {.eps = eps, .axis = Eigens::axis(row)});
  }

  template <class Eigens, class Layer, class T>
  Call of_layer(Layer made, const Row& row, Pass pass, Buffers<T>& b) {
    const auto layer = std::make_shared<Layer>(std::move(made));
    const auto tensors = stored(b);
    const auto x = Eigens::map(row, tensors->x), dy = Eigens::map(row, tensors->dy);
    auto out = Eigens::map(row, tensors->out);
    layer->weight().setConstant(b.weight.data()[0]);
    if (layer->bias().size() > 0) layer->bias().setConstant(b.bias.data()[0]);
    layer->train(pass != Pass::eval);
    if (pass != Pass::backward)
      return [=, this]() mutable {
        (void)tensors;  // kept as long as the call
        pool_.with_device([&](const auto& device) { layer->forward(device, x, out); });
      };
    layer->forward(x, out);
    return [=, this]() mutable {
      (void)tensors;
      pool_.with_device([&](const auto& device) { layer->backward(device, x, dy, out); });
    };
  }

  template <class T>
  static auto stored(Buffers<T>& b) {
    using S = typename Stored::template Of<T>;
    if constexpr (std::is_same_v<S, T>) {
      return &b;
    } else {
      auto tensors = std::make_shared<Tensors<S>>(b.x.size());
      for (std::int64_t i = 0; i < b.x.size(); ++i) {
        tensors->x.data()[i] = static_cast<S>(b.x.data()[i]);
        tensors->dy.data()[i] = static_cast<S>(b.dy.data()[i]);
      }
      return tensors;
    }
  }

  Pool pool_;
};

}  // namespace

std::unique_ptr<Peer> normkit_peer() { return std::make_unique<Normkit<AsGiven>>(); }
std::unique_ptr<Peer> normkit_bfloat16_peer() { return std::make_unique<Normkit<As<Eigen::bfloat16>>>(); }
std::unique_ptr<Peer> normkit_half_peer() { return std::make_unique<Normkit<As<Eigen::half>>>(); }

}  // namespace peers
