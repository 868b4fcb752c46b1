// What formulas are made of along a walk: terms, what a run reads, and where it writes.

/// One term of the formula for a whole run: one value for all of it, or one for each element.
template <class T>
struct Uniform {
  using Number = T;
  Pack<T> value;

  template <bool Whole>
  NORMKIT_INLINE Pack<T> at(Index, Index) const {
    return value;
  }
};
/// Terms of neighbouring groups, for a walk down their columns.
template <bool Whole, class T>
NORMKIT_INLINE Uniform<T> uniform_down(const T* values, Index n) {
  return {load<Whole>(values, n, Pack<T>::zero())};
}
template <class S>
struct Elements {
  using Number = Arithmetic<S>;
  const S* values;

  template <bool Whole>
  NORMKIT_INLINE Pack<Number> at(Index i, Index n) const {
    return load<Whole>(values + i, n, Pack<Number>::zero());
  }
  template <bool Whole, Output Out>
  NORMKIT_INLINE void pass(Pack<Number>, Index, Index) const {}
};

/// dy where a mask has a bit.
template <class S>
struct MaskedElements {
  using Number = Arithmetic<S>;
  const S* values;
  S* passed;
  const std::uint8_t* bytes;
  Index first;  // bit of bytes[0]

  template <bool Whole>
  NORMKIT_INLINE Pack<Number> at(Index i, Index n) const {
    return where(bits_from(bytes, first + i), load<Whole>(values + i, n, Pack<Number>::zero()));
  }
  /// Writes what `at` gave to where it is to go too.
  template <bool Whole, Output Out>
  NORMKIT_INLINE void pass(Pack<Number> v, Index i, Index n) const {
    if (passed) put<Whole, Out>(v, passed + i, n);
  }
};

template <class S>
struct Written {
  S* values;

  template <bool Whole, Output Out, class T>
  NORMKIT_INLINE void write(Pack<T> v, Index i, Index n, Index) {
    put<Whole, Out>(v, values + i, n);
  }
  NORMKIT_INLINE void end(Index) {}
};

/// relu(v + added), and where it passes.
template <class S>
struct RectifiedElements {
  S* values;
  const S* added;
  BitWriter bits;

  template <bool Whole, Output Out, class T>
  NORMKIT_INLINE void write(Pack<T> v, Index i, Index n, Index ahead) {
    NORMKIT_EXACT
    if (added) {
      v = v + load<Whole>(added + i, n, Pack<T>::zero());
      if constexpr (Out != Output::cached) prefetch(added + i + ahead);
    }
    unsigned passed;
    v = relu(v, passed);
    if (bits.bytes) bits.put(i, Whole ? Pack<T>::width : n, Whole ? passed : passed & ((1u << n) - 1u));
    put<Whole, Out>(v, values + i, n);
  }
  NORMKIT_INLINE void end(Index length) {
    if (bits.bytes) bits.end(length);
  }
};

/// What a kernel reads from there on, along a run, and what it writes.
template <class S>
NORMKIT_INLINE Elements<S> read_run(const S* values) {
  return {values};
}
template <class S>
NORMKIT_INLINE MaskedElements<S> read_run(const Masked<S>& from) {
  const auto place = from.mask.at(from.offset);
  return {from.values, from.passed, place.byte, place.bit};
}
template <class S>
NORMKIT_INLINE Written<S> write_run(S* values) {
  return {values};
}
template <class S>
NORMKIT_INLINE RectifiedElements<S> write_run(const Rectified<S>& to) {
  if (!to.mask.bytes) return {to.values, to.added, {nullptr, 0, 0}};
  const auto place = to.mask.at(to.offset);
  return {to.values, to.added, BitWriter::at(place.byte, place.bit)};
}
