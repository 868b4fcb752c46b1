// The reductions and each norm, forward and backward, between two bars in the same run: the same thing as an Eigen
// Tensor expression, and a copy of the same bytes. Rates are of x read once and the output written once (backward: x
// and dy read, dx written), so that a rate is a share of what memory gives.
#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>

#include <cstring>
#include <normkit/normkit.hpp>

#include <unsupported/Eigen/CXX11/ThreadPool>

namespace {

using Index = Eigen::Index;
using Images = Eigen::Tensor<float, 4, Eigen::RowMajor>;
using Tokens = Eigen::Tensor<float, 2, Eigen::RowMajor>;

template <class Tensor>
Tensor random(const typename Tensor::Dimensions& extents) {
  Tensor tensor(extents);
  tensor.setRandom();
  return tensor;
}

/// Reports `tensors` passes over memory, each of x's size.
template <class Tensor>
void count_bytes(benchmark::State& state, const Tensor& x, int tensors) {
  state.SetBytesProcessed(state.iterations() * x.size() * static_cast<Index>(sizeof(float)) * tensors);
}

/// Calls `body` for each iteration and keeps the compiler from skipping what it writes.
template <class Tensor, class Body>
void measure(benchmark::State& state, const Tensor& x, const Tensor& out, int tensors, const Body& body) {
  body();  // the first call allocates
  for (auto _ : state) {
    body();
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  count_bytes(state, x, tensors);
}

// Images (N, C, H, W) or (N, H, W, C).

Images::Dimensions image_extents(const benchmark::State& state) {
  return Images::Dimensions(state.range(0), state.range(1), state.range(2), state.range(3));
}

void copy_images(benchmark::State& state) {
  const auto x = random<Images>(image_extents(state));
  Images y(x.dimensions());
  measure(state, x, y, 2, [&] { std::memcpy(y.data(), x.data(), static_cast<std::size_t>(x.size()) * sizeof(float)); });
}

/// What people write without a library: mean and variance by reduction, then broadcast.
void eigen_batch_norm(benchmark::State& state) {
  const auto x = random<Images>(image_extents(state));
  Images y(x.dimensions());
  const Index n = x.dimension(0), c = x.dimension(1), h = x.dimension(2), w = x.dimension(3);
  const Eigen::array<Index, 3> reduced{0, 2, 3};
  const Eigen::array<Index, 4> kept{1, c, 1, 1}, spread{n, 1, h, w};
  measure(state, x, y, 2, [&] {
    const Eigen::Tensor<float, 1, Eigen::RowMajor> mean = x.mean(reduced);
    const Images centred = x - mean.reshape(kept).broadcast(spread);
    const Eigen::Tensor<float, 1, Eigen::RowMajor> scale = (centred.square().mean(reduced) + 1e-5f).rsqrt();
    y = centred * scale.reshape(kept).broadcast(spread);
  });
}

void channel_moments(benchmark::State& state) {
  const auto x = random<Images>(image_extents(state));
  const Index n = x.dimension(0), c = x.dimension(1), inner = x.dimension(2) * x.dimension(3);
  Eigen::Tensor<double, 1> mean(c), var(c);
  for (auto _ : state) {
    normkit::core::moments_per_channel(x.data(), {n, c, inner}, mean.data(), var.data());
    benchmark::ClobberMemory();
  }
  count_bytes(state, x, 1);
}

void eigen_channel_moments(benchmark::State& state) {
  const auto x = random<Images>(image_extents(state));
  const Eigen::array<Index, 3> reduced{0, 2, 3};
  const Eigen::array<Index, 4> kept{1, x.dimension(1), 1, 1}, spread{x.dimension(0), 1, x.dimension(2), x.dimension(3)};
  for (auto _ : state) {
    Eigen::Tensor<float, 1, Eigen::RowMajor> mean = x.mean(reduced);
    Eigen::Tensor<float, 1, Eigen::RowMajor> var = (x - mean.reshape(kept).broadcast(spread)).square().mean(reduced);
    benchmark::DoNotOptimize(var.data());
  }
  count_bytes(state, x, 1);
}

enum class Pass { train, eval, backward };

template <int Axis, Pass What>
void batch_norm(benchmark::State& state) {
  const auto x = random<Images>(image_extents(state)), dy = random<Images>(image_extents(state));
  Images out(x.dimensions());
  normkit::BatchNorm<float> norm(x.dimension(Axis), {.channel_axis = Axis});
  norm.train(What != Pass::eval);
  norm.forward(x, out);
  measure(state, x, out, What == Pass::backward ? 3 : 2,
          [&] { What == Pass::backward ? norm.backward(x, dy, out) : norm.forward(x, out); });
}

template <int Axis>
void batch_norm_pool(benchmark::State& state) {
  const auto x = random<Images>(image_extents(state));
  Images out(x.dimensions());
  Eigen::ThreadPool threads(2);
  const Eigen::ThreadPoolDevice pool(&threads, 2);
  normkit::BatchNorm<float> norm(x.dimension(Axis), {.channel_axis = Axis});
  measure(state, x, out, 2, [&] { norm.forward(pool, x, out); });
}

// Tokens (N, D).

Tokens::Dimensions token_extents(const benchmark::State& state) {
  return Tokens::Dimensions(state.range(0), state.range(1));
}

void copy_tokens(benchmark::State& state) {
  const auto x = random<Tokens>(token_extents(state));
  Tokens y(x.dimensions());
  measure(state, x, y, 2, [&] { std::memcpy(y.data(), x.data(), static_cast<std::size_t>(x.size()) * sizeof(float)); });
}

void eigen_layer_norm(benchmark::State& state) {
  const auto x = random<Tokens>(token_extents(state));
  Tokens y(x.dimensions());
  const Eigen::array<Index, 1> reduced{1};
  const Eigen::array<Index, 2> kept{x.dimension(0), 1}, spread{1, x.dimension(1)};
  measure(state, x, y, 2, [&] {
    const Eigen::Tensor<float, 1, Eigen::RowMajor> mean = x.mean(reduced);
    const Tokens centred = x - mean.reshape(kept).broadcast(spread);
    const Eigen::Tensor<float, 1, Eigen::RowMajor> scale = (centred.square().mean(reduced) + 1e-5f).rsqrt();
    y = centred * scale.reshape(kept).broadcast(spread);
  });
}

void token_moments(benchmark::State& state) {
  const auto x = random<Tokens>(token_extents(state));
  Eigen::Tensor<double, 1> mean(x.dimension(0)), var(x.dimension(0));
  for (auto _ : state) {
    normkit::core::moments_per_token(x.data(), {x.dimension(0), x.dimension(1)}, mean.data(), var.data());
    benchmark::ClobberMemory();
  }
  count_bytes(state, x, 1);
}

template <Pass What>
void layer_norm(benchmark::State& state) {
  const auto x = random<Tokens>(token_extents(state)), dy = random<Tokens>(token_extents(state));
  Tokens out(x.dimensions());
  normkit::LayerNorm<float> norm(x.dimension(1));
  norm.forward(x, out);
  measure(state, x, out, What == Pass::backward ? 3 : 2,
          [&] { What == Pass::backward ? norm.backward(x, dy, out) : norm.forward(x, out); });
}

void nchw(benchmark::internal::Benchmark* b) {
  b->Args({32, 256, 56, 56})->Args({32, 2048, 7, 7})->Args({8, 16, 8, 8})->Unit(benchmark::kMicrosecond);
}
void nhwc(benchmark::internal::Benchmark* b) {
  b->Args({32, 56, 56, 256})->Args({32, 7, 7, 2048})->Args({8, 8, 8, 16})->Unit(benchmark::kMicrosecond);
}
void tokens(benchmark::internal::Benchmark* b) {
  b->Args({4096, 768})->Args({512, 64})->Args({100, 77})->Args({1, 64})->Unit(benchmark::kMicrosecond);
}

BENCHMARK(copy_images)->Apply(nchw);
BENCHMARK(eigen_channel_moments)->Apply(nchw);
BENCHMARK(channel_moments)->Apply(nchw);
BENCHMARK(eigen_batch_norm)->Apply(nchw);
BENCHMARK(batch_norm<1, Pass::train>)->Name("batch_norm_train")->Apply(nchw);
BENCHMARK(batch_norm_pool<1>)->Name("batch_norm_train_2_threads")->UseRealTime()->Apply(nchw);
BENCHMARK(batch_norm<1, Pass::eval>)->Name("batch_norm_eval")->Apply(nchw);
BENCHMARK(batch_norm<1, Pass::backward>)->Name("batch_norm_backward")->Apply(nchw);
BENCHMARK(batch_norm<3, Pass::train>)->Name("batch_norm_nhwc_train")->Apply(nhwc);
BENCHMARK(batch_norm_pool<3>)->Name("batch_norm_nhwc_train_2_threads")->UseRealTime()->Apply(nhwc);
BENCHMARK(batch_norm<3, Pass::eval>)->Name("batch_norm_nhwc_eval")->Apply(nhwc);
BENCHMARK(batch_norm<3, Pass::backward>)->Name("batch_norm_nhwc_backward")->Apply(nhwc);
BENCHMARK(copy_tokens)->Apply(tokens);
BENCHMARK(token_moments)->Apply(tokens);
BENCHMARK(eigen_layer_norm)->Apply(tokens);
BENCHMARK(layer_norm<Pass::train>)->Name("layer_norm")->Apply(tokens);
BENCHMARK(layer_norm<Pass::backward>)->Name("layer_norm_backward")->Apply(tokens);

}  // namespace
