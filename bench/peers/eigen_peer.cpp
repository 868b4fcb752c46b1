// What people write without a library: Eigen Tensor expressions, reduce and broadcast. Forward only.
#include "peer.hpp"
#include "pool.hpp"

namespace peers {
namespace {

class EigenExpression : public PeerOf<EigenExpression> {
 public:
  std::string name() const override { return "Eigen expression"; }
  std::string version() const override {
    return std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
           std::to_string(EIGEN_MINOR_VERSION);
  }
  void use_threads(int threads) override { pool_.use(threads); }

  template <class T>
  Call make(const Row& row, Pass pass, Buffers<T>& b) {
    if (pass != Pass::train || (row.norm != Norm::batch && row.norm != Norm::layer) || row.is_fused()) return {};
    // In memory order everything is (outer, middle, inner).
    using Rows = Eigen::Tensor<T, 3, Eigen::RowMajor>;
    const Eigen::Index outer = row.outer(), middle = row.middle(), inner = row.inner();
    const Eigen::TensorMap<Rows> x(b.x.data(), outer, middle, inner);
    const Eigen::TensorMap<Rows> y(b.out.data(), outer, middle, inner);
    using Triple = Eigen::array<Eigen::Index, 3>;
    const T weight = b.weight.data()[0], bias = b.bias.data()[0];
    if (row.norm == Norm::batch)
      return call_of<Rows>(x, y, Eigen::array<Eigen::Index, 2>{0, 2}, Triple{1, middle, 1}, Triple{outer, 1, inner},
                           weight, bias);
    return call_of<Rows>(x, y, Eigen::array<Eigen::Index, 1>{1}, Triple{outer, 1, inner}, Triple{1, middle, 1}, weight,
                         bias);
  }

 private:
  template <class Rows, class Map, class Axes, class Triple, class T>
  Call call_of(Map x, Map y, Axes reduced, Triple kept, Triple spread, T weight, T bias) {
    const auto centred = std::make_shared<Rows>(x.dimensions());
    return [=, this]() mutable {
      pool_.with_device([&](const auto& device) {
        Rows mean(kept), scale(kept);
        mean.device(device) = x.mean(reduced).reshape(kept);
        centred->device(device) = x - mean.broadcast(spread);
        scale.device(device) = (centred->square().mean(reduced).reshape(kept) + T(eps)).rsqrt() * weight;
        y.device(device) = *centred * scale.broadcast(spread) + bias;
      });
    };
  }

  Pool pool_;
};

}  // namespace

std::unique_ptr<Peer> eigen_peer() { return std::make_unique<EigenExpression>(); }

}  // namespace peers
