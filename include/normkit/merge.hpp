#pragma once

#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <normkit/detail/check.hpp>
#include <normkit/detail/plan/across.hpp>
#include <normkit/detail/view/tensor.hpp>

// Sums over parts of a batch, that merge to those of all of it: what a BatchNorm of several processes, or of a data set that no
// memory holds, is made of.
namespace normkit {
namespace detail {

/// What is known of every channel of a part, and how many values of each channel the part has.
template <class Arrays>
class ByChannel {
  using Store = PartialStore<Arrays>;

 public:
  Index channels() const noexcept { return channels_; }  // how many
  /// Values of each channel.
  Index count() const noexcept { return count_; }
  /// Back to no values.
  void clear() noexcept { count_ = 0; }

  /// The library's own view of it.
  Arrays arrays() noexcept { return Store::in(memory_.data(), channels_); }
  void set_count(Index count) noexcept { count_ = count; }  // after arrays() was written to

 protected:
  explicit ByChannel(Index channels) : memory_(Store::bytes(channels)), channels_(channels) {}
  ByChannel(const ByChannel&) = default;
  /// What was moved from is of no channels.
  ByChannel(ByChannel&& other) noexcept
      : memory_(std::move(other.memory_)),
        channels_(std::exchange(other.channels_, 0)),
        count_(std::exchange(other.count_, 0)) {}
  ByChannel& operator=(const ByChannel&) = default;
  ByChannel& operator=(ByChannel&& other) noexcept {
    memory_ = std::move(other.memory_);
    channels_ = std::exchange(other.channels_, 0);
    count_ = std::exchange(other.count_, 0);
    return *this;
  }
  ~ByChannel() = default;

  /// Reading alone.
  Arrays arrays() const noexcept { return const_cast<ByChannel&>(*this).arrays(); }
  /// merge(arrays, count, more) where both have values.
  template <class Merge>
  void add(Arrays more, Index count, const Merge& merge) noexcept {
    if (count == 0) return;
    count_ == 0 ? copy(channels_, more, arrays()) : merge(arrays(), count_, more);
    count_ += count;
  }
  /// What is of no channels yet becomes one of as many.
  bool adopts(const ByChannel& more) const noexcept { return channels_ == 0 && more.channels_ > 0; }
  void require_same_channels(const char* name, const ByChannel& more) const {
    if (channels_ != more.channels_)
      raise(shape_error(words(name) + ": expected those of " + std::to_string(channels_) + " channels, got " +
                        std::to_string(more.channels_)));
  }

 private:
  std::vector<std::byte> memory_;
  Index channels_, count_ = 0;
};

}  // namespace detail

/// Mean and sum of squares about it of every channel of a part of a batch.
///   mean = sum(x) / count,  m2 = sum((x - mean)^2)
/// Both are as exact as those of a forward, whose blocks are summed up in T (docs/numerics.md, "The bound"), and are kept one precision
/// up, of float in double and of double as two: merging adds nothing to the error, also where |mean| is far greater than the
/// deviation.
/// Units    mean [x], m2 and var [x]^2
/// Memory   21 bytes a channel of float, 44 of double
/// Source   Chan, Golub, LeVeque 1983, doi:10.1080/00031305.1983.10483115
template <detail::Scalar T>
class Moments : public detail::ByChannel<detail::Moments<T>> {
  using Base = detail::ByChannel<detail::Moments<T>>;

 public:
  /// Of no values yet; of 0 channels it takes on those of the first that is merged into it.
  explicit Moments(Index channels = 0) : Base(channels) {}
  /// Those that something else has found of `count` values of each channel.
  /// Throws   shape_error for other numbers of them; argument_error for a count or an m2 below 0
  Moments(Index count, std::span<const double> mean, std::span<const double> m2) : Base(std::ssize(mean)) {
    if (mean.size() != m2.size())
      detail::raise(shape_error("Moments: expected an m2 for each of " + std::to_string(mean.size()) + " means, got " +
                                std::to_string(m2.size())));
    if (count < 0)
      detail::raise(argument_error("Moments: expected a count of at least 0, got " + std::to_string(count)));
    for (const double sum : m2)
      if (sum < 0.0)
        detail::raise(argument_error("Moments: expected m2 of at least 0, got " + detail::python_number(sum)));
    for (Index c = 0; c < this->channels(); ++c)
      detail::scalar::take_moments(mean[static_cast<std::size_t>(c)], m2[static_cast<std::size_t>(c)],
                                   this->arrays().from(c));
    this->set_count(count);
  }

  /// NaN where there are no values.
  double mean(Index channel) const noexcept { return numbers(channel, 1).first; }
  /// The sum of squares about the mean; NaN where there are no values.
  double m2(Index channel) const noexcept { return numbers(channel, 1).second; }
  /// The biased variance, m2 / count.
  double var(Index channel) const noexcept { return numbers(channel, this->count()).second; }

