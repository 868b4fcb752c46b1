#pragma once

#include <normkit/detail/plan/run.hpp>

namespace normkit::detail {

/// x without its mean from y, for parameters by element.
template <Stored S>
struct CentreFromOutput {
  using T = Arithmetic<S>;
  struct Coefficients {};

  Affine<T> affine;
  const double* rstd;
  const S* y;
  S* out;
  static constexpr Output output = Output::cached;

  void coefficients(const Tile&, Coefficients&) const noexcept {}
  void map(const Tile& tile, const TileBlock& at, const Coefficients&, Index) const noexcept {
    const Index offset = tile.offset + at.offset;
    scalar::centre_from_output(at.block, y + offset, rstd + tile.first, affine.weight_at(at.element),
                               affine.bias_at(at.element), affine.zero_centred, out + offset);
  }
};

template <Stored S>
void centre_from_output(const Executor& execute, const StatView& view, const CentreFromOutput<S>& op) noexcept {
  map_only(Pieces(view, execute.threads()), op, execute);
}

}  // namespace normkit::detail
