// Nothing outside of a tensor is read or written: tensors that end where memory ends, and such that begin where it begins, give what
// others give. One element further is a page that cannot be touched: the program would end there.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "support/configs.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::BatchNorm;
using normkit::GroupNorm;
using normkit::InstanceNorm;
using normkit::Isa;
using normkit::LayerNorm;
using normkit::RMSNorm;

/// Memory between two pages that cannot be touched.
class GuardedRoom {
 public:
  GuardedRoom() : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), size_((room / page_ + 1) * page_) {
    void* const all = mmap(nullptr, size_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) throw std::runtime_error("no memory between pages");
    all_ = static_cast<std::byte*>(all);
    if (mprotect(all_ + page_, size_, PROT_READ | PROT_WRITE) != 0) throw std::runtime_error("no memory to write to");
  }
  ~GuardedRoom() { munmap(all_, size_ + 2 * page_); }
  GuardedRoom(const GuardedRoom&) = delete;
  GuardedRoom& operator=(const GuardedRoom&) = delete;

  std::byte* place(std::size_t bytes, bool at_end) {
    if (bytes > size_) throw std::runtime_error("too large a tensor for the room");
    return all_ + page_ + (at_end ? size_ - bytes : 0);
  }

 private:
  static constexpr std::size_t room = std::size_t{1} << 17;
  std::size_t page_, size_;
  std::byte* all_;
};

/// Which of the tensors of a call end where memory ends: the others begin where it begins.
struct Ends {
  bool inputs, outputs;
};
constexpr std::array<Ends, 4> all_ends{{{true, true}, {false, false}, {true, false}, {false, true}}};

template <class C>
class GuardedMemory : public ::testing::Test {
 protected:
  using Scalar = typename C::Scalar;
  using Parameter = normkit::detail::Arithmetic<normkit::detail::StoredOf<Eigen::Tensor<Scalar, 1>>>;
  template <int Rank>
  using Tensor = Eigen::Tensor<Scalar, Rank, C::layout>;
  template <int Rank>
  using Map = Eigen::TensorMap<Tensor<Rank>>;

  ~GuardedMemory() override { normkit::max_isa(Isa::avx512); }

  template <int Rank>
  Map<Rank> map(std::size_t room, const Tensor<Rank>& like, bool at_end) {
    const auto bytes = static_cast<std::size_t>(like.size()) * sizeof(Scalar);
    Map<Rank> made(reinterpret_cast<Scalar*>(rooms_.at(room).place(bytes, at_end)), like.dimensions());
    std::copy_n(like.data(), like.size(), made.data());
    return made;
  }

  /// A step, and whatever else the norm can do, of tensors in such memory as of tensors elsewhere.
  template <int Rank, class Norm>
  void check(Norm norm, const Extents& extents) {
    SCOPED_TRACE(::testing::Message() << norm << " " << ::testing::PrintToString(extents));
    set_parameters(norm, 3);
    const auto x = random<Tensor<Rank>>(extents, 1, 0.5, 2), dy = random<Tensor<Rank>>(extents, 2),
               other = random<Tensor<Rank>>(extents, 4);
    const auto blank = constant<Tensor<Rank>>(extents, Scalar(-77));
    for (const Ends ends : all_ends) {
      const auto in = [&](std::size_t room, const Tensor<Rank>& like) { return map<Rank>(room, like, ends.inputs); };
      const auto out = [&](std::size_t room) { return map<Rank>(room, blank, ends.outputs); };
      Norm here = norm, there = norm;
      const auto agrees = [&](const auto& a, const auto& b) {
        return same_bits(a, b) && same_bits(here.weight_grad(), there.weight_grad()) &&
               same_bits(here.bias_grad(), there.bias_grad());
      };
      const auto gx = in(0, x), gdy = in(1, dy), gother = in(2, other);
      auto gy = out(3), gdx = out(4), gmore = out(5);
      Tensor<Rank> y = blank, dx = blank, more = blank;

      here.forward(x, y);
      there.forward(gx, gy);
      ASSERT_TRUE(agrees(gy, y));
      here.backward(x, dy, dx);
      there.backward(gx, gdy, gdx);
      ASSERT_TRUE(agrees(gdx, dx));
      if constexpr (requires { here.jvp(x, other, y); }) {
        here.jvp(x, other, more);
        there.jvp(gx, gother, gmore);
        ASSERT_TRUE(agrees(gmore, more));
        here.double_backward(x, dy, other, dx, more);
        there.double_backward(gx, gdy, gother, gdx, gmore);
        ASSERT_TRUE(agrees(gdx, dx) && same_bits(gmore, more));
      }
      if constexpr (requires { here.backward_from_output(y, dy, dx); })
        if (here.recovers()) {
          here.backward_from_output(y, dy, dx);
          there.backward_from_output(gy, gdy, gdx);
          ASSERT_TRUE(agrees(gdx, dx));
        }
      if constexpr (requires { here.forward_add(x, other, y, dx); }) {
        here.forward_add(x, other, more, y);
        there.forward_add(gx, gother, gmore, gy);
        ASSERT_TRUE(agrees(gy, y) && same_bits(gmore, more));
        here.backward_add(x, dy, other, dx);
        there.backward_add(gx, gdy, gother, gdx);
        ASSERT_TRUE(agrees(gdx, dx));
      }
      if constexpr (requires(normkit::ReLUMask mask) { here.forward_relu(x, y, mask); }) {
        normkit::ReLUMask mask, gmask;
        here.forward_add_relu(x, other, y, mask);
        there.forward_add_relu(gx, gother, gy, gmask);
        ASSERT_TRUE(agrees(gy, y));
        here.backward_add_relu(x, dy, mask, dx, more);
        there.backward_add_relu(gx, gdy, gmask, gdx, gmore);
        ASSERT_TRUE(agrees(gdx, dx) && same_bits(gmore, more));
      }
      here.eval();
      there.eval();
      here.infer(x, y);
      there.infer(gx, gy);
      ASSERT_TRUE(agrees(gy, y));
      here.forward(x, y);
      there.forward(gx, gy);
      here.backward(x, dy, dx);
      there.backward(gx, gdy, gdx);
      ASSERT_TRUE(agrees(gdx, dx));
    }
  }

