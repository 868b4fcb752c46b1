#pragma once

#include <stdexcept>
#include <string>

/// The ways in which a call can be refused. Whatever throws one of them has written nothing: outputs, parameters, running
/// statistics and counters are as they were before the call.
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

}  // namespace normkit
