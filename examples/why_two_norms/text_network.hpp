// A causal model of characters: gated recurrences between residual connections, with a norm before each.
#pragma once

#include <cmath>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "../digits/layers.hpp"
#include "verses.hpp"

namespace why {

/// A row for each place of a batch, (verses * length, features).
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Parameters = std::vector<normkit::Parameter<float>>;

class TextLayer {
 public:
  virtual ~TextLayer() = default;
  virtual Matrix forward(const Batch& batch, Matrix x) = 0;
  virtual Matrix backward(const Batch& batch, const Matrix& dy) = 0;
  virtual void train() {}
  virtual void eval() {}
  virtual void append_parameters(Parameters&) {}
};

/// A norm over rows. With `only_text` the padding has no part in it, which is given by the lengths of the verses.
template <class Norm, bool only_text = false>
class NormalizeRows final : public TextLayer {
 public:
  explicit NormalizeRows(Norm norm) : norm_(std::move(norm)) {}

  Matrix forward(const Batch& batch, Matrix x) override {
    x_ = std::move(x);
    Matrix y(x_.rows(), x_.cols());
    if constexpr (only_text)
      norm_.forward(in_verses(batch, x_), batch.lengths, in_verses(batch, y));
    else
      norm_.forward(x_, y);
    return y;
  }
  Matrix backward(const Batch& batch, const Matrix& dy) override {
    Matrix dx(x_.rows(), x_.cols());
    if constexpr (only_text)
      norm_.backward(in_verses(batch, x_), batch.lengths, in_verses(batch, dy), in_verses(batch, dx));
    else
      norm_.backward(x_, dy, dx);
    return dx;
  }
  void train() override { norm_.train(); }
  void eval() override { norm_.eval(); }
  void append_parameters(Parameters& all) override {
    for (const auto& parameter : norm_.parameters()) all.push_back(parameter);
  }

 private:
  template <class M>
  static auto in_verses(const Batch& batch, M& x) {
    using Tensor = std::conditional_t<std::is_const_v<M>, const digits::Tensor<3>, digits::Tensor<3>>;
    return Eigen::TensorMap<Tensor>(x.data(), batch.verses, batch.length, x.cols());
  }

  Norm norm_;
  Matrix x_;
};

inline std::unique_ptr<TextLayer> make_norm(Norm norm, Index features) {
  using BatchNorm = normkit::BatchNorm1d<float>;
  using LayerNorm = normkit::LayerNorm<float>;
  const normkit::BatchNormOptions channels_last{.channel_axis = -1};
  switch (norm) {
    case Norm::none:
      break;
    case Norm::batch:  // each feature over the text of the batch
      return std::make_unique<NormalizeRows<BatchNorm, true>>(BatchNorm(features, channels_last));
    case Norm::batch_padded:  // each feature over all places
      return std::make_unique<NormalizeRows<BatchNorm>>(BatchNorm(features, channels_last));
    case Norm::layer:  // each place over its features
      return std::make_unique<NormalizeRows<LayerNorm>>(LayerNorm(features));
  }
  return nullptr;
}

/// y = x weight^T + bias
class Linear final : public TextLayer {
 public:
  Linear(Index in, Index out, digits::Random& random) : affine_(out, in, random) {}

  Matrix forward(const Batch&, Matrix x) override {
    x_ = std::move(x);
    return (x_ * matrix(affine_.weight).transpose()).rowwise() + vector(affine_.bias);
  }
  Matrix backward(const Batch&, const Matrix& dy) override {
    matrix(affine_.weight_grad).noalias() += dy.transpose() * x_;
    vector(affine_.bias_grad) += dy.colwise().sum();
    return dy * matrix(affine_.weight);
  }
  void append_parameters(Parameters& all) override { affine_.append_parameters(all); }

 private:
  static Eigen::Map<Matrix> matrix(digits::Tensor<2>& t) { return {t.data(), t.dimension(0), t.dimension(1)}; }
  static Eigen::Map<Eigen::RowVectorXf> vector(digits::Tensor<1>& t) { return {t.data(), t.size()}; }

  digits::Affine affine_;
  Matrix x_;
};

/// A gated recurrence over the places l of a verse, where a gate z and a candidate c are linear in a place and the one before it:
///   h_l = (1 - z_l) h_(l-1) + z_l c_l,   z = sigmoid(a),  c = tanh(b),   (a, b) = W (x_l, x_(l-1)),  h_(-1) = x_(-1) = 0
class GatedRecurrence final : public TextLayer {
 public:
  GatedRecurrence(Index features, digits::Random& random)
      : features_(features), gates_(2 * features, 2 * features, random), out_(features, features, random) {}

