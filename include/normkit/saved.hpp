#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <normkit/detail/plan/run.hpp>
#include <normkit/error.hpp>

namespace normkit {

/// Numbers in a row that keep their room: going back to a size seen before does not allocate.
template <class T>
class Numbers {
 public:
  using Scalar = T;  // of a number

  Index size() const noexcept { return static_cast<Index>(values_.size()); }  // how many
  T* data() noexcept { return values_.data(); }                               // in a row
  const T* data() const noexcept { return values_.data(); }
  /// One of them, `i` below size().
  T operator()(Index i) const noexcept { return values_[static_cast<std::size_t>(i)]; }
  void resize(Index size) { values_.resize(static_cast<std::size_t>(size)); }    // new ones are 0
  void reserve(Index size) { values_.reserve(static_cast<std::size_t>(size)); }  // makes room, and nothing else

 private:
  std::vector<T> values_;
};

/// What a forward keeps for its backward, beside x: one of each for each statistic, in the order of memory.
///   xhat = ((x - mean) / 2^exponent - mean_lo) * rstd
/// mean is the nearest T, mean_lo the rest of it, rstd = 1 / sqrt(var + eps), not rounded to T. The exponent is 0 but where
/// the data is at an end of the range (float: var + eps outside of 2^-100 to 2^100, or var below 2^-200); mean_lo is then smaller, and rstd
/// greater, by 2^exponent than by their names.
/// Units    mean [x], rstd 1/[x]
/// Memory   four numbers for each statistic, allocated by the first forward of that size
template <detail::Scalar T>
struct Saved {
  Numbers<T> mean, mean_lo;  // nearest T, and its rest
  Numbers<double> rstd;      // 1 / sqrt(var + eps)
  Numbers<int> exponent;     // 0 but at an end of the range

  /// Where the statistics came from, so that backward differentiates what forward did, whatever the mode is by then: the batch,
  /// those of all ranks of a communicator, or the running ones.
  enum class Source { none, batch, ranks, running };
  Source source = Source::none;               // none: no forward has filled it
  Index rank_count = 0;                       // of `ranks`: values of each statistic on all of them
  bool in_place = false;                      // the input is gone
  bool rectified = false;                     // the output is not the norm's own
  detail::About about = detail::About::mean;  // what squares were taken about
  detail::Shape shape;                        // of x
  detail::StatView view;                      // what the statistics are of: another layer's are refused
  double greatest = 0, least = 0;             // number of the tensors' own type, the least being normal

  /// All that can fail in keeping statistics; nothing changes.
  void reserve(Index statistics) {
    mean.reserve(statistics);
    mean_lo.reserve(statistics);
    rstd.reserve(statistics);
    exponent.reserve(statistics);
  }
  /// Makes room.
  detail::Statistics<T> resize(Index statistics) {
    reserve(statistics);
    mean.resize(statistics);
    mean_lo.resize(statistics);
    rstd.resize(statistics);
    exponent.resize(statistics);
    return {mean.data(), mean_lo.data(), rstd.data(), exponent.data()};
  }
  /// What a forward was of, whose tensors hold numbers of the type S.
  template <class S>
  void describe(const detail::Shape& of, const detail::StatView& of_view, detail::About of_about, bool was_in_place) {
    shape = of;
    view = of_view;
    about = of_about;
    in_place = was_in_place;
    rectified = false;
    greatest = static_cast<double>(std::numeric_limits<S>::max());
    least = static_cast<double>(std::numeric_limits<S>::min());
  }
  /// The library's own view of them.
  detail::SavedStatistics<T> statistics() const noexcept {
    return {mean.data(), mean_lo.data(), rstd.data(), exponent.data()};
  }
  /// Whether there are so many.
  bool holds(Index statistics) const noexcept {
    return mean.size() == statistics && mean_lo.size() == statistics && rstd.size() == statistics &&
           exponent.size() == statistics;
  }

  /// That a forward of such a layer has filled this, with an x of such a shape, and with a communicator if `of_ranks`.
  /// Throws   state_error
  void require(std::string_view layer, const detail::Shape& x, const detail::StatView& expected,
               detail::About expected_about, bool has_running, bool of_ranks = false) const {
    const std::string name(layer);
    if (source == Source::none)
      detail::raise(state_error(name + ": backward needs what a forward has saved, got a Saved that none has filled"));
    if (source != Source::running && (source == Source::ranks) != of_ranks)
      detail::raise(state_error(name + ": expected what a forward " + (of_ranks ? "with" : "without") +
                                " a communicator saved, got that of one " + (of_ranks ? "without" : "with")));
    if (!(shape == x))
      detail::raise(state_error(name + ": expected x of shape " + shape.text() + shape.order() +
                                " as in the forward that was saved, got " + x.text() + x.order()));
    const bool is_running = source == Source::running;
    const Index stats = is_running && view.channels.count ? view.channels.count : view.stats();
    if (!(view == expected) || about != expected_about || !holds(stats) || (is_running && !has_running))
      detail::raise(state_error(
          name +
          ": expected what a forward of this layer saved, got that of another layer or of other valid positions"));
  }
};

/// Which gradients a backward computes. What is not asked for is neither written nor read.
struct Gradients {
  bool input = true;   // dx
  bool weight = true;  // that of weight, which is added to
  bool bias = true;    // that of bias, which is added to
  /// With a communicator: of weight and bias this rank's part alone, for a trainer that adds up all gradients of all ranks itself.
  bool own_part = false;
};

}  // namespace normkit
