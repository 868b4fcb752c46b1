// What is asked of each library. No header of one is seen by another.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "rows.hpp"

namespace peers {

/// Memory at the start of a cache line, as large as asked and filled with `value`. Never moves.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::int64_t size, T value = T(0))
      : data_(static_cast<T*>(::operator new (static_cast<std::size_t>(size) * sizeof(T), std::align_val_t{64}))),
        size_(size) {
    std::fill_n(data_.get(), size, value);
  }
  T* data() const { return data_.get(); }
  std::int64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(T* data) const { ::operator delete (data, std::align_val_t{64}); }
  };
  std::unique_ptr<T, Free> data_;
  std::int64_t size_;
};

/// The arguments of one row, which all libraries share. `out` is y, or dx in the backward pass. Where the row adds,
/// `residual` is what is added in the forward, and in the backward of LayerNorm and RMSNorm the gradient of the sum;
/// `second` is their sum, and in the backward of BatchNorm the gradient of the residual.
template <class T>
struct Buffers {
  explicit Buffers(const Row& row)
      : x(row.size()),
        dy(row.size()),
        out(row.size()),
        residual(row.adds ? row.size() : 0),
        second(residual.size()),
        weight(row.params(), T(1.5)),
        bias(row.params(), T(0.5)),
        dweight(row.params()),
        dbias(row.params()),
        mean(row.stats()),
        var(row.stats(), T(1)) {
    std::uint32_t state = 1;  // any data without zeros and subnormals: about uniform in (-1, 1)
    const auto next = [&] {
      state = state * 1664525u + 1013904223u;  // Numerical Recipes, 7.1
      return T(state >> 8) / T(1 << 23) - T(1) + T(0x1p-25);
    };
    for (std::int64_t i = 0; i < row.size(); ++i) {
      x.data()[i] = next();
      dy.data()[i] = next();
    }
    for (std::int64_t i = 0; i < residual.size(); ++i) residual.data()[i] = next();
  }

  Buffer<T> x, dy, out, residual, second, weight, bias, dweight, dbias;
  Buffer<T> mean, var;  // of each statistic: given in evaluation, for the libraries that want such memory otherwise
};

using Call = std::function<void()>;

inline constexpr double eps = 1e-5, momentum = 0.1;

/// A library. Null calls say that it does not have this row.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual std::string name() const = 0;
  virtual std::string version() const = 0;
  /// Called before all rows of that many threads.
  virtual void use_threads(int threads) = 0;
  /// Of an element of a tensor, which has so many in the row.
  virtual std::int64_t element_bytes(std::int64_t given) const { return given; }
  /// All that can be made beforehand is made here; the call is what a training step would do.
  virtual Call call(const Row& row, Pass pass, Buffers<float>& buffers) = 0;
  virtual Call call(const Row& row, Pass pass, Buffers<double>& buffers) = 0;
};

/// A Peer from a class with a member template `make` for both types.
template <class Library>
class PeerOf : public Peer {
 public:
  Call call(const Row& row, Pass pass, Buffers<float>& buffers) override { return self().make(row, pass, buffers); }
  Call call(const Row& row, Pass pass, Buffers<double>& buffers) override { return self().make(row, pass, buffers); }

 private:
  Library& self() { return static_cast<Library&>(*this); }
};

std::unique_ptr<Peer> normkit_peer();
std::unique_ptr<Peer> normkit_bfloat16_peer();  // float rows, with tensors of 16 bits in place of x, dy and out
std::unique_ptr<Peer> normkit_half_peer();
std::unique_ptr<Peer> normkit_parts_peer();  // fused rows, by the plain layer and Eigen expressions
std::unique_ptr<Peer> eigen_peer();
std::unique_ptr<Peer> memcpy_peer();
std::unique_ptr<Peer> streaming_peer();
std::unique_ptr<Peer> torch_peer();
std::unique_ptr<Peer> onednn_peer();
std::unique_ptr<Peer> onednn_blocked_peer();

}  // namespace peers
