// Any sequence of calls on one BatchNorm, right ones and wrong ones, against a simple model of its state: what may move, what may not, and
// which calls are refused.
#include <normkit/normkit.hpp>

#include <cmath>
#include <cstdint>
#include <optional>

#include "fuzz/input.hpp"
#include "support/judge.hpp"
#include "support/snapshot.hpp"

namespace {

using namespace support;
using fuzz::Input;
using fuzz::require;
using Norm = normkit::BatchNorm<float>;
using Volume = Eigen::Tensor<float, 3, Eigen::RowMajor>;

constexpr Eigen::Index channels = 5;

/// What is to be true of the layer.
struct Model {
  bool training = true, held = false, gathers = false;
  std::int64_t batches = 0, gathered = 0;
  bool gradients_are_zero = true;
  std::optional<Extents> saved;  // of the x that backward takes
  bool in_place = false;

  bool moves() const { return training && !held; }
};

/// The layer, its model, and the last x that a forward had.
class Pair {
 public:
  Pair() { set_parameters(norm_, 3); }

  void call(Input& input) {
    switch (input.choose(14)) {
      case 0:
        norm_.train(), model_.training = true;
        break;
      case 1:
        norm_.eval(), model_.training = false;
        break;
      case 2:
        return forward(input, false);
      case 3:
        return forward(input, true);
      case 4:
        return backward(input);
      case 5:
        return wrong(input);
      case 6:
        norm_.zero_grad(), model_.gradients_are_zero = true;
        break;
      case 7:
        norm_.reset_running_stats(), model_.batches = 0, model_.gathered = 0;
        require(norm_.running_mean()(2) == 0 && norm_.running_var()(2) == 1, "running statistics at their start");
        break;
      case 8:
        model_.held = input.choose(2);
        norm_.hold_running_stats(model_.held);
        break;
      case 9:
        model_.gathers = input.choose(2), model_.gathered = 0;
        norm_.gather_running_stats(model_.gathers);
        break;
      case 10:
        return move_gathered();
      case 11:
        return infer(input);
      case 12: {  // a copy goes on in the place of what it is of
        Norm copy = norm_;
        const Bytes before = state_of(copy);
        norm_.weight().setConstant(static_cast<float>(input.between(-2, 2)));
        norm_.running_mean().setConstant(3);
        require(state_of(copy) == before, "a copy that does not move with what it is of");
        norm_ = copy;
        require(state_of(norm_) == before, "an assignment of all of the state");
        break;
      }
      default:
        norm_.set_momentum(input.choose(2) ? std::optional<double>(input.choose(101) / 100.0) : std::nullopt);
    }
  }

  void check() {
    require(norm_.is_training() == model_.training, "the mode");
    require(norm_.num_batches_tracked() == model_.batches, "batches counted");
    require(norm_.holds_running_stats() == model_.held, "held");
    float gradients = 0;
    for (const auto& parameter : norm_.parameters())
      for (Eigen::Index i = 0; i < channels; ++i) gradients += std::abs(parameter.gradient.data()[i]);
    require((gradients == 0) == model_.gradients_are_zero, "gradients that are zero, or not");
    for (Eigen::Index c = 0; c < channels; ++c)
      require(std::isfinite(norm_.running_mean()(c)) && norm_.running_var()(c) >= 0,
              "running statistics that are numbers");
  }

 private:
  static Extents extents(Input& input) { return {input.between(1, 3), channels, input.between(2, 9)}; }

  Bytes running() {
    Bytes bytes;
    append(bytes, norm_.running_mean());
    append(bytes, norm_.running_var());
    return bytes;
  }
  void forward(Input& input, bool in_place) {
    const Extents shape = extents(input);
    x_ = random<Volume>(shape, input.choose(100), 0.5, 2);
    const Bytes before = running(), parameters = bytes_of(norm_.weight());
    Volume y = x_;
    in_place ? norm_.forward(x_, x_) : norm_.forward(x_, y);
    // A batch like all before it moves nothing either.
    if (!model_.moves() || model_.gathers || norm_.options().momentum == std::optional<double>(0.0))
      require(running() == before, "running statistics that do not move");
    require(bytes_of(norm_.weight()) == parameters, "weight as it was");
    if (model_.moves()) model_.gathers ? ++model_.gathered : ++model_.batches;
    model_.saved = shape;
    model_.in_place = in_place;
  }

  void backward(Input& input) {
    const Extents shape = input.choose(8) == 0 ? extents(input) : extents_of(x_);
    const Volume x = shape == extents_of(x_) ? x_ : random<Volume>(shape, 7),
                 dy = random<Volume>(shape, input.choose(100));
    Volume dx = constant<Volume>(shape, -77);
    const bool is_right = model_.saved && *model_.saved == shape && !model_.in_place;
    const Bytes before = state_of(norm_);
    try {
      norm_.backward(x, dy, dx);
      require(is_right, "a backward that has its forward");
      model_.gradients_are_zero = false;
    } catch (const normkit::state_error&) {
      require(!is_right, "a backward that is refused for want of its forward");
      require(state_of(norm_) == before, "a refused backward that changes nothing");
      require((values(dx) == values(constant<Volume>(shape, -77))), "a refused backward that writes nothing");
    }
  }
  void infer(Input& input) {
    const Volume x = random<Volume>(extents(input), input.choose(100));
    Volume y = x;
    const Bytes before = state_of(norm_);
    norm_.infer(x, y);
    require(state_of(norm_) == before, "infer that changes nothing");
  }
  void move_gathered() {
    const bool is_right = model_.gathers && model_.gathered > 0;
    const Bytes before = state_of(norm_);
    try {
      norm_.move_running_stats();
      require(is_right, "micro-batches to move by");
      ++model_.batches;
      model_.gathered = 0;
    } catch (const normkit::state_error&) {
      require(!is_right && state_of(norm_) == before, "a refusal for want of micro-batches, which changes nothing");
    }
  }
  /// A call with a wrong shape or argument.
  void wrong(Input& input) {
    const Bytes before = state_of(norm_);
    Volume x(2, channels + 1, 4), y(2, channels + 1, 4), other(2, channels, 3), right(2, channels, 4);
    x.setZero(), right.setZero();
    bool is_refused = false;
    try {
      switch (input.choose(5)) {
        case 0:
          norm_.forward(x, y);
          break;
        case 1:
          norm_.forward(right, other);
          break;
        case 2:
          norm_.infer(x, y);
          break;
        case 3:
          norm_.set_momentum(1.5);
          break;
        default:
          norm_.set_num_batches_tracked(-1);
      }
    } catch (const normkit::shape_error&) {
      is_refused = true;
    } catch (const normkit::argument_error&) {
      is_refused = true;
    }
    require(is_refused && state_of(norm_) == before, "a wrong call that is refused and changes nothing");
  }

  Norm norm_{channels};
  Model model_;
  Volume x_{1, channels, 2};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Pair pair;
  while (!input.is_empty()) {
    pair.call(input);
    pair.check();
  }
  return 0;
}
