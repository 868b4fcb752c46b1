// Virtual lanes: included once for each instruction set. Sums run in 128 bytes of lanes (32 float, 16 double), whatever
// the register width, and element j of a run falls on lane j % 32 (16). So every instruction set adds the same numbers
// in the same order. 128 bytes keep four AVX2 accumulators busy in the first pass and eight in the second, without
// spilling (16 registers).

/// Registers that hold the virtual lanes: 8 of SSE2, 4 of AVX2, 2 of AVX-512.
inline constexpr int lane_packs = 128 / NORMKIT_PACK_BYTES;

NORMKIT_INLINE Index least(Index a, Index b) { return a < b ? a : b; }

/// A whole register, or the first n lanes of one with `fill` in the others.
template <bool Whole, Stored S>
NORMKIT_INLINE Pack<Arithmetic<S>> load(const S* from, [[maybe_unused]] Index n,
                                        [[maybe_unused]] Pack<Arithmetic<S>> fill) {
  if constexpr (Whole)
    return load_whole(from);
  else
    return load_part(from, n, fill);
}

template <bool Whole, class T, class S>
NORMKIT_INLINE void store(Pack<T> pack, S* to, [[maybe_unused]] Index n) {
  if constexpr (Whole)
    store_whole(pack, to);
  else
    store_part(pack, to, n);
}

template <bool Whole, Output Out, class T, class S>
NORMKIT_INLINE void put(Pack<T> pack, S* to, Index n) {
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

template <Output Out, class Body, int... P>
NORMKIT_INLINE void next_packs(Index i, Index width, Body& body, std::integer_sequence<int, P...>) {
  (body.template step<true, Out>(i + P * width, width), ...);
}

/// The same for bodies that write a run of S and sum nothing: body.step<whole, output>(i, n). Where it is not `Cached`, whole
/// cache lines are streamed if `streams`, and no others: a line that is partly written past the caches and partly into them
/// costs more than either. Lines of 16 bits are unrolled, 1.1 to 1.3 times as fast; those of float were slower so.
template <bool Cached, class S, class Body>
NORMKIT_INLINE void each_pack_into(const S* out, [[maybe_unused]] bool streams, Index length, Body& body) {
  constexpr int width = Pack<Arithmetic<S>>::width, line = 64 / static_cast<int>(sizeof(S));
  constexpr Output into_caches = Cached ? Output::cached : Output::prefetched;
  Index i = 0;
  if constexpr (!Cached)
    if (streams) {
      constexpr int at_once = Scalar<S> ? 1 : line / width;
      const Index past = static_cast<Index>(std::bit_cast<std::uintptr_t>(out) / sizeof(S) % line);
      const Index begin = past == 0 ? 0 : least(line - past, length);
      for (; i + width <= begin; i += width) body.template step<true, into_caches>(i, width);
      if (i < begin) body.template step<false, into_caches>(i, begin - i);
      for (i = begin; i + line <= length; i += line)
        for (Index at = i; at < i + line; at += at_once * width)
          next_packs<Output::streamed>(at, width, body, std::make_integer_sequence<int, at_once>{});
    }
#pragma GCC unroll 4
  for (; i + width <= length; i += width) body.template step<true, into_caches>(i, width);
  if (i < length) body.template step<false, into_caches>(i, length - i);
}

/// Registers of neighbouring columns that are summed together. One register alone waits for its own sums: LayerNorm
/// 128x512, backward, double, took 1.5 times as long.
inline constexpr int column_packs = 4;

/// Walks `columns` neighbouring columns, column_packs registers of them at a time where there are so many, then two and one:
/// body.step<whole>(c, n, registers).
template <class T, class Body>
NORMKIT_INLINE void each_column(Index columns, Body& body) {
  constexpr int width = Pack<T>::width;
  Index c = 0;
  for (; c + column_packs * width <= columns; c += column_packs * width)
    body.template step<true>(c, width, std::make_integer_sequence<int, column_packs>{});
  for (; c + 2 * width <= columns; c += 2 * width)
    body.template step<true>(c, width, std::integer_sequence<int, 0, 1>{});
  for (; c + width <= columns; c += width) body.template step<true>(c, width, std::integer_sequence<int, 0>{});
  if (c < columns) body.template step<false>(c, columns - c, std::integer_sequence<int, 0>{});
}

/// Whether register `at` of neighbouring ones in memory is the first of a cache line.
template <class S>
inline constexpr bool begins_line(int at) {
  return at * Pack<Arithmetic<S>>::width * static_cast<int>(sizeof(S)) % 64 == 0;
}

/// The lower (First 0) or upper (First Half) half of each span of 2 * Half lanes of two registers.
template <int Half, int First, class T, int... Lane>
NORMKIT_INLINE Pack<T> halves(Pack<T> a, Pack<T> b, std::integer_sequence<int, Lane...>) {
  return shuffled(a, b, std::integer_sequence<int, (Lane / Half * 2 * Half + Lane % Half + First)...>{});
}

/// The sum of the lanes of each of 2 * Half registers, by a fixed tree: upper half onto lower half, until one is left. Two
/// registers share each addition.
template <int Half, class T>
NORMKIT_INLINE Pack<T> fold_each(const Pack<T>* lanes) {
  NORMKIT_EXACT
  constexpr int width = Pack<T>::width;
  if constexpr (Half == width) {
    return *lanes;
  } else {
    constexpr auto all = std::make_integer_sequence<int, width>{};
    const Pack<T> a = fold_each<2 * Half>(lanes), b = fold_each<2 * Half>(lanes + width / (2 * Half));
    return halves<Half, 0>(a, b, all) + halves<Half, Half>(a, b, all);
  }
}

/// The same of one register.
template <int Half, class T>
NORMKIT_INLINE T fold(Pack<T> p) {
  NORMKIT_EXACT
  if constexpr (Half == 0)
    return p.raw[0];
  else
    return fold<Half / 2>(p + halves<Half, Half>(p, p, std::make_integer_sequence<int, Pack<T>::width>{}));
}

/// The virtual lanes added up in one register, by the first steps of the same tree.
template <class T>
NORMKIT_INLINE Pack<T> folded(const Pack<T> (&lanes)[lane_packs]) {
  NORMKIT_EXACT
  Pack<T> sum[lane_packs];
#pragma GCC unroll 8
  for (int i = 0; i < lane_packs; ++i) sum[i] = lanes[i];
#pragma GCC unroll 4
  for (int half = lane_packs / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) sum[i] = sum[i] + sum[i + half];
  }
  return sum[0];
}

