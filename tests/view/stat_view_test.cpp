// Which axes a norm reduces, in canonical form.
#include <gtest/gtest.h>

#include <initializer_list>
#include <normkit/detail/view/stat_view.hpp>

#include "support/numbers.hpp"

namespace {

using normkit::Index;
using normkit::detail::make_view;
using normkit::detail::Shape;
using normkit::detail::StatView;

Shape shape(std::initializer_list<Index> extents, bool row_major = true) {
  Shape s;
  for (const Index extent : extents) s.extents[static_cast<std::size_t>(s.rank++)] = extent;
  s.row_major = row_major;
  return s;
}

StatView per_channel(const Shape& s, Index axis) { return make_view(s, axis, 1, true).value(); }
StatView per_token(const Shape& s, Index first, Index axes) { return make_view(s, first, axes, false).value(); }

TEST(StatView, BatchNormIsASandwichInNchwAndLanesInNhwc) {
  EXPECT_EQ(per_channel(shape({20, 100, 35, 45}), 1), (StatView{1, 20, 100, 35 * 45}));
  EXPECT_EQ(per_channel(shape({20, 35, 45, 100}), 3), (StatView{1, 20 * 35 * 45, 100, 1}));
  EXPECT_EQ(per_channel(shape({20, 100}), 1), (StatView{1, 20, 100, 1}));
}

TEST(StatView, ColMajorIsTheReversedOrderOfAxes) {
  EXPECT_EQ(per_channel(shape({20, 100, 35, 45}, false), 1), (StatView{1, 35 * 45, 100, 20}));
  EXPECT_EQ(per_channel(shape({20, 100}, false), 1), (StatView{1, 1, 100, 20}));
  EXPECT_EQ(per_token(shape({20, 5, 10}, false), 2, 1), (StatView{1, 10, 100, 1}));
}

TEST(StatView, LayerNormIsRunsOverTheLastAxesAndSlabLanesOverOthers) {
  EXPECT_EQ(per_token(shape({20, 5, 10}), 2, 1), (StatView{1, 1, 100, 10}));
  EXPECT_EQ(per_token(shape({20, 5, 10, 10}), 1, 3), (StatView{1, 1, 20, 500}));
  EXPECT_EQ(per_token(shape({20, 5, 10, 10}), 1, 1), (StatView{20, 5, 100, 1}));
  EXPECT_EQ(per_token(shape({20, 5, 10}), 0, 1), (StatView{1, 20, 50, 1}));
}

TEST(StatView, AxesOfExtentOneVanish) {
  EXPECT_EQ(per_channel(shape({1, 7, 5, 1}), 1), (StatView{1, 1, 7, 5}));
  EXPECT_EQ(per_channel(shape({6, 1, 5, 3}), 1), (StatView{1, 1, 1, 90}));
  EXPECT_EQ(per_channel(shape({1, 7, 1}), 1), (StatView{1, 1, 7, 1}));
}

TEST(StatView, AnyFourAlternatingGroupsOfAxesFitAndFiveDoNot) {
  const bool kept_first[] = {false, true, false, true}, five[] = {true, false, true, false, true};
  EXPECT_EQ(make_view(shape({2, 3, 4, 5}), kept_first), (StatView{2, 3, 4, 5}));
  EXPECT_FALSE(make_view(shape({2, 3, 4, 5, 6}), five).has_value());
}

TEST(StatView, StatisticsElementsAndSizeMultiply) {
  const StatView v{2, 3, 5, 7};
  EXPECT_EQ(v.stats(), 10);
  EXPECT_EQ(v.count(), 21);
  EXPECT_EQ(v.size(), 210);
}

/// The number of the statistic and of the element in its group that lie at each offset, by the view's own definition.
struct Place {
  Index stat, element;
};
Place place_of(const StatView& v, Index offset) {
  const Index i = offset % v.inner, k = offset / v.inner % v.kept, o = offset / v.inner / v.kept % v.outer,
              s = offset / v.inner / v.kept / v.outer;
  return {s * v.kept + k, o * v.inner + i};
}

TEST(StatView, TheDualSwapsStatisticsAndElements) {
  for (const StatView& v :
       {StatView{1, 1, 6, 5}, StatView{1, 6, 5, 1}, StatView{4, 3, 5, 1}, StatView{1, 3, 4, 5}, StatView{1, 1, 1, 7}}) {
    const StatView dual = v.dual();
    ASSERT_EQ(dual.size(), v.size());
    EXPECT_EQ(dual.stats(), v.count());
    EXPECT_EQ(dual.count(), v.stats());
    for (Index at = 0; at < v.size(); ++at) {
      EXPECT_EQ(place_of(v, at).stat, place_of(dual, at).element) << "at " << at;
      EXPECT_EQ(place_of(v, at).element, place_of(dual, at).stat) << "at " << at;
    }
  }
}

TEST(StatView, CanonicalFormNamesTheSamePlaces) {
  for (const StatView& v : {StatView{3, 4, 1, 5}, StatView{3, 1, 4, 5}, StatView{3, 1, 1, 5}, StatView{1, 4, 1, 1}}) {
    for (Index at = 0; at < v.size(); ++at) {
      EXPECT_EQ(place_of(v, at).stat, place_of(v.canonical(), at).stat);
      EXPECT_EQ(place_of(v, at).element, place_of(v.canonical(), at).element);
    }
  }
}

TEST(Shape, ComparesExtentsAndTheirPlacesInMemory) {
  EXPECT_EQ(shape({2, 3}), shape({2, 3}));
  EXPECT_FALSE(shape({2, 3}) == shape({3, 2}));
  EXPECT_FALSE(shape({2, 3}) == shape({2, 3, 1}));
  EXPECT_FALSE(shape({2, 3}) == shape({2, 3}, false));
  EXPECT_EQ(shape({6}), shape({6}, false));  // one axis lies the same either way
}

TEST(Shape, ReadsLikeATuple) {
  EXPECT_EQ(shape({2, 3, 4}).text(), "(2, 3, 4)");
  EXPECT_EQ(shape({2}).text(), "(2,)");
}

TEST(CheckedProduct, KnowsTheLimitAndThatAZeroDoesNotHideAnOverflow) {
  using normkit::detail::checked_product;
  const Index big = Index{1} << 40;
  EXPECT_EQ(checked_product(shape({2, 3, 4}).axes()), 24);
  EXPECT_EQ(checked_product(shape({2, 0, 4}).axes()), 0);
  EXPECT_EQ(checked_product(shape({6}).axes(), 6), 6);
  EXPECT_EQ(checked_product(shape({big, 4}).axes()), 4 * big);
  EXPECT_EQ(checked_product(shape({4, big}).axes()), 4 * big);
  EXPECT_EQ(checked_product(shape({7}).axes(), 6), std::nullopt);
  EXPECT_EQ(checked_product(shape({big, big}).axes()), std::nullopt);
  EXPECT_EQ(checked_product(shape({big, 0, big}).axes()), std::nullopt);
  EXPECT_EQ(checked_product(shape({2, -3}).axes()), std::nullopt);
}

}  // namespace
