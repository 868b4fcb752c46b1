#pragma once

#include <normkit/saved.hpp>

/// The core: the kernels of the layers on plain pointers, per channel and per token, on the calling thread. It needs no
/// Eigen. Extents are positive and pointers valid for them: nothing is checked here, and nothing throws but
/// std::bad_alloc where a docstring says that a function allocates. Mean and variance are doubles. That is more than float
/// data needs; of double data the layers keep the mean to twice the digits, and are more exact where it is far from 0.
namespace normkit::core {

/// Channels lie in memory as (outer, channels, inner): NCHW is (N, C, H * W), NHWC is (N * H * W, C, 1).
struct Channels {
  Index outer, channels, inner;  // slow to fast
};

/// Tokens lie in memory as (tokens, features), each token contiguous.
struct Tokens {
  Index tokens, features;  // slow to fast
};

namespace impl {

inline detail::StatView view(Channels c) noexcept {
  return detail::StatView{1, c.outer, c.channels, c.inner}.canonical();
}
inline detail::StatView view(Tokens t) noexcept { return detail::StatView{1, 1, t.tokens, t.features}.canonical(); }

template <class T>
void moments(const detail::StatView& view, const T* x, double* mean, double* var) noexcept {
  detail::measure_moments(detail::Executor(), view, x, mean, var, nullptr);
}
template <class T>
void normalize(const detail::StatView& view, bool by_element, const T* x, const double* mean, const double* var,
               double eps, const T* weight, const T* bias, T* y) noexcept {
  detail::forward_by_given<T>(detail::Executor(), view, {weight, bias, by_element}, eps, mean, var, x, y);
}
template <class T>
void backward(const detail::StatView& view, bool by_element, const T* x, const double* mean, const double* var,
              double eps, const T* weight, const T* dy, T* dx, T* dweight, T* dbias) {
  const detail::Executor alone;
  Saved<T> saved;
  detail::Workspace workspace;
  std::byte* const memory = workspace.reserve(detail::lone_backward_bytes<T>(view, by_element));
  detail::keep_given<T>(view.stats(), mean, var, eps, saved.resize(view.stats()));
  const detail::BackwardCall<T> call{
      view, detail::About::mean, saved.statistics(), {weight, nullptr, by_element}, x, dy, dx, {dweight, dbias}};
  detail::backward_by_batch<T>(alone, call, memory);
}

}  // namespace impl

/// A pointer that may be a plain nullptr: T is deduced from x alone.
template <class T>
using Pointer = std::type_identity_t<T*>;

/// mean = sum(x) / n and var = sum((x - mean)^2) / n of each channel, n = outer * inner.
/// Shapes   x as `Channels` says; mean, var (channels)
/// Units    mean [x], var [x]^2
template <detail::Scalar T>
void moments_per_channel(const T* x, Channels shape, double* mean, double* var) noexcept {
  impl::moments(impl::view(shape), x, mean, var);
}

/// The same of each token, n = features.
/// Shapes   x as `Tokens` says; mean, var (tokens)
template <detail::Scalar T>
void moments_per_token(const T* x, Tokens shape, double* mean, double* var) noexcept {
  impl::moments(impl::view(shape), x, mean, var);
}

/// y = (x - mean) / sqrt(var + eps) * weight + bias.
/// Shapes   x, y as `Channels` says; mean, var, weight, bias (channels); weight, bias may be null: 1 and 0
/// Memory   y may be x
template <detail::Scalar T>
void normalize_per_channel(const T* x, Channels shape, const double* mean, const double* var, double eps,
                           Pointer<const T> weight, Pointer<const T> bias, T* y) noexcept {
  impl::normalize(impl::view(shape), false, x, mean, var, eps, weight, bias, y);
}

/// The same of tokens, weight and bias by feature.
/// Shapes   x, y as `Tokens` says; mean, var (tokens); weight, bias (features), which may be null: 1 and 0
/// Memory   y may be x
template <detail::Scalar T>
void normalize_per_token(const T* x, Tokens shape, const double* mean, const double* var, double eps,
                         Pointer<const T> weight, Pointer<const T> bias, T* y) noexcept {
  impl::normalize(impl::view(shape), true, x, mean, var, eps, weight, bias, y);
}

/// Gradients of a forward whose mean and var were those of x itself: dx is written, dweight and dbias are added to.
///   dx = rstd * (d - mean(d) - xhat * mean(d * xhat)),  d = dy * weight;  dweight += sum(dy * xhat);  dbias += sum(dy)
/// Shapes   x, dy, dx as `Channels` says; the others (channels); weight, dx, dweight, dbias may be null
/// Memory   dx may be x or dy; allocates a few numbers for each channel
template <detail::Scalar T>
void backward_per_channel(const T* x, Channels shape, const double* mean, const double* var, double eps,
                          Pointer<const T> weight, const T* dy, Pointer<T> dx, Pointer<T> dweight, Pointer<T> dbias) {
  impl::backward(impl::view(shape), false, x, mean, var, eps, weight, dy, dx, dweight, dbias);
}

/// The same of tokens, weight and bias by feature.
/// Shapes   x, dy, dx as `Tokens` says; mean, var (tokens); the others (features); weight, dx and both gradients may be null
/// Memory   dx may be x or dy; allocates a number for each token and up to 64 sums for each feature
template <detail::Scalar T>
void backward_per_token(const T* x, Tokens shape, const double* mean, const double* var, double eps,
                        Pointer<const T> weight, const T* dy, Pointer<T> dx, Pointer<T> dweight, Pointer<T> dbias) {
  impl::backward(impl::view(shape), true, x, mean, var, eps, weight, dy, dx, dweight, dbias);
}

}  // namespace normkit::core