/// Rounds that a chain of additions may have.
inline constexpr Index chain_rounds = 8;

/// Sums in the virtual lanes over no more rounds than that.
template <class T, int Sums>
struct ShortSums {
  Pack<T> first[Sums][lane_packs];

  template <int Sum>
  NORMKIT_INLINE Pack<T> total() {
    return folded(first[Sum]);
  }
};

/// Sums in the virtual lanes, all over the same rounds. Equal terms round the same way again and again, in every lane: one
/// chain of 128 of them may be 32 u off. So what a lane has added up is carried to a second level after every 8 rounds, and
/// from there to a third after every 4 times 8, which leaves chains of 8, 4, and 4 (8 of double).
template <class T, int Sums>
struct LaneSums {
  Pack<T> first[Sums][lane_packs], second[Sums][lane_packs], third[Sums][lane_packs];
  Index rounds;

  NORMKIT_INLINE void end_round() {
    if (++rounds % chain_rounds != 0) return;
#pragma GCC unroll 2
    for (int sum = 0; sum < Sums; ++sum) {
      carry(first[sum], second[sum]);
      if (rounds % (4 * chain_rounds) == 0) carry(second[sum], third[sum]);
    }
  }

  template <int Sum>  // a constant, so that sums stay in registers
  NORMKIT_INLINE Pack<T> total() {
    if (rounds >= chain_rounds) carry(second[Sum], first[Sum]);
    if (rounds >= 4 * chain_rounds) carry(third[Sum], first[Sum]);
    return folded(first[Sum]);
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

/// The sums of neighbouring groups: work.sum(g, lanes, at) leaves those of a group in lanes[sum][at], one register each.
/// As many groups as a register has lanes are folded together: alone, each would wait for its own tree of additions, which
/// takes longer than a short row has work for.
template <class T, int Sums, class Work>
NORMKIT_INLINE void sum_groups(Index groups, const Work& work, T* const (&totals)[Sums]) {
  constexpr int width = Pack<T>::width;
  for (Index g = 0; g < groups; g += width) {
    Pack<T> lanes[Sums][width];
    const int some = static_cast<int>(least(width, groups - g));
    for (int i = 0; i < some; ++i) work.sum(g + i, lanes, i);
    for (int s = 0; s < Sums; ++s) {
      if (some == width)
        fold_each<1>(lanes[s]).store(totals[s] + g);
      else
        for (int i = 0; i < some; ++i) totals[s][g + i] = fold<width / 2>(lanes[s][i]);
    }
  }
}

/// Whether the groups of a block are one run each, of no more rounds than a chain of additions may have.
template <class T>
NORMKIT_INLINE bool is_short(const Block& block) {
  return block.planes == 1 && block.length <= chain_rounds * lane_packs * Pack<T>::width;
}
