// normkit, as it is used: layers over Eigen tensors.
#include "peer.hpp"
#include "pool.hpp"

#include <normkit/normkit.hpp>

namespace peers {
namespace {

/// A layer and what its calls take.
template <class Layer, class Map>
struct Task {
  Layer layer;
  Row row;
  Pass pass;
  Map x, dy, out, residual, second;
  Map y, dz;  // of the parts: where out is to hold dx, y is kept elsewhere
  normkit::ReLUMask mask;
};

template <class Task>
concept OfBatchNorm = requires(Task task) {
  task.layer.infer_relu(task.x, task.out);
};
template <class Task>
concept OfTokenNorm = requires(Task task) {
  task.layer.infer_add(task.x, task.residual, task.second, task.out);
};

/// The calls that fuse.
struct Fused {
  static void forward(const auto& device, auto& task) {
    auto& [layer, row, pass, x, dy, out, residual, second, y, dz, mask] = task;
    if constexpr (OfBatchNorm<decltype(task)>) {
      if (row.rectifies && pass == Pass::eval)
        return row.adds ? layer.infer_add_relu(device, x, residual, out) : layer.infer_relu(device, x, out);
      if (row.rectifies)
        return row.adds ? layer.forward_add_relu(device, x, residual, out, mask)
                        : layer.forward_relu(device, x, out, mask);
    }
    if constexpr (OfTokenNorm<decltype(task)>)
      if (row.adds) return layer.forward_add(device, x, residual, second, out);
    layer.forward(device, x, out);
  }
  static void backward(const auto& device, auto& task) {
    auto& [layer, row, pass, x, dy, out, residual, second, y, dz, mask] = task;
    if constexpr (OfBatchNorm<decltype(task)>)
      if (row.rectifies)
        return row.adds ? layer.backward_add_relu(device, x, dy, mask, out, second)
                        : layer.backward_relu(device, x, dy, mask, out);
    if constexpr (OfTokenNorm<decltype(task)>)
      if (row.adds) return layer.backward_add(device, second, dy, residual, out);
    layer.backward(device, x, dy, out);
  }
};

/// What a user without them would write, of fused rows alone.
struct Parts {
  static void forward(const auto& device, auto& task) {
    auto& [layer, row, pass, x, dy, out, residual, second, y, dz, mask] = task;
    if constexpr (OfBatchNorm<decltype(task)>) {
      layer.forward(device, x, y);
      if (row.adds)
        y.device(device) = (y + residual).cwiseMax(zero_of(y));
      else
        y.device(device) = y.cwiseMax(zero_of(y));
    } else {
      second.device(device) = x + residual;
      layer.forward(device, second, y);
    }
  }
  static void backward(const auto& device, auto& task) {
    auto& [layer, row, pass, x, dy, out, residual, second, y, dz, mask] = task;
    if constexpr (OfBatchNorm<decltype(task)>) {
      const auto zero = zero_of(y);
      dz.device(device) = (y > zero).select(dy, dy.constant(zero));
      layer.backward(device, x, dz, out);
    } else {
      layer.backward(device, second, dy, out);
      out.device(device) = out + residual;
    }
  }

 private:
  template <class Map>
  static auto zero_of(const Map&) {
    return typename Map::Scalar(0);
  }
};

/// The tensors of a row as they are.
struct AsGiven : Fused {
  static constexpr const char* name = "normkit";
  template <class T>
  using Of = T;
};
struct InParts : Parts {
  static constexpr const char* name = "normkit, parts";
  template <class T>
  using Of = T;
};
/// Copies of 16 bits, of float rows alone.
template <class S>
struct As : Fused {
  static constexpr const char* name = std::is_same_v<S, Eigen::half> ? "normkit, half" : "normkit, bfloat16";
  template <class>
  using Of = S;
};

template <class T>
struct Tensors {
  template <class Given>
  explicit Tensors(const Buffers<Given>& b)
      : x(b.x.size()), dy(b.x.size()), out(b.x.size()), residual(b.residual.size()), second(b.residual.size()) {
    copy(b.x, x);
    copy(b.dy, dy);
    copy(b.residual, residual);
  }
  Buffer<T> x, dy, out, residual, second;

 private:
  template <class Given>
  static void copy(const Buffer<Given>& from, const Buffer<T>& to) {
    for (std::int64_t i = 0; i < from.size(); ++i) to.data()[i] = static_cast<T>(from.data()[i]);
  }
};

template <class Use>
class Normkit : public PeerOf<Normkit<Use>> {
 public:
  std::string name() const override { return Use::name; }
  std::string version() const override {
    if constexpr (!std::is_same_v<Use, AsGiven>) return "";
    return std::to_string(NORMKIT_VERSION_MAJOR) + "." + std::to_string(NORMKIT_VERSION_MINOR) + "." +
           std::to_string(NORMKIT_VERSION_PATCH);
  }
  void use_threads(int threads) override { pool_.use(threads); }
  std::int64_t element_bytes(std::int64_t given) const override {
    return std::is_same_v<typename Use::template Of<float>, float> ? given
                                                                   : static_cast<std::int64_t>(sizeof(Eigen::half));
  }

  template <class T>
  Call make(const Row& row, Pass pass, Buffers<T>& b) {
    using S = typename Use::template Of<T>;
    if (std::is_same_v<Use, InParts> && !row.is_fused()) return {};
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
    using S = typename Use::template Of<T>;
    const auto tensors = stored(b);
    const auto map = [&row](const Buffer<S>& buffer) { return Eigens::map(row, buffer); };
    const bool keeps_y = std::is_same_v<Use, InParts> && row.rectifies && pass == Pass::backward;
    const auto y = std::make_shared<Buffer<S>>(keeps_y ? row.size() : 0);
    const auto dz = std::make_shared<Buffer<S>>(keeps_y && !row.adds ? row.size() : 0);
    const auto task = std::make_shared<Task<Layer, typename Eigens::Map>>(
        std::move(made), row, pass, map(tensors->x), map(tensors->dy), map(tensors->out), map(tensors->residual),
        map(tensors->second), map(keeps_y ? *y : tensors->out), map(row.adds ? tensors->second : *dz),
        normkit::ReLUMask());
    Layer& layer = task->layer;
    layer.weight().setConstant(b.weight.data()[0]);
    if (layer.bias().size() > 0) layer.bias().setConstant(b.bias.data()[0]);
    layer.train(pass != Pass::eval);
    if (pass == Pass::backward) Use::forward(Eigen::DefaultDevice(), *task);
    return [=, this] {
      (void)tensors, (void)y, (void)dz;  // kept as long as the call
      pool_.with_device([&](const auto& device) {
        pass == Pass::backward ? Use::backward(device, *task) : Use::forward(device, *task);
      });
    };
  }

  template <class T>
  static auto stored(Buffers<T>& b) {
    using S = typename Use::template Of<T>;
    if constexpr (std::is_same_v<S, T>)
      return &b;
    else
      return std::make_shared<Tensors<S>>(b);
  }

  Pool pool_;
};

}  // namespace

std::unique_ptr<Peer> normkit_peer() { return std::make_unique<Normkit<AsGiven>>(); }
std::unique_ptr<Peer> normkit_bfloat16_peer() { return std::make_unique<Normkit<As<Eigen::bfloat16>>>(); }
std::unique_ptr<Peer> normkit_half_peer() { return std::make_unique<Normkit<As<Eigen::half>>>(); }
std::unique_ptr<Peer> normkit_parts_peer() { return std::make_unique<Normkit<InParts>>(); }

}  // namespace peers
