// Stores that go past the caches, and loads ahead of time: included once for each instruction set, after packed.inl.hpp.
// A large output is out of the caches before anybody reads it. Written past the caches it need not be read first,
// and leaves in them what is still needed.

/// `to` is aligned to a whole register, of numbers of 16 bits to half of one. Other threads see the value only after
/// store_fence().
template <class T, class S>
NORMKIT_INLINE void stream(Pack<T> pack, S* to) {
  store_whole(pack, to);
}
#if defined(__x86_64__) && NORMKIT_VECTOR_EXTENSIONS
#if NORMKIT_TARGET_AVX512
NORMKIT_INLINE void stream(Pack<float> pack, float* to) { _mm512_stream_ps(to, pack.raw); }
NORMKIT_INLINE void stream(Pack<double> pack, double* to) { _mm512_stream_pd(to, pack.raw); }
template <Stored16 S>
NORMKIT_INLINE void stream(Pack<float> pack, S* to) {
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(packed<S>(pack).raw));
}
#elif NORMKIT_TARGET_AVX2
NORMKIT_INLINE void stream(Pack<float> pack, float* to) { _mm256_stream_ps(to, pack.raw); }
NORMKIT_INLINE void stream(Pack<double> pack, double* to) { _mm256_stream_pd(to, pack.raw); }
template <Stored16 S>
NORMKIT_INLINE void stream(Pack<float> pack, S* to) {
  _mm_stream_si128(reinterpret_cast<__m128i*>(to), reinterpret_cast<__m128i>(packed<S>(pack).raw));
}
#elif NORMKIT_PACK_BYTES == 16
NORMKIT_INLINE void stream(Pack<float> pack, float* to) { _mm_stream_ps(to, pack.raw); }
NORMKIT_INLINE void stream(Pack<double> pack, double* to) { _mm_stream_pd(to, pack.raw); }
#endif
#endif

/// Asks for the cache line at `from`, in L2. It may lie anywhere: nothing is read that the program could see.
NORMKIT_INLINE void prefetch([[maybe_unused]] const void* from) {
#if defined(__GNUC__)
  __builtin_prefetch(from, 0, 2);
#endif
}
