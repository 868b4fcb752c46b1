#pragma once

#include <normkit/detail/plan/run.hpp>

namespace normkit::detail {

/// Rows of different lengths, each normalized over its own: `body` of the view of each that is not empty, the number of the row
/// and where it begins. Rows are shared among threads, so that a row has one.
template <class Offset, class Body>
void each_row(const Executor& execute, const scalar::Rows<Offset>& rows, const Body& body) noexcept {
  const Index tasks = std::min<Index>(rows.count, 8 * execute.threads());
  execute(tasks, [&](Index task) noexcept {
    const Index end = rows.count * (task + 1) / tasks;
    for (Index r = rows.count * task / tasks; r < end; ++r)
      if (rows.length(r) > 0) body(StatView{1, 1, 1, rows.length(r)}, r, rows.begin(r));
  });
}

/// `call` is of all rows: its view is not used. Null statistics are not kept.
template <Stored S, class Offset>
void forward_ragged(const Executor& execute, const scalar::Rows<Offset>& rows, const ForwardCall<S>& call) noexcept {
  each_row(execute, rows, [&](const StatView& view, Index row, Index begin) noexcept {
    ForwardCall<S> one = call;
    one.view = view;
    one.x += begin;
    one.y += begin;
    if (call.saved.mean) one.saved = call.saved.from(row);
    forward_by_batch<S>(Executor(), one, nullptr);
  });
}

/// Gradients of parameters come first: dx may overwrite x or dy.
template <Stored S, class Offset>
void backward_ragged(const Executor& execute, const scalar::Rows<Offset>& rows, const BackwardCall<S>& call) noexcept {
  constexpr Index part = 64;
  Index longest = 0;
  for (Index r = 0; r < rows.count; ++r) longest = std::max(longest, rows.length(r));
  if (call.gradient)
    execute(ceil_div(longest, part), [&](Index task) noexcept {
      scalar::add_ragged_gradients(rows, task * part, std::min(part, longest - task * part), call.saved, call.x,
                                   call.dy, call.gradient.weight, call.gradient.bias);
    });
  if (call.dx)
    each_row(execute, rows, [&](const StatView& view, Index row, Index begin) noexcept {
      BackwardCall<S> one = call;
      one.view = view;
      one.saved = call.saved.from(row);
      one.x += begin;
      one.dy += begin;
      one.dx += begin;
      one.gradient = {};
      backward_by_batch<S>(Executor(), one, nullptr);
    });
}

}  // namespace normkit::detail
