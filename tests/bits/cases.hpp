// What the bits are taken of: a fixed set of layers, shapes and data. The data is made by integer arithmetic and powers of
// two alone, so that it is the same on every machine and in every build.
#pragma once

#include <normkit/normkit.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <unsupported/Eigen/CXX11/ThreadPool>
#include <vector>

#include "support/numbers.hpp"

namespace bits {

/// FNV-1a over bytes, the least significant of each number first. Every NaN counts as the same: its sign and payload differ between machines.
class Hash {
 public:
  template <class T>
  void add(const T* values, Eigen::Index count) {
    for (Eigen::Index i = 0; i < count; ++i) {
      T value = values[i];
      if constexpr (std::is_floating_point_v<T>)
        if (std::isnan(value)) value = std::numeric_limits<T>::quiet_NaN(), value = std::abs(value);
      auto bytes = std::bit_cast<std::array<unsigned char, sizeof(T)>>(value);
      if constexpr (std::endian::native == std::endian::big) std::reverse(bytes.begin(), bytes.end());
      for (const unsigned char byte : bytes) state_ = (state_ ^ byte) * 0x100000001b3u;
    }
  }
  template <class Tensor>
  void add(const Tensor& tensor) {
    add(tensor.data(), tensor.size());
  }
  std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

enum class Data { ordinary, far_mean, tiny, huge, mixed, one_nan };
inline constexpr std::array<Data, 6> all_data{Data::ordinary, Data::far_mean, Data::tiny,
                                              Data::huge,     Data::mixed,    Data::one_nan};
inline const char* name_of(Data data) {
  constexpr const char* names[] = {"ordinary", "far_mean", "tiny", "huge", "mixed", "one_nan"};
  return names[static_cast<int>(data)];
}

/// Integers of 20 bits with a sign, times a power of two.
template <class T>
std::vector<T> numbers(Eigen::Index count, std::uint64_t seed, Data data) {
  support::Numbers random(seed);
  constexpr bool is_float = std::is_same_v<T, float>;
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) {
    const auto integer = static_cast<std::int32_t>(random.bits(20)) - (1 << 19);
    int exponent = -18;
    if (data == Data::tiny) exponent = is_float ? -149 : -1074;
    if (data == Data::huge) exponent = is_float ? 107 : 1003;
    if (data == Data::mixed) exponent = static_cast<int>(random.bits(is_float ? 7 : 10)) - (is_float ? 80 : 600);
    value = std::ldexp(static_cast<T>(data == Data::far_mean ? integer / 64 + (1 << 22) : integer), exponent);
  }
  if (data == Data::one_nan) values[values.size() / 2] = std::numeric_limits<T>::quiet_NaN();
  return values;
}

/// Everything that a layer makes of x and dy, in training and in evaluation, `shift` elements into its memory.
template <int Rank, int Layout, class Norm, class T, class Device>
std::uint64_t of_layer(Norm norm, const std::array<Eigen::Index, Rank>& extents, const std::vector<T>& x_values,
                       const std::vector<T>& dy_values, const Device& device, Eigen::Index shift) {
  using Map = Eigen::TensorMap<Eigen::Tensor<T, Rank, Layout>>;
  std::array<std::vector<T>, 4> memory;
  for (auto& m : memory) m.resize(x_values.size() + static_cast<std::size_t>(shift));
  std::copy(x_values.begin(), x_values.end(), memory[0].begin() + shift);
  std::copy(dy_values.begin(), dy_values.end(), memory[1].begin() + shift);
  Map x(memory[0].data() + shift, extents), dy(memory[1].data() + shift, extents), y(memory[2].data() + shift, extents),
      dx(memory[3].data() + shift, extents);
  std::uint64_t seed = 3;
  for (auto& parameter : norm.parameters()) {
    const auto values = numbers<T>(parameter.value.size(), seed++, Data::ordinary);
    std::copy(values.begin(), values.end(), parameter.value.data());
  }

  Hash hash;
  for (const bool training : {true, false}) {
    norm.train(training);
    norm.forward(device, x, y);
    norm.backward(device, x, dy, dx);
    hash.add(y);
    hash.add(dx);
    const auto& saved = norm.saved();
    hash.add(saved.mean);
    hash.add(saved.mean_lo);
    hash.add(saved.rstd);
    hash.add(saved.exponent);
  }
  for (auto& parameter : norm.parameters()) hash.add(parameter.gradient);
  for (auto& buffer : norm.buffers())
    if (buffer.value.index() == 0) hash.add(std::get<0>(buffer.value));
  return hash.value();
}

/// A case: its name, and its hash on a device.
struct Case {
  std::string name;
  std::function<std::uint64_t(const Eigen::ThreadPoolDevice* pool, Eigen::Index shift)> hash;
};

template <int Rank, int Layout, class Norm>
void add_case(std::vector<Case>& cases, const std::string& name, const Norm& norm,
              const std::array<Eigen::Index, Rank>& extents, Data data) {
  using T = std::remove_cvref_t<decltype(*norm.weight().data())>;
  std::string full = (std::is_same_v<T, float> ? "float " : "double ") + name + " ";
  Eigen::Index size = 1;
  for (const Eigen::Index& extent : extents) {
    full += std::to_string(extent) + (&extent == &extents.back() ? " " : "x");
    size *= extent;
  }
  cases.push_back({full + name_of(data), [=, x = numbers<T>(size, 1, data), dy = numbers<T>(size, 2, Data::ordinary)](
                                             const Eigen::ThreadPoolDevice* pool, Eigen::Index shift) {
                     return pool ? of_layer<Rank, Layout>(norm, extents, x, dy, *pool, shift)
                                 : of_layer<Rank, Layout>(norm, extents, x, dy, Eigen::DefaultDevice(), shift);
                   }});
}

template <class T>
void add_cases(std::vector<Case>& cases) {
  using normkit::BatchNorm;
  using normkit::GroupNorm;
  using normkit::InstanceNorm;
  using normkit::LayerNorm;
  using normkit::RMSNorm;
  constexpr int row = Eigen::RowMajor, column = Eigen::ColMajor;
  for (const Data data : all_data) {
    add_case<2, row>(cases, "batch_norm", BatchNorm<T>(21), {37, 21}, data);
    add_case<3, row>(cases, "batch_norm", BatchNorm<T>(6), {4, 6, 10}, data);
    add_case<4, row>(cases, "batch_norm", BatchNorm<T>(5), {9, 5, 7, 7}, data);
    add_case<3, row>(cases, "batch_norm_channels_last", BatchNorm<T>(19, {.channel_axis = -1}), {3, 41, 19}, data);
    add_case<3, column>(cases, "batch_norm_columns", BatchNorm<T>(6), {4, 6, 10}, data);
    add_case<2, row>(cases, "layer_norm", LayerNorm<T>(77), {33, 77}, data);
    add_case<3, row>(cases, "layer_norm_axis", LayerNorm<T>(6, {.axis = 1}), {4, 6, 10}, data);
    add_case<3, column>(cases, "layer_norm_two_axes", LayerNorm<T, 2, column>({6, 10}), {4, 6, 10}, data);
  }
  for (const Data data : {Data::ordinary, Data::far_mean, Data::mixed}) {  // large enough for threads to share
    add_case<3, row>(cases, "batch_norm", BatchNorm<T>(3), {2, 3, 40009}, data);
    add_case<3, row>(cases, "batch_norm", BatchNorm<T>(70), {600, 70, 2}, data);
    add_case<2, row>(cases, "batch_norm", BatchNorm<T>(2), {70001, 2}, data);
    add_case<2, row>(cases, "layer_norm", LayerNorm<T>(40009), {3, 40009}, data);
    add_case<2, row>(cases, "layer_norm", LayerNorm<T>(64), {1031, 64}, data);
  }
  for (const Data data : all_data) {
    add_case<2, row>(cases, "rms_norm", RMSNorm<T>(77), {33, 77}, data);
    add_case<3, row>(cases, "rms_norm_axis", RMSNorm<T>(6, {.zero_centred = true, .axis = 1}), {4, 6, 10}, data);
    add_case<3, row>(cases, "group_norm", GroupNorm<T>(2, 6), {4, 6, 10}, data);
    add_case<3, row>(cases, "group_norm_channels_last", GroupNorm<T>(2, 10, {.channel_axis = -1}), {3, 41, 10}, data);
    add_case<3, column>(cases, "group_norm_columns", GroupNorm<T>(3, 6), {4, 6, 10}, data);
  }
  for (const Data data : {Data::ordinary, Data::mixed}) {  // large ones of these
    add_case<2, row>(cases, "rms_norm", RMSNorm<T>(40009), {3, 40009}, data);
    add_case<3, row>(cases, "instance_norm", InstanceNorm<T>(3, {.affine = true, .track_running_stats = true}),
                     {2, 3, 40009}, data);
    add_case<3, row>(cases, "group_norm", GroupNorm<T>(2, 6), {2, 6, 7001}, data);
    add_case<3, row>(cases, "group_norm_channels_last", GroupNorm<T>(2, 10, {.channel_axis = -1}), {2, 7001, 10}, data);
  }
  for (const Data data : {Data::tiny, Data::huge})  // the ends of the range in many blocks
    add_case<2, row>(cases, "batch_norm", BatchNorm<T>(2), {40001, 2}, data);
}

inline std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_cases<float>(cases);
  add_cases<double>(cases);
  return cases;
}

}  // namespace bits
