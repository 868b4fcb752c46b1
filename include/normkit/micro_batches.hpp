#pragma once

#include <normkit/layer.hpp>

namespace normkit::detail {

/// Running statistics that move once for several forwards. For `Base` whose statistics go by channel, over all samples.
template <class Base>
class MicroBatches : public Base {
 public:
  /// While on, a forward in training does not move the running statistics: the moments of its batch are merged with those of the
  /// ones before. Turned on (again), off, or with the running statistics reset, what was gathered is forgotten. Batches that are held or
  /// rejected are not among them.
  /// Throws   state_error without track_running_stats
  void gather_running_stats(bool on = true) { Base::gather(on); }
  bool gathers_running_stats() const noexcept { return Base::gathers(); }  // as gather_running_stats has said

  /// Moves the running statistics by all that has been gathered, as one forward of the whole batch would, and counts one batch.
  /// What comes next is gathered anew, until `gather_running_stats(false)`.
  /// Throws   state_error where there is nothing
  void move_running_stats() { Base::move_by_gathered(); }

 protected:
  using Base::Base;
};

}  // namespace normkit::detail
