// Virtual lanes: included once for each instruction set. Sums run in 128 bytes of lanes (32 float, 16 double), whatever
// the register width, and element j of a run falls on lane j % 32 (16). So every instruction set adds the same numbers
// in the same order. 128 bytes keep four AVX2 accumulators busy in the first pass and eight in the second, without
// spilling (16 registers).

/// Registers that hold the virtual lanes: 8 of SSE2, 4 of AVX2, 2 of AVX-512.
inline constexpr int lane_packs = 128 / NORMKIT_PACK_BYTES;

NORMKIT_INLINE Index least(Index a, Index b) { return a < b ? a : b; }

/// A whole register, or the first n lanes of one with `fill` in the others.
template <bool Whole, class T>
NORMKIT_INLINE Pack<T> load(const T* from, [[maybe_unused]] Index n, [[maybe_unused]] Pack<T> fill) {
  if constexpr (Whole)
    return Pack<T>::load(from);
  else
    return load_part(from, n, fill);
}

template <bool Whole, class T>
NORMKIT_INLINE void store(Pack<T> pack, T* to, [[maybe_unused]] Index n) {
  if constexpr (Whole)
    pack.store(to);
  else
    store_part(pack, to, n);
}

template <bool Whole, Output Out, class T>
NORMKIT_INLINE void put(Pack<T> pack, T* to, Index n) {
  if constexpr (Whole && Out == Output::streamed)
    stream(pack, to);
  else
    store<Whole>(pack, to, n);
}

template <bool Whole, class T>
NORMKIT_INLINE void add_to(T* to, Index n, Pack<T> pack) {
  NORMKIT_EXACT
  store<Whole>(load<Whole>(to, n, Pack<T>::zero()) + pack, to, n);
}

// Slots are template arguments rather than loop counters: a sum that is an array indexed by constants stays in
// registers from the first optimization on, whatever the compiler unrolls.
template <class T, int Slot, class Body>
NORMKIT_INLINE void last_round(Index i, Index length, Body& body) {
  constexpr int width = Pack<T>::width;
  if (i + width <= length)
    body.template step<true, Slot>(i, width);
  else if (i < length)
    body.template step<false, Slot>(i, length - i);
}

template <class T, class Body, int... Slot>
NORMKIT_INLINE void rounds(Index length, Body& body, std::integer_sequence<int, Slot...>) {
  constexpr int width = Pack<T>::width, slots = sizeof...(Slot);
  Index i = 0;
  for (; i + slots * width <= length; i += slots * width) {
    (body.template step<true, Slot>(i + Slot * width, width), ...);
    if constexpr (requires { body.sums.end_round(); }) body.sums.end_round();
  }
  if (i == length) return;
  (last_round<T, Slot>(i + Slot * width, length, body), ...);
  if constexpr (requires { body.sums.end_round(); }) body.sums.end_round();
}

/// Walks a run of `length` elements in rounds of `Slots` registers: body.step<true, slot>(i, width) for each whole
/// register at element i, and body.step<false, slot>(i, n) for the last n elements. After each round
/// body.sums.end_round(), if there is one.
template <class T, int Slots, class Body>
NORMKIT_INLINE void each_pack(Index length, Body& body) {
  rounds<T>(length, body, std::make_integer_sequence<int, Slots>{});
}

/// The same for bodies that write a run and sum nothing. What is streamed begins at a whole register of the output.
template <Output Out, class T, class Body>
NORMKIT_INLINE void each_pack_into(const T* out, Index length, Body& body) {
  constexpr int width = Pack<T>::width;
  Index i = 0;
  if constexpr (Out == Output::streamed) {
    const Index past = static_cast<Index>(std::bit_cast<std::uintptr_t>(out) / sizeof(T) % width);
    if (past > 0) {
      i = least(width - past, length);
      body.template step<false, 0>(0, i);
    }
  }
  for (; i + width <= length; i += width) body.template step<true, 0>(i, width);
  if (i < length) body.template step<false, 0>(i, length - i);
}

/// The upper half of each span of 2 * Half lanes moved onto the lower half.
template <int Half, class T, int... Lane>
NORMKIT_INLINE Pack<T> upper_half(Pack<T> p, std::integer_sequence<int, Lane...>) {
#if NORMKIT_VECTOR_EXTENSIONS
  return {__builtin_shufflevector(p.raw, p.raw, ((Lane + Half) % Pack<T>::width)...)};
#else
  return {{p.raw[(Lane + Half) % Pack<T>::width]...}};
#endif
}

template <int Half, class T>
NORMKIT_INLINE T fold(Pack<T> p) {
  NORMKIT_EXACT
  if constexpr (Half == 0)
    return p.raw[0];
  else
    return fold<Half / 2>(p + upper_half<Half>(p, std::make_integer_sequence<int, Pack<T>::width>{}));
}

/// The sum of all virtual lanes by a fixed tree: upper half onto lower half, until one is left.
template <class T>
NORMKIT_INLINE T tree_sum(const Pack<T> (&lanes)[lane_packs]) {
  NORMKIT_EXACT
  Pack<T> sum[lane_packs];
#pragma GCC unroll 8
  for (int i = 0; i < lane_packs; ++i) sum[i] = lanes[i];
#pragma GCC unroll 4
  for (int half = lane_packs / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) sum[i] = sum[i] + sum[i + half];
  }
  return fold<Pack<T>::width / 2>(sum[0]);
}

/// Sums in the virtual lanes, all over the same rounds. Equal terms round the same way again and again, in every lane: one
/// chain of 128 of them may be 32 u off. So what a lane has added up is carried to a second level after every 8 rounds, and
/// from there to a third after every 4 times 8, which leaves chains of 8, 4, and 4 (8 of double).
template <class T, int Sums>
struct LaneSums {
  Pack<T> first[Sums][lane_packs], second[Sums][lane_packs], third[Sums][lane_packs];
  Index rounds;

  NORMKIT_INLINE void end_round() {
    if (++rounds % 8 != 0) return;
#pragma GCC unroll 2
    for (int sum = 0; sum < Sums; ++sum) {
      carry(first[sum], second[sum]);
      if (rounds % 32 == 0) carry(second[sum], third[sum]);
    }
  }

  template <int Sum>  // a constant, so that sums stay in registers
  NORMKIT_INLINE T total() {
    if (rounds >= 8) carry(second[Sum], first[Sum]);
    if (rounds >= 32) carry(third[Sum], first[Sum]);
    return tree_sum(first[Sum]);
  }

 private:
  static NORMKIT_INLINE void carry(Pack<T> (&from)[lane_packs], Pack<T> (&to)[lane_packs]) {
    NORMKIT_EXACT
#pragma GCC unroll 8
    for (int i = 0; i < lane_packs; ++i) {
      to[i] = to[i] + from[i];
      from[i] = Pack<T>::zero();
    }
  }
};
