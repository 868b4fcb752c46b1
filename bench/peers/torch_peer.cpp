// PyTorch: the kernels that torch.nn's norms call, without autograd's bookkeeping. Their results are new tensors each
// time; main() has malloc keep what they free, so that they do not pay for page faults.
#include <ATen/Parallel.h>
#include <torch/types.h>
#include <torch/version.h>

#include <tuple>

#include "peer.hpp"

namespace peers {
namespace {

using torch::Tensor;

template <class T>
Tensor tensor_of(const Buffer<T>& buffer, const std::vector<std::int64_t>& extents) {
  return torch::from_blob(buffer.data(), extents, torch::CppTypeToScalarType<T>::value);
}

class Torch : public PeerOf<Torch> {
 public:
  std::string name() const override { return "PyTorch"; }
  std::string version() const override { return TORCH_VERSION; }
  void use_threads(int threads) override { at::set_num_threads(threads); }

  template <class T>
  Call make(const Row& row, Pass pass, Buffers<T>& b) {
    return row.is_batch_norm ? batch_norm(row, pass, b) : layer_norm(row, pass, b);
  }

 private:
  /// A view with the channels second, so that channels last are what PyTorch calls channels last.
  template <class T>
  Call batch_norm(const Row& row, Pass pass, Buffers<T>& b) {
    const auto axis = static_cast<std::int64_t>(row.axis);
    const Tensor x = tensor_of(b.x, row.extents).movedim(axis, 1), dy = tensor_of(b.dy, row.extents).movedim(axis, 1);
    const Tensor weight = tensor_of(b.weight, {row.params()}), bias = tensor_of(b.bias, {row.params()});
    const Tensor mean = torch::zeros_like(weight), var = torch::ones_like(weight);
    if (pass != Pass::backward)
      return [=] {
        const torch::NoGradGuard no_grad;
        torch::native_batch_norm(x, weight, bias, mean, var, pass == Pass::train, momentum, eps);
      };
    const auto saved = torch::native_batch_norm(x, weight, bias, mean, var, /*training=*/true, momentum, eps);
    const Tensor saved_mean = std::get<1>(saved), saved_rstd = std::get<2>(saved);
    return [=] {
      const torch::NoGradGuard no_grad;
      torch::native_batch_norm_backward(dy, x, weight, mean, var, saved_mean, saved_rstd, /*train=*/true, eps,
                                        {true, true, true});
    };
  }

  /// A view with the normalized axes last, as PyTorch asks for.
  template <class T>
  Call layer_norm(const Row& row, Pass pass, Buffers<T>& b) {
    const std::vector<std::int64_t> extents{row.outer(), row.middle(), row.inner()}, shape{row.middle()};
    const auto last = [&](const Tensor& t) { return row.inner() == 1 ? t.squeeze(2) : t.movedim(1, 2); };
    const Tensor x = last(tensor_of(b.x, extents)), dy = last(tensor_of(b.dy, extents));
    const Tensor weight = tensor_of(b.weight, shape), bias = tensor_of(b.bias, shape);
    if (pass != Pass::backward)
      return [=] {
        const torch::NoGradGuard no_grad;
        torch::native_layer_norm(x, shape, weight, bias, eps);
      };
    const auto saved = torch::native_layer_norm(x, shape, weight, bias, eps);
    const Tensor mean = std::get<1>(saved), rstd = std::get<2>(saved);
    return [=] {
      const torch::NoGradGuard no_grad;
      torch::native_layer_norm_backward(dy, x, shape, mean, rstd, weight, bias, {true, true, true});
    };
  }
};

}  // namespace

std::unique_ptr<Peer> torch_peer() { return std::make_unique<Torch>(); }

}  // namespace peers