  Matrix forward(const Batch& batch, Matrix x) override {
    Matrix both = Matrix::Zero(x.rows(), 2 * features_);
    both.leftCols(features_) = x;
    each_step(batch, [&](Index now, Index before) { both.row(now).tail(features_) = x.row(before); });
    const Matrix gates = gates_.forward(batch, std::move(both));
    z_ = (1 + (-gates.leftCols(features_).array()).exp()).inverse();
    c_ = gates.rightCols(features_).array().tanh();
    h_ = z_.cwiseProduct(c_);
    each_step(batch, [&](Index now, Index before) {
      h_.row(now) += h_.row(before) - h_.row(before).cwiseProduct(z_.row(now));
    });
    return out_.forward(batch, h_);
  }
  Matrix backward(const Batch& batch, const Matrix& dy) override {
    Matrix dh = out_.backward(batch, dy);
    each_step_back(
        batch, [&](Index now, Index before) { dh.row(before) += dh.row(now) - dh.row(now).cwiseProduct(z_.row(now)); });
    Matrix da = dh.cwiseProduct(c_);  // of z: dh (c - h before)
    each_step(batch, [&](Index now, Index before) { da.row(now) -= dh.row(now).cwiseProduct(h_.row(before)); });
    Matrix d(dh.rows(), 2 * features_);
    d.leftCols(features_) = da.array() * z_.array() * (1 - z_.array());
    d.rightCols(features_) = dh.array() * z_.array() * (1 - c_.array().square());
    const Matrix dboth = gates_.backward(batch, d);
    Matrix dx = dboth.leftCols(features_);
    each_step(batch, [&](Index now, Index before) { dx.row(before) += dboth.row(now).tail(features_); });
    return dx;
  }
  void append_parameters(Parameters& all) override {
    gates_.append_parameters(all);
    out_.append_parameters(all);
  }

 private:
  /// Calls f(row, row before it in the same verse), from the first place to the last.
  template <class F>
  static void each_step(const Batch& batch, const F& f) {
    for (Index row = 1; row < batch.places(); ++row)
      if (row % batch.length != 0) f(row, row - 1);
  }
  template <class F>
  static void each_step_back(const Batch& batch, const F& f) {
    for (Index row = batch.places() - 1; row > 0; --row)
      if (row % batch.length != 0) f(row, row - 1);
  }

  Index features_;
  Linear gates_, out_;
  Matrix z_, c_, h_;
};

/// symbol -> features; norm, gated recurrence, added to what went in, twice; norm; a score for each symbol that can come next.
class TextNetwork {
 public:
  TextNetwork(Norm norm, Index features, digits::Random& random)
      : embedding_(symbol_count + 1, features, random), scores_(features, symbol_count, random) {
    for (int block = 0; block < 2; ++block)
      blocks_.push_back({make_norm(norm, features), std::make_unique<GatedRecurrence>(features, random)});
    last_norm_ = make_norm(norm, features);
    embedding_.weight = embedding_.weight * std::sqrt(static_cast<float>(features) / 2);  // of variance 1
  }

  /// A row of scores for each place.
  Matrix forward(const Batch& batch) {
    Matrix x(batch.places(), embedding_.weight.dimension(1));
    for (Index row = 0; row < x.rows(); ++row) x.row(row) = row_of(embedding_.weight, symbol(batch, row));
    for (Block& block : blocks_) {
      const Matrix into = block.norm ? block.norm->forward(batch, x) : x;
      x += block.recurrence->forward(batch, into);
    }
    if (last_norm_) x = last_norm_->forward(batch, std::move(x));
    return scores_.forward(batch, std::move(x));
  }
  void backward(const Batch& batch, const Matrix& dscores) {
    Matrix dx = scores_.backward(batch, dscores);
    if (last_norm_) dx = last_norm_->backward(batch, dx);
    for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
      const Matrix back = block->recurrence->backward(batch, dx);
      dx += block->norm ? block->norm->backward(batch, back) : back;
    }
    for (Index row = 0; row < dx.rows(); ++row) row_of(embedding_.weight_grad, symbol(batch, row)) += dx.row(row);
  }

  void train() {
    each_norm([](TextLayer& norm) { norm.train(); });
  }
  void eval() {
    each_norm([](TextLayer& norm) { norm.eval(); });
  }
  Parameters parameters() {
    Parameters all;
    const Index size = embedding_.weight.size();
    all.push_back({"weight", {embedding_.weight.data(), size}, {embedding_.weight_grad.data(), size}});
    for (Block& block : blocks_) block.recurrence->append_parameters(all);
    scores_.append_parameters(all);
    each_norm([&](TextLayer& norm) { norm.append_parameters(all); });
    return all;
  }

 private:
  struct Block {
    std::unique_ptr<TextLayer> norm, recurrence;
  };
  template <class F>
  void each_norm(const F& f) {
    for (Block& block : blocks_)
      if (block.norm) f(*block.norm);
    if (last_norm_) f(*last_norm_);
  }
  static int symbol(const Batch& batch, Index row) { return batch.input[static_cast<std::size_t>(row)]; }
  static Eigen::Map<Eigen::RowVectorXf> row_of(digits::Tensor<2>& table, Index row) {
    return {&table(row, 0), table.dimension(1)};
  }

  digits::Affine embedding_;
  std::vector<Block> blocks_;
  std::unique_ptr<TextLayer> last_norm_;
  Linear scores_;
};

}  // namespace why
