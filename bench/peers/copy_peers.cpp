// The limit: the same bytes moved, with nothing done to them. Forward reads x and writes y; backward reads x and dy and
// writes dx.
#include <cstring>

#include "peer.hpp"
#include "pool.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace peers {
namespace {

class Copies : public PeerOf<Copies> {
 public:
  std::string version() const override { return ""; }
  void use_threads(int threads) override { pool_.use(threads); }

  template <class T>
  Call make(const Row& row, Pass pass, Buffers<T>& b) {
    const auto* const x = reinterpret_cast<const std::byte*>(b.x.data());
    const auto* const dy = pass == Pass::backward ? reinterpret_cast<const std::byte*>(b.dy.data()) : nullptr;
    auto* const out = reinterpret_cast<std::byte*>(b.out.data());
    const auto bytes = static_cast<std::size_t>(row.size()) * sizeof(T);
    if (!can(dy != nullptr, bytes)) return {};
    return [=, this] {
      if (!pool_.device() || bytes < 65536) return move(x, dy, out, bytes);
      constexpr std::size_t block = 1 << 16;
      const Eigen::TensorOpCost cost(2.0 * block, block, 0);
      pool_.device()->parallelFor(static_cast<Eigen::Index>((bytes + block - 1) / block), cost,
                                  [&](Eigen::Index first, Eigen::Index last) {
                                    const std::size_t begin = static_cast<std::size_t>(first) * block;
                                    const std::size_t end = std::min(bytes, static_cast<std::size_t>(last) * block);
                                    move(x + begin, dy ? dy + begin : nullptr, out + begin, end - begin);
                                  });
    };
  }

 private:
  virtual bool can(bool two_inputs, std::size_t bytes) const = 0;
  virtual void move(const std::byte* x, const std::byte* dy, std::byte* out, std::size_t bytes) const = 0;

  Pool pool_;
};

class Memcpy : public Copies {
 public:
  std::string name() const override { return "memcpy"; }

 private:
  bool can(bool two_inputs, std::size_t) const override { return !two_inputs; }
  void move(const std::byte* x, const std::byte*, std::byte* out, std::size_t bytes) const override {
    std::memcpy(out, x, bytes);
  }
};

#if defined(__x86_64__)
template <bool TwoInputs>
__attribute__((target("avx"))) void stream(const std::byte* x, const std::byte* dy, std::byte* out, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64)
    for (std::size_t j = i; j < i + 64; j += 32) {
      __m256 v = _mm256_load_ps(reinterpret_cast<const float*>(x + j));
      if constexpr (TwoInputs) v = _mm256_xor_ps(v, _mm256_load_ps(reinterpret_cast<const float*>(dy + j)));
      _mm256_stream_ps(reinterpret_cast<float*>(out + j), v);
    }
  _mm_sfence();
}

class Streaming : public Copies {
 public:
  std::string name() const override { return "streaming copy"; }

 private:
  bool can(bool, std::size_t bytes) const override { return bytes % 64 == 0 && __builtin_cpu_supports("avx"); }
  void move(const std::byte* x, const std::byte* dy, std::byte* out, std::size_t bytes) const override {
    dy ? stream<true>(x, dy, out, bytes) : stream<false>(x, dy, out, bytes);
  }
};
#endif

}  // namespace

std::unique_ptr<Peer> memcpy_peer() { return std::make_unique<Memcpy>(); }
std::unique_ptr<Peer> streaming_peer() {
#if defined(__x86_64__)
  return std::make_unique<Streaming>();
#else
  return nullptr;
#endif
}

}  // namespace peers
