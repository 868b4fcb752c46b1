// PyTorch: the kernels that torch.nn's norms call, without autograd's bookkeeping. Their results are new tensors each
// time; main() has malloc keep what they free, so that they do not pay for page faults. What is fused elsewhere are its
// parts here, in place of a result where that can be.
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
    switch (row.norm) {
      case Norm::batch:
        return batch_norm(row, pass, b);
      case Norm::instance:  // as many groups as channels: what its own does by BatchNorm of a view takes longer
      case Norm::group:
        return group_norm(row, pass, b);
      case Norm::layer:
        return layer_norm(row, pass, b);
      case Norm::rms:
        return rms_norm(row, pass, b);
    }
    return {};
  }

 private:
  /// A view with the channels second, so that channels last are what PyTorch calls channels last.
  template <class T>
  Call batch_norm(const Row& row, Pass pass, Buffers<T>& b) {
    const auto axis = static_cast<std::int64_t>(row.axis);
    const Tensor x = tensor_of(b.x, row.extents).movedim(axis, 1), dy = tensor_of(b.dy, row.extents).movedim(axis, 1);
    const Tensor added = row.adds ? tensor_of(b.residual, row.extents).movedim(axis, 1) : Tensor();
    const Tensor weight = tensor_of(b.weight, {row.params()}), bias = tensor_of(b.bias, {row.params()});
    const Tensor mean = torch::zeros_like(weight), var = torch::ones_like(weight);
    const bool rectifies = row.rectifies;
    const auto forward = [=] {
      const torch::NoGradGuard no_grad;
      auto results = torch::native_batch_norm(x, weight, bias, mean, var, pass != Pass::eval, momentum, eps);
      if (added.defined()) std::get<0>(results).add_(added);
      if (rectifies) std::get<0>(results).relu_();
      return results;
    };
    if (pass != Pass::backward) return forward;
    const auto saved = forward();
    const Tensor y = std::get<0>(saved), saved_mean = std::get<1>(saved), saved_rstd = std::get<2>(saved);
    return [=] {
      const torch::NoGradGuard no_grad;
      const Tensor dz = rectifies ? torch::threshold_backward(dy, y, 0) : dy;
      torch::native_batch_norm_backward(dz, x, weight, mean, var, saved_mean, saved_rstd, /*train=*/true, eps,
                                        {true, true, true});
    };
  }

  template <class T>
  Call group_norm(const Row& row, Pass pass, Buffers<T>& b) {
    const auto axis = static_cast<std::int64_t>(row.axis);
    const Tensor x = tensor_of(b.x, row.extents).movedim(axis, 1), dy = tensor_of(b.dy, row.extents).movedim(axis, 1);
    const Tensor weight = tensor_of(b.weight, {row.params()}), bias = tensor_of(b.bias, {row.params()});
    const std::int64_t n = x.size(0), c = x.size(1), rest = x.numel() / (n * c), groups = row.groups;
    if (pass != Pass::backward)
      return [=] {
        const torch::NoGradGuard no_grad;
        torch::native_group_norm(x, weight, bias, n, c, rest, groups, eps);
      };
    const auto saved = torch::native_group_norm(x, weight, bias, n, c, rest, groups, eps);
    const Tensor mean = std::get<1>(saved), rstd = std::get<2>(saved);
    return [=] {
      const torch::NoGradGuard no_grad;
      torch::native_group_norm_backward(dy, x, mean, rstd, weight, n, c, rest, groups, {true, true, true});
    };
  }

  /// A view with the normalized axes last, as PyTorch asks for.
  template <class T>
  static Tensor tokens(const Row& row, const Buffer<T>& buffer) {
    const Tensor t = tensor_of(buffer, {row.outer(), row.middle(), row.inner()});
    return row.inner() == 1 ? t.squeeze(2) : t.movedim(1, 2);
  }
  /// What is added to x, or in the backward to dx: undefined where nothing is.
  template <class T>
  static Tensor added_tokens(const Row& row, const Buffers<T>& b) {
    return row.adds ? tokens(row, b.residual) : Tensor();
  }
  static Tensor sum_of(const Tensor& x, const Tensor& added) { return added.defined() ? x + added : x; }

  template <class T>
  Call layer_norm(const Row& row, Pass pass, Buffers<T>& b) {
    const std::vector<std::int64_t> shape{row.middle()};
    const Tensor x = tokens(row, b.x), dy = tokens(row, b.dy), added = added_tokens(row, b);
    const Tensor weight = tensor_of(b.weight, shape), bias = tensor_of(b.bias, shape);
    if (pass != Pass::backward)
      return [=] {
        const torch::NoGradGuard no_grad;
        torch::native_layer_norm(sum_of(x, added), shape, weight, bias, eps);
      };
    const Tensor sum = sum_of(x, added);
    const auto saved = torch::native_layer_norm(sum, shape, weight, bias, eps);
    const Tensor mean = std::get<1>(saved), rstd = std::get<2>(saved);
    return [=] {
      const torch::NoGradGuard no_grad;
      const auto gradients =
          torch::native_layer_norm_backward(dy, sum, shape, mean, rstd, weight, bias, {true, true, true});
      if (added.defined()) std::get<0>(gradients).add_(added);
    };
  }

  /// Before 2.4, which has its own: as people wrote it.
  static Tensor rms_norm(const Tensor& x, const Tensor& weight) {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
    return torch::rms_norm(x, weight.sizes(), weight, eps);
#else
    return x.mul(torch::rsqrt(x.square().mean(-1, /*keepdim=*/true).add_(eps))).mul_(weight);
#endif
  }

  /// Its backward is what autograd of the above comes to, with the products that it needs twice made once.
  template <class T>
  Call rms_norm(const Row& row, Pass pass, Buffers<T>& b) {
    const Tensor x = tokens(row, b.x), dy = tokens(row, b.dy), added = added_tokens(row, b);
    const Tensor weight = tensor_of(b.weight, {row.middle()});
    if (pass != Pass::backward)
      return [=] {
        const torch::NoGradGuard no_grad;
        rms_norm(sum_of(x, added), weight);
      };
    const Tensor sum = sum_of(x, added);
    const Tensor rstd = torch::rsqrt(sum.square().mean(-1, /*keepdim=*/true).add_(eps));
    return [=] {
      const torch::NoGradGuard no_grad;
      const Tensor xhat = sum.mul(rstd), dy_xhat = dy.mul(xhat);
      dy_xhat.sum_to_size(weight.sizes());
      const Tensor mean = dy_xhat.matmul(weight).div_(static_cast<double>(weight.numel())).unsqueeze(-1);
      const Tensor dx = dy.mul(weight).sub_(xhat.mul(mean)).mul_(rstd);
      if (added.defined()) dx.add_(added);
    };
  }
};

}  // namespace

std::unique_ptr<Peer> torch_peer() { return std::make_unique<Torch>(); }

}  // namespace peers
