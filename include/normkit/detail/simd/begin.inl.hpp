// What the texts that are compiled once for each instruction set are written with; end.inl.hpp takes it back.

// Not optimized, inlining all makes a build no faster to run and several times as long to compile: clang 14 takes 9 s
// for instances.hpp at -O0, not 50. g++ 12 fails inside itself where it calls such a function in a region of another
// target; where there is none, the tests ask for calls by NORMKIT_PLAIN_CALLS.
#if !defined(__GNUC__) || defined(NORMKIT_PLAIN_CALLS) || (defined(__clang__) && !defined(__OPTIMIZE__))
#define NORMKIT_INLINE inline
#else
#define NORMKIT_INLINE inline __attribute__((always_inline))
#endif

// What ordinary data never calls stays out of the way of what it does: inlined, it takes registers from the loops.
#if defined(__GNUC__)
#define NORMKIT_RARE __attribute__((noinline, cold))
#else
#define NORMKIT_RARE
#endif

// Contraction of a * b + c into one rounding would give other bits where the CPU has FMA. g++ is told by the region's
// pragma; clang's pragma holds only for the function it stands in, so every function with arithmetic begins with this.
#if defined(__clang__)
#define NORMKIT_EXACT _Pragma("clang fp contract(off)")
#else
#define NORMKIT_EXACT
#endif

// Vector extensions of g++ and clang; plain arrays elsewhere, and in the tests that ask for them by
// NORMKIT_PLAIN_ARRAYS.
#if defined(__GNUC__) && !defined(NORMKIT_PLAIN_ARRAYS)
#define NORMKIT_VECTOR_EXTENSIONS 1
#endif
