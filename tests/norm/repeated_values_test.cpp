// Values that repeat: equal terms round the same way at every addition and in every lane, so that nothing averages out. The
// gradient of a mean of losses is like that, and so are images of two colours.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>

#include "support/configs.hpp"
#include "support/judge.hpp"

namespace {

using namespace support;
using normkit::BatchNorm1d;

template <class T>
class RepeatedValues : public ::testing::Test {
 protected:
  using Tensor = Eigen::Tensor<T, 3, Eigen::RowMajor>;

  /// `x_of` and `dy_of` give the value of the element i, or are null for bell-shaped ones.
  void check(T (*x_of)(Eigen::Index), T (*dy_of)(Eigen::Index)) {
    for (const Extents& extents : {Extents{32, 1, 784}, Extents{1, 1, 4096}, Extents{64, 3, 1}, Extents{4096, 2, 1},
                                   Extents{16, 2, 4096}, Extents{8, 2, 49}, Extents{64, 2, 2}}) {
      SCOPED_TRACE(::testing::PrintToString(extents));
      Tensor x = random<Tensor>(extents, 1), dy = random<Tensor>(extents, 2);
      for (Eigen::Index i = 0; i < x.size(); ++i) {
        if (x_of) x.data()[i] = x_of(i);
        if (dy_of) dy.data()[i] = dy_of(i);
      }
      BatchNorm1d<T> norm(extents[1]);
      const Grouping g = reference::per_channel(extents, 1);
      const reference::Running old = running_of(norm);
      expect_step(norm, device_, x, dy, g, reference::moments(reals(x), g), Statistics::of_batch);
      expect_running(norm, old, x, g);
    }
  }

  const Eigen::DefaultDevice device_{};
};
using Scalars = ::testing::Types<float, double>;
TYPED_TEST_SUITE(RepeatedValues, Scalars);

TYPED_TEST(RepeatedValues, GradientsThatAreAllTheSame) {
  this->check(nullptr, [](Eigen::Index) { return TypeParam(0.1); });
  this->check(nullptr, [](Eigen::Index) { return TypeParam(1) / TypeParam(25088); });
}

TYPED_TEST(RepeatedValues, InputsOfTwoValues) {
  this->check([](Eigen::Index i) { return TypeParam((i * 7919) % 10 == 0); }, nullptr);
  this->check([](Eigen::Index i) { return i % 2 == 0 ? TypeParam(0.1) : TypeParam(-0.1); }, nullptr);
}

}  // namespace
