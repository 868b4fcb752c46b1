// Counts what a test allocates on the heap, in every thread, and what of it is not freed, and lets one of these allocations fail. To be
// included in one translation unit of a program.
//
// With glibc the program's own malloc stands before the library's and counts; Eigen does not use operator new, so that
// counting operator new would see nothing. A sanitizer's malloc is left in its place, and reports through its hook.
// Where there is neither, the count stays at zero and the test of the counter itself fails. So it does under the memory sanitizer: a
// hook that it has instrumented leaves its shadow of arguments behind, and the argument of a new thread then passes for uninitialized.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NORMKIT_TESTS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NORMKIT_TESTS_SANITIZED 1
#elif __has_feature(memory_sanitizer)
#define NORMKIT_TESTS_SANITIZED 2  // without a hook
#endif
#endif

namespace support {

inline std::atomic<long> allocation_count{0};

/// Bytes that are allocated and not freed; always 0 with a sanitizer, which looks for leaks itself.
inline std::atomic<long> live_bytes{0};

/// How many allocations from now on there is memory for; below 0, for all.
inline std::atomic<long> allocations_left{-1};

/// Counts one. Whether there is memory for it: a lack of it lasts for one allocation.
inline bool allocation_succeeds() {
  allocation_count.fetch_add(1, std::memory_order_relaxed);
  return allocations_left.load(std::memory_order_relaxed) < 0 || allocations_left.fetch_sub(1) != 0;
}

/// How often `action` allocated.
template <class Action>
long allocations_of(Action&& action) {
  const long before = allocation_count.load();
  action();
  return allocation_count.load() - before;
}

}  // namespace support

#if NORMKIT_TESTS_SANITIZED == 1

extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, std::size_t),
                                                         void (*on_free)(const volatile void*));
namespace support {
inline const int allocation_hook = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { allocation_count.fetch_add(1, std::memory_order_relaxed); },
    [](const volatile void*) {});
}  // namespace support

#elif !defined(NORMKIT_TESTS_SANITIZED) && defined(__GLIBC__)
#include <malloc.h>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
}

namespace support {

inline void* live(void* memory) {
  live_bytes.fetch_add(static_cast<long>(malloc_usable_size(memory)), std::memory_order_relaxed);
  return memory;
}
inline void dead(void* memory) {
  live_bytes.fetch_sub(static_cast<long>(malloc_usable_size(memory)), std::memory_order_relaxed);
}

}  // namespace support

extern "C" {
void* malloc(std::size_t bytes) {
  return support::allocation_succeeds() ? support::live(__libc_malloc(bytes)) : nullptr;
}
void* calloc(std::size_t count, std::size_t bytes) {
  return support::allocation_succeeds() ? support::live(__libc_calloc(count, bytes)) : nullptr;
}
void* realloc(void* old, std::size_t bytes) {
  if (!support::allocation_succeeds()) return nullptr;
  support::dead(old);
  void* const memory = __libc_realloc(old, bytes);
  support::live(memory || bytes == 0 ? memory : old);
  return memory;
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  return support::allocation_succeeds() ? support::live(__libc_memalign(alignment, bytes)) : nullptr;
}
void free(void* memory) {
  support::dead(memory);
  __libc_free(memory);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** result, std::size_t alignment, std::size_t bytes) {
  void* const memory = memalign(alignment, bytes);
  if (memory == nullptr) return ENOMEM;
  *result = memory;
  return 0;
}
}

#endif
