// A batch in parts, one for each rank, against the oracle on the whole of it. `World` is where ranks are: ThreadRanks, or
// those of MPI.
#pragma once

#include <gtest/gtest.h>
#include <normkit/batch_norm.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "support/judge.hpp"

namespace support {

using Eigen::Index;

/// Where the parts of a batch end, by rank.
using Ends = std::vector<Index>;

/// Ways of giving samples to ranks: alike; the first rank most of them; a rank in the middle, or all but the last, none.
inline std::vector<Ends> ways_to_split(Index samples, Index ranks) {
  std::vector<Ends> ways(4);
  for (Index rank = 1; rank <= ranks; ++rank) {
    ways[0].push_back(samples * rank / ranks);
    ways[1].push_back(rank == ranks ? samples : std::min(samples, samples / 2 + rank));
    ways[2].push_back(rank == ranks ? samples : samples * (rank / 2) / ranks);
    ways[3].push_back(rank == ranks ? samples : 0);
  }
  return ways;
}

/// The samples [begin, end) of axis 0.
template <class Tensor>
auto samples_of(Tensor& all, Index begin, Index end) {
  std::array<Index, static_cast<std::size_t>(Tensor::NumDimensions)> from{}, extents{};
  for (std::size_t axis = 0; axis < extents.size(); ++axis) extents[axis] = all.dimension(axis);
  from[0] = begin;
  extents[0] = end - begin;
  return all.slice(from, extents);
}

template <class Tensor>
std::span<const std::byte> bytes_of(const Tensor& tensor) {
  return std::as_bytes(std::span(tensor.data(), static_cast<std::size_t>(tensor.size())));
}

/// All ranks have the same bits of it.
template <class Communicator, class Tensor>
void expect_same_on_all(Communicator& communicator, const Tensor& tensor, const char* what) {
  const std::span<const std::byte> own = bytes_of(tensor), all = communicator.all_gather(own);
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i] != own[i % own.size()]) {
      ADD_FAILURE() << what << " differs from that of rank " << i / own.size();
      return;
    }
}

/// A step of a layer in training: y, dx, the gradients and the running statistics, each by the rule.
template <class Where, class World, class Tensor>
void expect_step_of_parts(World& world, const normkit::BatchNormOptions& options, const Tensor& x, const Tensor& dy,
                          const Ends& ends) {
  SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(extents_of(x)) << " in parts that end at "
                                    << ::testing::PrintToString(ends));
  using T = normkit::detail::Arithmetic<normkit::detail::StoredOf<Tensor>>;
  const Index axis = options.channel_axis < 0 ? Tensor::NumDimensions - 1 : 1;
  normkit::BatchNorm<T> first(x.dimension(static_cast<std::size_t>(axis)), options);
  set_parameters(first, 3);
  first.running_mean().setConstant(T(2));
  first.weight_grad().setConstant(T(0.5));
  const reference::Running old = running_of(first);
  const OldGradients gradients = OldGradients::of(first);
  std::vector<normkit::BatchNorm<T>> norms(static_cast<std::size_t>(world.size()), first);

  Tensor y = constant<Tensor>(extents_of(x), ScalarOf<Tensor>(0)), dx = y;
  world.run([&](int rank, auto& communicator) {
    const auto at = static_cast<std::size_t>(rank);
    auto& norm = norms[at];
    const Index begin = rank == 0 ? 0 : ends[at - 1], end = ends[at];
    const Tensor own_x = samples_of(x, begin, end), own_dy = samples_of(dy, begin, end);
    Tensor own_y(own_x.dimensions()), own_dx(own_x.dimensions());
    Where where;
    norm.forward(where.device, communicator, own_x, own_y);
    norm.backward(where.device, communicator, own_x, own_dy, own_dx);
    if (end > begin) {
      samples_of(y, begin, end) = own_y;
      samples_of(dx, begin, end) = own_dx;
    }
    expect_same_on_all(communicator, norm.running_mean(), "running mean");
    expect_same_on_all(communicator, norm.running_var(), "running variance");
    expect_same_on_all(communicator, norm.weight_grad(), "gradient of weight");
    expect_same_on_all(communicator, norm.bias_grad(), "gradient of bias");
  });
  world.complete(y);
  world.complete(dx);

  const Grouping g = reference::per_channel(extents_of(x), static_cast<std::size_t>(axis));
  const Moments m = reference::moments(reals(x), g);
  for (const int rank : world.here()) {
    SCOPED_TRACE(::testing::Message() << "rank " << rank);
    const auto& norm = norms[static_cast<std::size_t>(rank)];
    expect_y(norm, x, y, g, m, Statistics::of_batch);
    expect_gradients(norm, x, dy, dx, gradients, g, m, Statistics::of_batch);
    expect_running(norm, old, x, g);
  }
}

/// All ways to split batches: of images and of features, ordinary and hard.
template <class C, class World>
void expect_any_split(World& world) {
  using Where = typename C::Device;
  using Images = typename C::template Tensor<4>;
  using Features = typename C::template Tensor<2>;
  for (const Ends& ends : ways_to_split(13, world.size())) {
    const Extents images{13, 5, 3, 7}, features{13, 37};
    expect_step_of_parts<Where>(world, {}, random<Images>(images, 1, 0.5, 2), random<Images>(images, 2, 0.25), ends);
    expect_step_of_parts<Where>(world, {.momentum = 1}, random<Images>(images, 1, 1e4, 1e-2), random<Images>(images, 2),
                                ends);
    expect_step_of_parts<Where>(world, {.momentum = std::nullopt, .channel_axis = -1}, random<Images>(images, 3, -2, 3),
                                random<Images>(images, 4), ends);
    expect_step_of_parts<Where>(world, {.bias = false}, random<Features>(features, 5, 1e4, 1e-2),
                                random<Features>(features, 6), ends);
  }
}

}  // namespace support
