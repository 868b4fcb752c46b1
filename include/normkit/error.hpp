#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

/// The ways in which a call can be refused. Whatever throws one of them has written nothing: outputs, parameters, running
/// statistics and counters are as they were before the call. Where there are no exceptions (-fno-exceptions), `on_error` is called.
namespace normkit {

/// A tensor's rank or extents do not fit the layer or the other tensors of the call.
struct shape_error : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A value is out of its range: an option, a running variance, buffers that overlap in part.
struct argument_error : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// The call does not fit what happened before it: a backward with no forward, `op()` in training.
struct state_error : std::logic_error {
  using std::logic_error::logic_error;
};

/// Another rank of a communicator has refused its part of the call, and so this one is refused on all of them. The message has
/// its reason, as far as there is room.
struct rank_error : std::runtime_error {
  rank_error(const std::string& message, int refusing) : std::runtime_error(message), rank(refusing) {}  // of a rank
  int rank;  // that has refused
};

/// What an error is handed to where it cannot be thrown: in a program that is compiled without exceptions, which then ends by
/// std::terminate. Null, the default, is nothing; with exceptions it is never called. To be set before other threads use normkit.
/// All files of a program are compiled with exceptions, or all without: of an inline function the linker keeps one copy.
inline void (*on_error)(const std::exception& error) = nullptr;

namespace detail {

/// What a message begins with. Not inlined: where g++ 12 knows its length, it warns of what is added to it (bug 105329).
[[gnu::cold, gnu::noinline]] inline std::string words(std::string_view text) { return std::string(text); }

/// The one place that throws.
template <class Error>
[[noreturn, gnu::cold, gnu::noinline]] void raise(const Error& error) {
#if defined(__cpp_exceptions)
  throw error;
#else
  if (on_error) on_error(error);
  std::terminate();
#endif
}

/// The one place that catches: what `action` throws as an Error goes to refused(reason), and all else as well where Error is
/// std::exception. Without exceptions nothing comes back to be caught.
template <class Error, class Action, class Refused>
void attempt(const Action& action, [[maybe_unused]] const Refused& refused) {
#if defined(__cpp_exceptions)
  try {
    action();
  } catch (const Error& error) {
    refused(error.what());
  } catch (...) {
    if constexpr (std::is_same_v<Error, std::exception>)
      refused("");
    else
      throw;
  }
#else
  action();
#endif
}

}  // namespace detail
}  // namespace normkit
