// What is asked of each library. No header of one is seen by another, or by the judge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reference/grouping.hpp"

namespace peers {

using Floats = std::vector<float>;

/// A case of tests/accuracy in one parameterization. Tensors are in row-major order, whatever `column_major` says.
struct Problem {
  bool is_batch_norm, column_major;
  reference::Extents extents;
  std::size_t axis, axes;  // BatchNorm: the channels; LayerNorm: so many axes from this one on
  reference::Grouping g;
  double eps;
  Floats x, dy, weight, bias, running_mean, running_var;
};

struct Moments {
  Floats mean, var;
};

struct Outputs {
  Floats y, dx, dweight, dbias;
};

class Peer {
 public:
  virtual ~Peer() = default;
  virtual std::string name() const = 0;
  virtual std::string version() const = 0;
  /// The mean and the biased variance of each group.
  virtual Moments moments(const Problem& problem) = 0;
  /// The running statistics, from 0 and 1 on, after each of so many batches of the same x. Empty where the library
  /// leaves them to its caller. Without a momentum they are averages over all batches.
  virtual std::vector<Moments> running(const Problem& problem, std::optional<double> momentum, int batches) = 0;
  /// Forward and backward, in training or with the given running statistics.
  virtual Outputs run(const Problem& problem, bool evaluates) = 0;
};

std::unique_ptr<Peer> normkit_peer();
std::unique_ptr<Peer> torch_peer();
std::unique_ptr<Peer> onednn_peer();

/// Where an element of a LayerNorm is when each group is a row: what libraries take that normalize trailing axes only.
inline std::size_t place_in_rows(const reference::Grouping& g, std::size_t i) {
  return g.group[i] * g.params + g.param[i];
}

inline Floats to_rows(const Floats& values, const reference::Grouping& g) {
  Floats rows(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) rows[place_in_rows(g, i)] = values[i];
  return rows;
}

inline Floats from_rows(const Floats& rows, const reference::Grouping& g) {
  Floats values(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) values[i] = rows[place_in_rows(g, i)];
  return values;
}

}  // namespace peers