  /// Calls f(length) for every length of a row up to four of the widest registers and what is left over, on every instruction set.
  template <class F>
  static void each_length(Index least, const F& f) {
    for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
      if (normkit::max_isa(isa) != isa) continue;
      SCOPED_TRACE(::testing::Message() << "instruction set " << static_cast<int>(isa));
      constexpr Index most = 4 * 64 / static_cast<Index>(sizeof(Scalar)) + 3;
      for (Index length = least; length <= most && !::testing::Test::HasFatalFailure(); ++length) f(length);
    }
  }

  std::array<GuardedRoom, 6> rooms_;
};

using Memories =
    ::testing::Types<Config<float, Eigen::RowMajor, Alone>, Config<float, Eigen::ColMajor, Alone>,
                     Config<double, Eigen::RowMajor, Alone>, Config<Eigen::half, Eigen::RowMajor, Alone>,
                     Config<Eigen::bfloat16, Eigen::RowMajor, Alone>, Config<Eigen::bfloat16, Eigen::ColMajor, Alone>>;
TYPED_TEST_SUITE(GuardedMemory, Memories, ConfigName);

TYPED_TEST(GuardedMemory, OfChannelsFirst) {
  using T = typename TestFixture::Parameter;
  this->each_length(0, [&](Index length) {
    this->template check<3>(BatchNorm<T>(2), {3, 2, length});
    if (length > 1) this->template check<3>(InstanceNorm<T>(2, {.affine = true}), {2, 2, length});
    this->template check<3>(GroupNorm<T>(2, 4), {2, 4, length});
  });
}

TYPED_TEST(GuardedMemory, OfChannelsLast) {
  using T = typename TestFixture::Parameter;
  this->each_length(1, [&](Index length) {
    this->template check<2>(BatchNorm<T>(length), {5, length});
    this->template check<3>(BatchNorm<T>(length, {.channel_axis = -1}), {2, 3, length});
    this->template check<3>(GroupNorm<T>(1, length, {.channel_axis = -1}), {2, 3, length});
  });
}

TYPED_TEST(GuardedMemory, OfRows) {
  using T = typename TestFixture::Parameter;
  this->each_length(1, [&](Index length) {
    this->template check<2>(LayerNorm<T>(length), {5, length});
    this->template check<2>(RMSNorm<T>(length, {.zero_centred = true}), {5, length});
    this->template check<2>(LayerNorm<T>(length), {0, length});
  });
}

TYPED_TEST(GuardedMemory, OfColumns) {
  using T = typename TestFixture::Parameter;
  this->each_length(1, [&](Index length) {
    this->template check<3>(LayerNorm<T>(3, {.axis = 1}), {2, 3, length});
    this->template check<3>(LayerNorm<T>(length, {.axis = 1}), {2, length, 3});
  });
}

