// Lanes of one type for one instruction set: included once for each set, inside its namespace and target region.
// NORMKIT_PACK_BYTES is the width of a register there.

/// `width` values of T in one register. Arithmetic is lane by lane, each result rounded on its own.
template <class T>
struct Pack {
  static constexpr int width = NORMKIT_PACK_BYTES / static_cast<int>(sizeof(T));
#if NORMKIT_VECTOR_EXTENSIONS
  typedef T Raw __attribute__((vector_size(NORMKIT_PACK_BYTES)));
  // Loading through this type compiles to one unaligned instruction; memcpy of 64 bytes is split by g++ and stalls.
  typedef T Memory __attribute__((vector_size(NORMKIT_PACK_BYTES), aligned(alignof(T)), may_alias));
#else
  struct Raw {
    T lane[width];
    friend Raw operator+(Raw a, const Raw& b) {
      for (int i = 0; i < width; ++i) a.lane[i] += b.lane[i];
      return a;
    }
    friend Raw operator-(Raw a, const Raw& b) {
      for (int i = 0; i < width; ++i) a.lane[i] -= b.lane[i];
      return a;
    }
    friend Raw operator*(Raw a, const Raw& b) {
      for (int i = 0; i < width; ++i) a.lane[i] *= b.lane[i];
      return a;
    }
    T& operator[](int i) { return lane[i]; }
    T operator[](int i) const { return lane[i]; }
  };
  using Memory = Raw;
#endif
  Raw raw;

  static NORMKIT_INLINE Pack zero() { return {Raw{}}; }
  static NORMKIT_INLINE Pack all(T value) {
#if NORMKIT_VECTOR_EXTENSIONS
    return {value - Raw{}};  // -0 stays -0: x - (+0) is x for every x
#else
    Pack p;
    for (int i = 0; i < width; ++i) p.raw[i] = value;
    return p;
#endif
  }
  static NORMKIT_INLINE Pack load(const T* from) { return {*reinterpret_cast<const Memory*>(from)}; }
  NORMKIT_INLINE void store(T* to) const { *reinterpret_cast<Memory*>(to) = raw; }

  friend NORMKIT_INLINE Pack operator+(Pack a, Pack b) { NORMKIT_EXACT return {a.raw + b.raw}; }
  friend NORMKIT_INLINE Pack operator-(Pack a, Pack b) { NORMKIT_EXACT return {a.raw - b.raw}; }
  friend NORMKIT_INLINE Pack operator*(Pack a, Pack b) { NORMKIT_EXACT return {a.raw * b.raw}; }
#if NORMKIT_VECTOR_EXTENSIONS
  friend NORMKIT_INLINE Pack operator/(Pack a, Pack b) { NORMKIT_EXACT return {a.raw / b.raw}; }
  friend NORMKIT_INLINE Pack operator-(Pack a) { return {-a.raw}; }
#endif
};

/// Lanes of two registers one after the other, by number.
template <class T, int... Lane>
NORMKIT_INLINE Pack<T> shuffled(Pack<T> a, [[maybe_unused]] Pack<T> b, std::integer_sequence<int, Lane...>) {
#if NORMKIT_VECTOR_EXTENSIONS
  return {__builtin_shufflevector(a.raw, b.raw, Lane...)};
#else
  constexpr int width = Pack<T>::width;
  return {{(Lane < width ? a.raw[Lane % width] : b.raw[Lane % width])...}};
#endif
}
