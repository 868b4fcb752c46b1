// PyTorch in float32 on one thread: batch_norm and layer_norm, backward by autograd.
#include <ATen/Parallel.h>
#include <torch/types.h>
#include <torch/version.h>

#include <tuple>

#include "peer.hpp"

namespace peers {
namespace {

using torch::Tensor;

Tensor tensor_of(const Floats& values, const std::vector<std::int64_t>& extents) {
  return torch::tensor(values, torch::kFloat32).reshape(extents);
}

Tensor vector_of(const Floats& values) { return torch::tensor(values, torch::kFloat32); }

Floats values_of(const Tensor& tensor) {
  const Tensor whole = tensor.detach().contiguous();
  const float* const data = whole.data_ptr<float>();
  return Floats(data, data + whole.numel());
}

Floats variances(const Tensor& rows) { return values_of(torch::var(rows, torch::IntArrayRef{1}, /*unbiased=*/false)); }

/// The tensors of a problem in the order of axes that PyTorch asks for.
struct Layout {
  const Problem& p;

  /// BatchNorm: a view with the channels second, so that channels last are what PyTorch calls channels last.
  /// LayerNorm: groups are rows, since it normalizes trailing axes only.
  Tensor in(const Floats& values) const {
    if (p.is_batch_norm) return tensor_of(values, p.extents).movedim(static_cast<std::int64_t>(p.axis), 1);
    return tensor_of(to_rows(values, p.g), {static_cast<std::int64_t>(p.g.groups), features()});
  }
  Floats out(const Tensor& tensor) const {
    if (p.is_batch_norm) return values_of(tensor.movedim(1, static_cast<std::int64_t>(p.axis)));
    return from_rows(values_of(tensor), p.g);
  }
  std::int64_t features() const { return static_cast<std::int64_t>(p.g.params); }
};

class Torch : public Peer {
 public:
  Torch() { at::set_num_threads(1); }

  std::string name() const override { return "PyTorch"; }
  std::string version() const override { return TORCH_VERSION; }

  /// The mean that the layer made; it gives no variance, so that is torch::var's.
  Moments moments(const Problem& p) override {
    const Tensor x = Layout{p}.in(p.x), weight = vector_of(p.weight), bias = vector_of(p.bias);
    if (!p.is_batch_norm) {
      const Tensor mean = std::get<1>(torch::native_layer_norm(x, {Layout{p}.features()}, weight, bias, p.eps));
      return {values_of(mean), variances(x)};
    }
    const Tensor mean = std::get<1>(torch::native_batch_norm(x, weight, bias, {}, {}, /*training=*/true, 0.1, p.eps));
    return {values_of(mean), variances(x.transpose(0, 1).flatten(1))};
  }

  std::vector<Moments> running(const Problem& p, std::optional<double> momentum, int batches) override {
    const Tensor x = Layout{p}.in(p.x), weight = vector_of(p.weight), bias = vector_of(p.bias);
    const auto channels = static_cast<std::int64_t>(p.g.groups);
    const Tensor mean = torch::zeros(channels), var = torch::ones(channels);
    std::vector<Moments> steps;
    for (int batch = 1; batch <= batches; ++batch) {
      const double m = momentum ? *momentum : 1.0 / batch;  // as torch.nn.BatchNorm does
      torch::batch_norm(x, weight, bias, mean, var, /*training=*/true, m, p.eps, /*cudnn_enabled=*/false);
      steps.push_back({values_of(mean), values_of(var)});
    }
    return steps;
  }

  Outputs run(const Problem& p, bool evaluates) override {
    const Layout layout{p};
    const Tensor x = layout.in(p.x).requires_grad_(true), dy = layout.in(p.dy);
    const Tensor weight = vector_of(p.weight).requires_grad_(true), bias = vector_of(p.bias).requires_grad_(true);
    const Tensor y = p.is_batch_norm
                         ? torch::batch_norm(x, weight, bias, vector_of(p.running_mean), vector_of(p.running_var),
                                             !evaluates, 0.1, p.eps, /*cudnn_enabled=*/false)
                         : torch::layer_norm(x, {layout.features()}, weight, bias, p.eps, /*cudnn_enable=*/false);
    y.backward(dy);
    return {layout.out(y), layout.out(x.grad()), values_of(weight.grad()), values_of(bias.grad())};
  }
};

}  // namespace

std::unique_ptr<Peer> torch_peer() { return std::make_unique<Torch>(); }

}  // namespace peers