// What is packed, and rows one after the other: the tensors, and the lengths and offsets that go with them.
TYPED_TEST(GuardedMemory, OfVariableLengths) {
  using T = typename TestFixture::Parameter;
  this->each_length(1, [&](Index length) {
    for (const Ends ends : all_ends) {
      using Volume = typename TestFixture::template Tensor<3>;
      const auto x = random<Volume>({3, 2, length}, 1, 0.5, 2);
      const auto gx = this->template map<3>(0, x, ends.inputs);
      auto gy = this->template map<3>(3, x, ends.outputs), gdx = this->template map<3>(4, x, ends.outputs);
      Volume y = x, dx = x;
      using Integers = Eigen::TensorMap<Eigen::Tensor<std::int32_t, 1>>;
      Integers lengths(reinterpret_cast<std::int32_t*>(this->rooms_[1].place(3 * 4, ends.inputs)), 3);
      lengths.setValues({static_cast<std::int32_t>(length), 0, static_cast<std::int32_t>(length / 2 + 1)});
      BatchNorm<T> here(2), there(2);
      here.forward(x, lengths, y);
      there.forward(gx, lengths, gy);
      here.backward(x, lengths, x, dx);
      there.backward(gx, lengths, gx, gdx);
      ASSERT_TRUE(same_bits(gy, y) && same_bits(gdx, dx));

      using Packed = typename TestFixture::template Tensor<1>;
      const auto rows = random<Packed>({2 * length + 1}, 1, 0.5, 2);
      const auto grows = this->template map<1>(0, rows, ends.inputs);
      auto gout = this->template map<1>(3, rows, ends.outputs), gback = this->template map<1>(4, rows, ends.outputs);
      Packed out = rows, back = rows;
      Integers offsets(reinterpret_cast<std::int32_t*>(this->rooms_[1].place(4 * 4, ends.inputs)), 4);
      offsets.setValues({0, static_cast<std::int32_t>(length), static_cast<std::int32_t>(length),
                         static_cast<std::int32_t>(2 * length + 1)});
      LayerNorm<T> packed_here(length + 1), packed_there(length + 1);
      packed_here.forward(rows, offsets, out);
      packed_there.forward(grows, offsets, gout);
      packed_here.backward(rows, offsets, rows, back);
      packed_there.backward(grows, offsets, grows, gback);
      ASSERT_TRUE(same_bits(gout, out) && same_bits(gback, back));
    }
  });
}

// The plain pointers: parameters, statistics and gradients as well.
TYPED_TEST(GuardedMemory, OfTheCore) {
  using S = typename TestFixture::Scalar;
  if constexpr (normkit::detail::Scalar<S>) {
    this->each_length(1, [&](Index length) {
      for (const Ends ends : all_ends) {
        const normkit::core::Tokens tokens{3, length};
        const normkit::core::Channels channels{2, length, 3};
        const auto numbers = bell<S>(static_cast<std::size_t>(6 * length), 1, 0.5, 2);
        const auto place = [&](std::size_t room, Index count, bool at_end) {
          S* const at =
              reinterpret_cast<S*>(this->rooms_[room].place(static_cast<std::size_t>(count) * sizeof(S), at_end));
          std::copy_n(numbers.data(), count, at);
          return at;
        };
        const auto doubles = [&](std::size_t room, Index count) {
          return reinterpret_cast<double*>(
              this->rooms_[room].place(static_cast<std::size_t>(count) * sizeof(double), ends.outputs));
        };
        std::vector<S> y(numbers.size()), dx(numbers.size()), dweight(numbers), dbias(numbers);
        std::vector<double> mean(numbers.size()), var(numbers.size());

        const S* x = place(0, 3 * length, ends.inputs);
        const S* weight = place(1, length, ends.inputs);
        S* const out = place(2, 3 * length, ends.outputs);
        S* const gradient = place(5, length, ends.outputs);
        double *const gmean = doubles(3, 3), *const gvar = doubles(4, 3);
        normkit::core::moments_per_token(numbers.data(), tokens, mean.data(), var.data());
        normkit::core::moments_per_token(x, tokens, gmean, gvar);
        ASSERT_TRUE(std::equal(gmean, gmean + 3, mean.data()) && std::equal(gvar, gvar + 3, var.data()));
        normkit::core::normalize_per_token(numbers.data(), tokens, gmean, gvar, 1e-5, numbers.data(), numbers.data(),
                                           y.data());
        normkit::core::normalize_per_token(x, tokens, gmean, gvar, 1e-5, weight, weight, out);
        ASSERT_TRUE(std::equal(out, out + 3 * length, y.data()));
        normkit::core::backward_per_token(numbers.data(), tokens, gmean, gvar, 1e-5, numbers.data(), numbers.data(),
                                          dx.data(), dweight.data(), dbias.data());
        normkit::core::backward_per_token(x, tokens, gmean, gvar, 1e-5, weight, x, out, gradient, nullptr);
        ASSERT_TRUE(std::equal(out, out + 3 * length, dx.data()) &&
                    std::equal(gradient, gradient + length, dweight.data()));

        x = place(0, 6 * length, ends.inputs);
        S* const wide = place(2, 6 * length, ends.outputs);
        double *const cmean = doubles(3, length), *const cvar = doubles(4, length);
        normkit::core::moments_per_channel(x, channels, cmean, cvar);
        normkit::core::normalize_per_channel(numbers.data(), channels, cmean, cvar, 1e-5, numbers.data(),
                                             numbers.data(), y.data());
        normkit::core::normalize_per_channel(x, channels, cmean, cvar, 1e-5, weight, weight, wide);
        ASSERT_TRUE(std::equal(wide, wide + 6 * length, y.data()));
        dweight = numbers;
        std::copy_n(numbers.data(), length, gradient);
        normkit::core::backward_per_channel(numbers.data(), channels, cmean, cvar, 1e-5, numbers.data(), numbers.data(),
                                            dx.data(), dweight.data(), dbias.data());
        normkit::core::backward_per_channel(x, channels, cmean, cvar, 1e-5, weight, x, wide, gradient, nullptr);
        ASSERT_TRUE(std::equal(wide, wide + 6 * length, dx.data()) &&
                    std::equal(gradient, gradient + length, dweight.data()));
      }
    });
  }
}

}  // namespace
