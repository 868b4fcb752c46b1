// A step of any layer on any shape, layout, device and data, against the oracle. A fuzzer finds data whose roundings all go one way, such as one
// number far greater than the rest, where a sum is not the 3 roundings of the rule but as many as docs/numerics.md counts at worst.
#include <normkit/normkit.hpp>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "fuzz/input.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using Eigen::Index;
using fuzz::Input;

/// The longest chain of additions, and the depth of the tree behind it; dx has two such sums.
constexpr int at_worst = 2 * (20 + 5);

/// Bell-shaped numbers about a mean, some of which are replaced by what is rare.
template <class Tensor>
Tensor tensor(const Extents& extents, Input& input) {
  using T = typename Tensor::Scalar;
  const auto power = [&](int most) { return std::ldexp(1.0, static_cast<int>(input.between(-most, most))); };
  const double deviation = power(20), mean = input.choose(2) ? deviation * power(10) : 0.0;
  Tensor made = random<Tensor>(extents, input.choose(1000), mean, deviation);
  for (std::uint32_t rare = input.choose(4); rare > 0 && made.size() > 0; --rare) {
    const T values[] = {T(0), T(-0.0), static_cast<T>(mean), static_cast<T>(deviation * 1024),
                        static_cast<T>(deviation / 1024)};
    const T value = input.one_of(values);
    const Index first = input.choose(65536) % made.size(), count = input.between(1, 40);
    for (Index i = first; i < std::min<Index>(first + count, made.size()); ++i) made.data()[i] = value;
  }
  return made;
}

/// The step, and that evaluation is the same by any of its names.
template <class Norm, class Device, class Tensor>
void step(Norm norm, Device& device, const Tensor& x, const Tensor& dy, const Grouping& g) {
  set_parameters(norm, 3);
  constexpr bool about_zero = requires { norm.options().zero_centred; };
  const Moments m = about_zero ? reference::squares(reals(x), g) : reference::moments(reals(x), g);
  const Statistics statistics = about_zero ? Statistics::squares_of_batch : Statistics::of_batch;
  Tensor y = x, dx = x, inferred = x;
  norm.forward(device, x, y);
  norm.backward(device, x, dy, dx);
  const auto judge = [&](bool keeps, const char* what) {
    if (!keeps) std::cerr << norm << " " << ::testing::PrintToString(extents_of(x)) << "\n";
    fuzz::require(keeps, what);
  };
  const auto expected = expected_y(reals(x), g, m, eps_of(norm), affine_of(norm), statistics);
  judge(keeps_rule(values(y), expected, roundings::y + at_worst), "y within the bound");
  const auto gradients = expected_gradients(reals(x), reals(dy), g, m, eps_of(norm), affine_of(norm), statistics);
  judge(keeps_rule(values(dx), gradients.dx, roundings::dx + at_worst), "dx within the bound");
  if (norm.weight().size() > 0)
    judge(keeps_rule(values(norm.weight_grad()), gradients.dweight, roundings::dweight + at_worst),
          "dweight within the bound");
  if (norm.bias().size() > 0)
    judge(keeps_rule(values(norm.bias_grad()), gradients.dbias, roundings::dbias + at_worst), "dbias within the bound");
  norm.eval();
  norm.forward(device, x, y);
  norm.infer(x, inferred);
  judge(same_bits(inferred, y), "infer as forward in evaluation");
}

template <class T, int layout, class Device>
void any_step(Input& input, Device& device) {
  using Tensor = Eigen::Tensor<T, 3, layout>;
  constexpr double eps_values[] = {1e-5, 0.0, 1e-3, 1.0};
  const double eps = input.one_of(eps_values);
  const bool weight = input.choose(4) != 0, bias = input.choose(4) != 0;
  const Index groups = input.between(1, 5);
  const std::uint32_t kind = input.choose(7);
  const Index second = input.between(1, 24) * (kind == 5 ? groups : 1);
  const Extents extents{input.between(1, 5), second, input.between(1, 80)};
  const auto channel = [&](std::size_t axis) { return reference::per_channel(extents, axis); };
  // One value for each statistic is refused in training, which other tests see.
  if ((kind == 0 && extents[0] * extents[2] == 1) || (kind == 1 && extents[0] * extents[1] == 1) ||
      (kind == 6 && extents[2] == 1))
    return;
  const Tensor x = tensor<Tensor>(extents, input), dy = tensor<Tensor>(extents, input);
  const auto go = [&](const auto& norm, const Grouping& g) { step(norm, device, x, dy, g); };
  switch (kind) {
    case 0:
      return go(normkit::BatchNorm<T>(extents[1], {.eps = eps, .weight = weight, .bias = bias}), channel(1));
    case 1:
      return go(normkit::BatchNorm<T>(extents[2], {.eps = eps, .weight = weight, .bias = bias, .channel_axis = -1}),
                channel(2));
    case 2:
      return go(normkit::LayerNorm<T>(extents[2], {.eps = eps, .weight = weight, .bias = bias}),
                reference::per_token(extents, 2, 1));
    case 3:
      return go(normkit::LayerNorm<T>(extents[1], {.eps = eps, .weight = weight, .bias = bias, .axis = 1}),
                reference::per_token(extents, 1, 1));
    case 4:
      return go(normkit::RMSNorm<T>(extents[2], {.eps = eps, .elementwise_affine = weight, .zero_centred = bias}),
                reference::per_token(extents, 2, 1));
    case 5:
      return go(normkit::GroupNorm<T>(groups, extents[1], {.eps = eps, .weight = weight, .bias = bias}),
                reference::per_channel_group(extents, 1, static_cast<std::size_t>(groups)));
    default:
      return go(normkit::InstanceNorm<T>(extents[1], {.eps = eps, .affine = true, .weight = weight, .bias = bias}),
                reference::per_channel_group(extents, 1, static_cast<std::size_t>(extents[1])));
  }
}

template <class T, int layout>
void on_any_device(Input& input) {
  static Eigen::ThreadPool threads(3);
  static Eigen::ThreadPoolDevice pool(&threads, 3);
  static Eigen::DefaultDevice alone;
  input.choose(2) ? any_step<T, layout>(input, pool) : any_step<T, layout>(input, alone);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  switch (input.choose(4)) {
    case 0:
      on_any_device<float, Eigen::RowMajor>(input);
      break;
    case 1:
      on_any_device<float, Eigen::ColMajor>(input);
      break;
    case 2:
      on_any_device<double, Eigen::RowMajor>(input);
      break;
    default:
      on_any_device<double, Eigen::ColMajor>(input);
  }
  return 0;
}