  /// Those of both parts, as if they were one, in any order; a part of no values changes nothing.
  ///   mean = (count * mean + more.count * more.mean) / (count + more.count)
  ///   m2 = m2 + more.m2 + (more.mean - mean)^2 * count * more.count / (count + more.count)
  /// Throws   shape_error for another number of channels
  void merge(const Moments& more) {
    if (this->adopts(more)) *this = Moments(more.channels());
    this->require_same_channels("Moments", more);
    add(&more == this ? Moments(more).arrays() : more.Base::arrays(), more.count());
  }
  /// merge with a view of the library's own, of `count` values.
  void add(detail::Moments<T> more, Index count) noexcept {
    Base::add(more, count, [&](detail::Moments<T> into, Index own, detail::Moments<T> other) {
      detail::kernels<T>().steps.merge_moments(this->channels(), into, own, other, count);
    });
  }

 private:
  /// The mean, and m2 / divisor.
  std::pair<double, double> numbers(Index channel, Index divisor) const noexcept {
    std::pair<double, double> result(std::numeric_limits<double>::quiet_NaN(),
                                     std::numeric_limits<double>::quiet_NaN());
    if (this->count() > 0)
      detail::scalar::mean_and_variance(1, Base::arrays().from(channel), divisor, &result.first, &result.second);
    return result;
  }
};

/// Sums over every channel of a part of a batch that a backward needs:
///   dy = sum(dy),  dy_x = sum(dy * (x - mean))
/// with the mean that the forward of the whole batch used.
/// Units    dy [dy], dy_x [dy] [x]
/// Memory   18 bytes a channel of float, 40 of double
template <detail::Scalar T>
class GradientSums : public detail::ByChannel<detail::GradientSums<T>> {
  using Base = detail::ByChannel<detail::GradientSums<T>>;

 public:
  /// Of no values yet.
  explicit GradientSums(Index channels = 0) : Base(channels) {}

  /// 0 where there are no values.
  double dy(Index channel) const noexcept {
    const auto sums = Base::arrays().from(channel);
    return this->count() ? detail::scalar::plain_sum<T>(*sums.dy, *sums.dy_exponent) : 0.0;
  }
  /// As dy.
  double dy_x(Index channel) const noexcept {
    const auto sums = Base::arrays().from(channel);
    return this->count() ? detail::scalar::plain_sum<T>(*sums.dy_x, *sums.dy_x_exponent) : 0.0;
  }

  /// Those of both parts.
  /// Throws   shape_error for another number of channels
  void merge(const GradientSums& more) {
    if (this->adopts(more)) *this = GradientSums(more.channels());
    this->require_same_channels("GradientSums", more);
    add(&more == this ? GradientSums(more).arrays() : more.Base::arrays(), more.count());
  }
  /// merge with a view of the library's own, of `count` values.
  void add(detail::GradientSums<T> more, Index count) noexcept {
    Base::add(more, count, [&](detail::GradientSums<T> into, Index, detail::GradientSums<T> other) {
      detail::kernels<T>().steps.merge_sums(this->channels(), into, other);
    });
  }
};

/// The moments of every channel of x.
/// Shapes   x (any), its channels at `channel_axis`, negative: from the end
/// Memory   allocates its result and, on several threads, partial results; x is read once
/// Threads  those of the device; the same bits for any number of them
/// Throws   argument_error for an axis that x does not have, shape_error for extents that overflow
template <class Device, class X>
requires(!TensorInput<Device> && TensorInput<X> &&
         detail::Stored<detail::StoredOf<X>>) auto channel_moments(const Device& device, const X& x,
                                                                   Index channel_axis = 1) {
  using S = detail::StoredOf<X>;
  decltype(auto) input = detail::dense<X>(device, x);
  const detail::Shape shape = detail::shape_of(input);
  detail::require_product("channel_moments", shape);
  const Index axis = detail::channel_axis_of("channel_moments", shape, channel_axis);
  const detail::StatView view = *detail::make_view(shape, axis, 1, true);
  Moments<detail::Arithmetic<S>> out(shape[axis]);
  if (view.size() == 0) return out;
  detail::Workspace workspace;
  const detail::Executor execute = detail::executor_for(device, view.size());
  std::byte* const memory = execute.threads() > 1 ? workspace.reserve(detail::forward_bytes<S>(view, false)) : nullptr;
  detail::keep_moments(execute, view, detail::elements(input), out.arrays(), memory);
  out.set_count(view.count());
  return out;
}
template <class X>
requires(TensorInput<X>&& detail::Stored<detail::StoredOf<X>>) auto channel_moments(const X& x,
                                                                                    Index channel_axis = 1) {
  return channel_moments(Eigen::DefaultDevice(), x, channel_axis);
}

}  // namespace normkit
