// One block at a time: each kernel against plain loops, and each instruction set against the baseline, bit by bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "kernel/same.hpp"
#include "kernel/sets.hpp"
#include "support/lengths.hpp"
#include "support/numbers.hpp"
#include "support/rule.hpp"

namespace {

namespace nk = normkit::detail;
using kernel_sets::same;
using kernel_sets::same_exponents;
using normkit::Index;
using support::Real;

/// A block of either walk, with room around it that no kernel may touch.
struct Layout {
  nk::Walk walk;
  nk::Block block;
  Index size;

  Index at(Index group, Index plane, Index i) const {
    return group * block.group_stride + plane * block.plane_stride + i;
  }
};

Layout runs_layout(Index groups, Index planes, Index length) {
  return {nk::runs, {groups, length, planes, groups * length, length, length}, groups * planes * length};
}
Layout lanes_layout(Index columns, Index rows) {
  return {nk::lanes, {columns, 1, rows, columns + 3, 1, 1}, rows * (columns + 3)};
}

std::vector<Layout> layouts() {
  std::vector<Layout> all;
  for (const Index n : support::seams()) {
    all.push_back(runs_layout(3, 1, n));
    all.push_back(runs_layout(2, 3, n));
    all.push_back(lanes_layout(n, 5));
    all.push_back(lanes_layout(3, n));
  }
  all.push_back(runs_layout(1, 1, 4096));
  for (const Index n : {1, 21, 127, 129, 256, 257}) all.push_back(runs_layout(33, 1, n));  // whole registers of groups
  all.push_back(lanes_layout(256, 64));
  return all;
}

/// The same, and those that only reductions have: groups of several columns.
std::vector<Layout> reduced_layouts() {
  std::vector<Layout> all = layouts();
  for (const Index columns : {2, 3, 8, 10, 64})
    for (const Index groups : {1, 3, 16})
      for (const Index rows : {1, 5, 64}) {
        const Index row = groups * columns + 3;
        all.push_back({nk::lanes, {groups, columns, rows, row, columns, columns}, rows * row});
      }
  return all;
}

/// The memory of one case: x and dy begin `shift` elements after an aligned address.
template <class T>
struct Data {
  std::vector<T> x, dy, out;
  Index shift;

  Data(const Layout& l, Index begin, double mean)
      : x(support::bell<T>(static_cast<std::size_t>(l.size + begin), 7, mean)),
        dy(support::bell<T>(static_cast<std::size_t>(l.size + begin), 8)),
        out(x.size(), T(-77)),
        shift(begin) {}
  const T* x_at() const { return x.data() + shift; }
  const T* dy_at() const { return dy.data() + shift; }
  T* out_at() { return out.data() + shift; }
};

template <class T>
std::vector<T> terms(Index count, std::uint64_t seed, double mean) {
  return support::bell<T>(static_cast<std::size_t>(count), seed, mean, 0.25);
}

template <class T>
Real wide_value(T value) {
  return static_cast<Real>(value);
}
Real wide_value(nk::DoubleDouble value) { return static_cast<Real>(value.hi) + static_cast<Real>(value.lo); }

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// An instruction set, where its output goes, and how far that begins from an aligned address.
template <class T>
struct Way {
  kernel_sets::Set<T> set;
  nk::Output out;
  Index shift;

  const nk::Maps<T>& maps() const { return set.kernels->maps[out == nk::Output::cached]; }
  bool streams() const { return out == nk::Output::streamed; }
};

template <class T>
std::vector<Way<T>> outputs() {
  std::vector<Way<T>> all;
  for (const auto& set : kernel_sets::all<T>())
    for (const nk::Output out : {nk::Output::cached, nk::Output::prefetched, nk::Output::streamed})
      for (const Index shift : {0, 1, 3}) all.push_back({set, out, shift});
  return all;
}

/// Where kernels ask ahead of time there need be no memory.
constexpr Index ahead = 1 << 20;

template <class T>
class Kernels : public ::testing::Test {};
using Scalars = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Kernels, Scalars);

template <class T>
struct MomentsResult {
  std::vector<T> pivot;
  std::vector<nk::Wide<T>> delta, m2;
  std::vector<nk::Exponent<T>> exponent;

  explicit MomentsResult(Index groups)
      : pivot(size(groups)), delta(size(groups)), m2(size(groups)), exponent(size(groups)) {}
  static std::size_t size(Index groups) { return static_cast<std::size_t>(groups); }
  nk::Moments<T> view() { return {pivot.data(), delta.data(), m2.data(), exponent.data()}; }
  friend bool operator==(const MomentsResult& a, const MomentsResult& b) {
    return same_bits(a.pivot, b.pivot) && same_bits(a.delta, b.delta) && same_bits(a.m2, b.m2) &&
           same_exponents(a.exponent, b.exponent);
  }
};

template <class T>
void measure(const kernel_sets::Set<T>& set, const Layout& l, const T* x, MomentsResult<T>& out,
             nk::About about = nk::About::mean) {
  set.kernels->moments[static_cast<int>(about)][l.walk](l.block, x, out.view());
}

TYPED_TEST(Kernels, MomentsAreThoseOfPlainLoopsWithTheSameBitsOnEverySet) {
  using T = TypeParam;
  for (const Layout& l : reduced_layouts())
    for (const Index shift : {0, 1, 3}) {
      const Data<T> data(l, shift, 100);
      std::vector<MomentsResult<T>> results;
      for (const auto& set : kernel_sets::all<T>()) {
        results.emplace_back(l.block.groups);
        measure(set, l, data.x_at(), results.back());
        EXPECT_TRUE(results.back() == results.front()) << set.name << " length " << l.block.length;
      }
      const auto n = static_cast<Real>(l.block.elements());
      for (Index g = 0; g < l.block.groups; ++g) {
        Real mean = 0, m2 = 0;
        for (Index p = 0; p < l.block.planes; ++p)
          for (Index i = 0; i < l.block.length; ++i) mean += static_cast<Real>(data.x_at()[l.at(g, p, i)]) / n;
        for (Index p = 0; p < l.block.planes; ++p)
          for (Index i = 0; i < l.block.length; ++i) {
            const Real d = static_cast<Real>(data.x_at()[l.at(g, p, i)]) - mean;
            m2 += d * d;
          }
        const auto k = static_cast<std::size_t>(g);
        const Real u = support::unit_roundoff<T>(), sigma = std::sqrt(m2 / n);
        // The correction leaves an error of the mean of a few u of the deviation, however large the mean is; a
        // square has three roundings and the sum one for each of the up to 128 terms of a lane, of random sign.
        EXPECT_LE(std::abs(static_cast<Real>(results[0].pivot[k]) + wide_value(results[0].delta[k]) - mean),
                  4 * u * sigma + 1e-17L * std::abs(mean));
        EXPECT_LE(std::abs(wide_value(results[0].m2[k]) - m2), (3 + std::sqrt(Real(128))) * u * m2 + 1e-16L * u);
      }
    }
}

TYPED_TEST(Kernels, SquaresAreThoseOfPlainLoopsWithTheSameBitsOnEverySet) {
  using T = TypeParam;
  for (const Layout& l : reduced_layouts())
    for (const Index shift : {0, 1, 3}) {
      const Data<T> data(l, shift, 1);
      std::vector<MomentsResult<T>> results;
      for (const auto& set : kernel_sets::all<T>()) {
        results.emplace_back(l.block.groups);
        measure(set, l, data.x_at(), results.back(), nk::About::zero);
        EXPECT_TRUE(results.back() == results.front()) << set.name << " length " << l.block.length;
      }
      for (Index g = 0; g < l.block.groups; ++g) {
        Real squares = 0;
        for (Index p = 0; p < l.block.planes; ++p)
          for (Index i = 0; i < l.block.length; ++i) {
            const Real v = static_cast<Real>(data.x_at()[l.at(g, p, i)]);
            squares += v * v;
          }
        const auto k = static_cast<std::size_t>(g);
        EXPECT_EQ(results[0].pivot[k], T(0));
        EXPECT_EQ(wide_value(results[0].delta[k]), 0);
        // One rounding of each square, and of the up to 128 additions of a lane, of random sign.
        EXPECT_LE(std::abs(wide_value(results[0].m2[k]) - squares),
                  (1 + std::sqrt(Real(128))) * support::unit_roundoff<T>() * squares);
      }
    }
}

TYPED_TEST(Kernels, MergedMomentsAreThoseOfTheWhole) {
  using T = TypeParam;
  for (const auto& set : kernel_sets::all<T>()) {
    const Layout l = runs_layout(1, 1, 300);
    const Data<T> data(l, 0, 1e4);
    MomentsResult<T> whole(1), left(1), right(1);
    measure(set, l, data.x_at(), whole);
    measure(set, runs_layout(1, 1, 107), data.x_at(), left);
    measure(set, runs_layout(1, 1, 193), data.x_at() + 107, right);
    set.kernels->steps.merge_moments(1, left.view(), 107, right.view(), 193);
    const Real sigma = std::sqrt(wide_value(whole.m2[0]) / 300), u = support::unit_roundoff<T>();
    const Real difference = (static_cast<Real>(left.pivot[0]) - static_cast<Real>(whole.pivot[0])) +
                            (wide_value(left.delta[0]) - wide_value(whole.delta[0]));
    EXPECT_LE(std::abs(difference), 8 * u * sigma);
    EXPECT_LE(std::abs(wide_value(left.m2[0]) / wide_value(whole.m2[0]) - 1), 16 * u);
  }
}

TYPED_TEST(Kernels, NormalizeIsTheFormulaInItsOrderOnEverySet) {
  using T = TypeParam;
  for (const Layout& l : layouts())
    for (int kind = 0; kind < 4; ++kind) {
      const Index groups = l.block.groups, elements = l.block.elements();
      const auto mean = terms<T>(groups, 1, 100), lo = terms<T>(groups, 2, 0), scale = terms<T>(groups, 3, 1),
                 shift = terms<T>(groups, 4, 0), weight = terms<T>(elements, 5, 1), bias = terms<T>(elements, 6, 0);
      const bool by_weight = kind & 1, by_bias = kind & 2;
      for (const Way<T>& way : outputs<T>()) {
        Data<T> data(l, way.shift, 100);
        std::vector<T> expected = data.out;
        for (Index g = 0; g < groups; ++g)
          for (Index p = 0; p < l.block.planes; ++p)
            for (Index i = 0; i < l.block.length; ++i) {
              const auto k = static_cast<std::size_t>(g), e = static_cast<std::size_t>(p * l.block.plane_elements + i);
              volatile T v = data.x_at()[l.at(g, p, i)] - mean[k];  // volatile: every step is rounded on its own
              v = v - lo[k];
              v = v * scale[k];
              if (by_weight) v = v * weight[e];
              if (by_bias) v = v + bias[e];
              if (kind == 0) v = v + shift[k];
              expected[static_cast<std::size_t>(data.shift + l.at(g, p, i))] = v;
            }
        way.maps().normalize[l.walk][kind](
            l.block, data.x_at(),
            {mean.data(), lo.data(), scale.data(), shift.data(), by_weight ? weight.data() : nullptr,
             by_bias ? bias.data() : nullptr, ahead, way.streams()},
            data.out_at());
        EXPECT_TRUE(same_bits(data.out, expected)) << way.set.name << " kind " << kind << " length " << l.block.length;
      }
    }
}

TYPED_TEST(Kernels, SumsOfGradientsAreThoseOfPlainLoopsWithTheSameBitsOnEverySet) {
  using T = TypeParam;
  for (const Layout& l : layouts())
    for (const nk::SumKind kind : {nk::SumKind::plain, nk::SumKind::weighted, nk::SumKind::dual}) {
      const bool dual = kind == nk::SumKind::dual, weighted = kind == nk::SumKind::weighted;
      const Index groups = l.block.groups, elements = l.block.elements(), stats = dual ? elements : groups;
      const auto mean = terms<T>(stats, 1, 100), lo = terms<T>(stats, 2, 0), rstd = terms<T>(stats, 3, 1),
                 weight = terms<T>(elements, 4, 1);
      const Data<T> data(l, 1, 100);
      std::vector<std::vector<nk::Wide<T>>> all_dy, all_dy_x;
      const std::vector<double> unused(MomentsResult<T>::size(stats));
      const std::vector<int> no_exponents(MomentsResult<T>::size(stats));
      std::vector<nk::Exponent<T>> exponent(MomentsResult<T>::size(groups)), exponent_x(exponent);
      for (const auto& set : kernel_sets::all<T>()) {
        all_dy.emplace_back(MomentsResult<T>::size(groups));
        all_dy_x.emplace_back(MomentsResult<T>::size(groups));
        set.kernels->sums[l.walk][static_cast<int>(kind)](
            l.block, data.x_at(), data.dy_at(),
            {{mean.data(), lo.data(), unused.data(), no_exponents.data()},
             dual ? rstd.data() : nullptr,
             weighted ? weight.data() : nullptr,
             false,
             true},
            {all_dy.back().data(), all_dy_x.back().data(), exponent.data(), exponent_x.data()});
        EXPECT_TRUE(same_bits(all_dy.back(), all_dy[0]) && same_bits(all_dy_x.back(), all_dy_x[0])) << set.name;
      }
      for (Index g = 0; g < groups; ++g) {
        Real dy = 0, dy_x = 0, size = 0, size_x = 0;
        for (Index p = 0; p < l.block.planes; ++p)
          for (Index i = 0; i < l.block.length; ++i) {
            const auto e = static_cast<std::size_t>(p * l.block.plane_elements + i);
            const std::size_t s = dual ? e : static_cast<std::size_t>(g);
            const Real xc = (static_cast<Real>(data.x_at()[l.at(g, p, i)]) - static_cast<Real>(mean[s]) -
                             static_cast<Real>(lo[s])) *
                            (dual ? static_cast<Real>(rstd[s]) : 1);
            const Real d =
                static_cast<Real>(data.dy_at()[l.at(g, p, i)]) * (weighted ? static_cast<Real>(weight[e]) : 1);
            dy += d;
            dy_x += d * xc;
            size += std::abs(d);
            size_x += std::abs(d * xc);
          }
        // Five roundings in a term, and one of random sign for each of the up to 128 terms of a lane.
        const Real bound = (5 + std::sqrt(Real(128))) * support::unit_roundoff<T>();
        EXPECT_LE(std::abs(wide_value(all_dy[0][static_cast<std::size_t>(g)]) - dy), bound * size);
        EXPECT_LE(std::abs(wide_value(all_dy_x[0][static_cast<std::size_t>(g)]) - dy_x), bound * size_x);
      }
    }
}

TYPED_TEST(Kernels, TheGradientOfTheInputIsTheFormulaInItsOrderOnEverySet) {
  using T = TypeParam;
  for (const Layout& l : layouts())
    for (const int kind : {0, 1, 2, 3}) {
      const bool weighted = kind & 1, adds = kind & 2;
      const auto added = terms<T>(l.size, 9, 0);
      const Index groups = l.block.groups, elements = l.block.elements();
      const auto mean = terms<T>(groups, 1, 100), lo = terms<T>(groups, 2, 0), mean_dy = terms<T>(groups, 3, 0),
                 slope = terms<T>(groups, 4, 0), scale = terms<T>(groups, 5, 1), weight = terms<T>(elements, 6, 1);
      for (const Way<T>& way : outputs<T>()) {
        Data<T> data(l, way.shift, 100);
        std::vector<T> expected = data.out;
        for (Index g = 0; g < groups; ++g)
          for (Index p = 0; p < l.block.planes; ++p)
            for (Index i = 0; i < l.block.length; ++i) {
              const auto k = static_cast<std::size_t>(g), e = static_cast<std::size_t>(p * l.block.plane_elements + i);
              volatile T xc = data.x_at()[l.at(g, p, i)] - mean[k], d = data.dy_at()[l.at(g, p, i)];
              xc = xc - lo[k];
              if (weighted) d = d * weight[e];
              d = d - mean_dy[k];
              volatile T product = xc * slope[k];
              d = d - product;
              volatile T dx = d * scale[k];
              if (adds) dx = dx + added[static_cast<std::size_t>(l.at(g, p, i))];
              expected[static_cast<std::size_t>(data.shift + l.at(g, p, i))] = dx;
            }
        way.maps().gradient[l.walk][weighted ? 1 : 0][adds ? 1 : 0](
            l.block, data.x_at(), data.dy_at(), adds ? added.data() : nullptr,
            {mean.data(), lo.data(), mean_dy.data(), slope.data(), scale.data(), weighted ? weight.data() : nullptr,
             ahead, way.streams()},
            data.out_at());
        EXPECT_TRUE(same_bits(data.out, expected)) << way.set.name << " length " << l.block.length;
      }
    }
}

/// Bits in rows of a block's runs, or of its rows across lanes, which begin `first` bits after the start of a byte.
struct Bits {
  std::vector<std::uint8_t> bytes;
  Index row;

  explicit Bits(const Layout& l)
      : bytes(static_cast<std::size_t>(l.size + nk::BitRows<std::uint8_t>::padding), std::uint8_t{0x5a}),
        row(l.walk == nk::runs ? l.block.length : l.block.plane_stride) {}
  nk::BitRows<std::uint8_t> rows() { return {bytes.data(), row}; }
  bool operator()(Index element) {
    const auto place = rows().at(element);
    return *place.byte >> place.bit & 1;
  }
};

/// The kernels with a ReLU of a set.
template <class T>
const nk::ReluKernels<T>* relu_of(const kernel_sets::Set<T>& set) {
  const auto sets = kernel_sets::all<T>();
  std::size_t at = 0;
  while (sets[at].name != set.name) ++at;
  return kernel_sets::relu_kernels<T>()[at];
}

TYPED_TEST(Kernels, ARectifiedOutputIsThePlainOneWithItsMaskOnEverySet) {
  using T = TypeParam;
  for (const Layout& l : layouts())
    for (const bool adds : {false, true}) {
      const Index groups = l.block.groups;
      const auto mean = terms<T>(groups, 1, 0), lo = terms<T>(groups, 2, 0), scale = terms<T>(groups, 3, 1),
                 shift = terms<T>(groups, 4, 0), added = terms<T>(l.size, 9, 0);
      for (const Way<T>& way : outputs<T>()) {
        const auto& [set, out, begin] = way;
        const auto* const relu = relu_of(set);
        const nk::Normalization<T> formula{mean.data(), lo.data(), scale.data(), shift.data(),
                                           nullptr,     nullptr,   ahead,        way.streams()};
        Data<T> data(l, begin, 0), expected = data;
        way.maps().normalize[l.walk][0](l.block, data.x_at(), formula, expected.out_at());
        Bits bits(l);
        relu->normalize[l.walk](l.block, data.x_at(), formula,
                                {data.out_at(), adds ? added.data() : nullptr, bits.rows()});
        bool mask_is_right = true;
        for (Index g = 0; g < groups; ++g)
          for (Index p = 0; p < l.block.planes; ++p)
            for (Index i = 0; i < l.block.length; ++i) {
              T& v = expected.out_at()[l.at(g, p, i)];
              if (adds) v = v + added[static_cast<std::size_t>(l.at(g, p, i))];
              if (v <= 0) v = 0;
              mask_is_right &= bits(l.at(g, p, i)) == (v > 0);
            }
        EXPECT_TRUE(same_bits(data.out, expected.out)) << set.name << " length " << l.block.length;
        EXPECT_TRUE(mask_is_right) << set.name << " length " << l.block.length;

        Data<T> alone(l, begin, 0);  // without a mask
        relu->normalize[l.walk](l.block, data.x_at(), formula,
                                {alone.out_at(), adds ? added.data() : nullptr, {nullptr, 1}});
        EXPECT_TRUE(same_bits(alone.out, expected.out)) << set.name << " length " << l.block.length;
      }
    }
}

TYPED_TEST(Kernels, AMaskedGradientIsThatOfWhatPassesOnEverySet) {
  using T = TypeParam;
  for (const Layout& l : layouts()) {
    const Index groups = l.block.groups;
    const auto mean = terms<T>(groups, 1, 0), lo = terms<T>(groups, 2, 0), mean_dy = terms<T>(groups, 3, 0),
               slope = terms<T>(groups, 4, 0), scale = terms<T>(groups, 5, 1);
    const std::vector<double> rstd(static_cast<std::size_t>(groups), 1.0);
    const std::vector<int> exponent(static_cast<std::size_t>(groups), 0);
    const nk::Centre<T> centre{{mean.data(), lo.data(), rstd.data(), exponent.data()}, nullptr, nullptr, false};
    for (const Way<T>& way : outputs<T>()) {
      const auto& [set, out, begin] = way;
      const auto* const relu = relu_of(set);
      const nk::InputGradient<T> formula{mean.data(),  lo.data(), mean_dy.data(), slope.data(),
                                         scale.data(), nullptr,   ahead,          way.streams()};
      const nk::Normalization<T> given{lo.data(), lo.data(), scale.data(), lo.data(),
                                       nullptr,   nullptr,   ahead,        way.streams()};
      Data<T> data(l, begin, 0), plain = data;
      Bits bits(l);
      for (std::size_t b = 0; b < bits.bytes.size(); ++b) bits.bytes[b] = static_cast<std::uint8_t>(b * 73 + 41);
      for (Index at = 0; at < l.size; ++at)
        if (!bits(at)) plain.dy[static_cast<std::size_t>(begin + at)] = 0;
      std::vector<T> passed(data.out);
      const bool passes_on = !way.streams();  // else it has to be aligned as dx is
      const nk::Masked<T> masked{
          data.dy_at(), {bits.bytes.data(), bits.row}, passes_on ? passed.data() + begin : nullptr};

      nk::PartialStore<nk::GradientSums<T>> sums, expected;
      relu->sums[l.walk](l.block, data.x_at(), masked, centre, sums.view());
      set.kernels->sums[l.walk][0](l.block, data.x_at(), plain.dy_at(), centre, expected.view());
      for (Index g = 0; g < groups; ++g) {
        EXPECT_TRUE(kernel_sets::same_number(sums.view().dy[g], expected.view().dy[g]))
            << set.name << " length " << l.block.length;
        EXPECT_TRUE(kernel_sets::same_number(sums.view().dy_x[g], expected.view().dy_x[g]))
            << set.name << " length " << l.block.length;
      }
      for (const bool of_given : {false, true}) {
        if (of_given) {
          relu->scale[l.walk](l.block, masked, given, data.out_at());
          way.maps().normalize[l.walk][0](l.block, plain.dy_at(), given, plain.out_at());
        } else {
          relu->gradient[l.walk](l.block, data.x_at(), masked, nullptr, formula, data.out_at());
          way.maps().gradient[l.walk][0][0](l.block, data.x_at(), plain.dy_at(), nullptr, formula, plain.out_at());
        }
        EXPECT_TRUE(same_bits(data.out, plain.out)) << set.name << " length " << l.block.length;
        bool all_passed = true;
        for (Index g = 0; g < groups; ++g)
          for (Index p = 0; p < l.block.planes; ++p)
            for (Index i = 0; i < l.block.length; ++i) {
              const auto at = static_cast<std::size_t>(begin + l.at(g, p, i));
              all_passed &= passed[at] == (passes_on ? plain.dy[at] : T(-77));
              passed[at] = T(-77);
            }
        EXPECT_TRUE(all_passed) << set.name << " length " << l.block.length;
        EXPECT_TRUE(same_bits(passed, std::vector<T>(passed.size(), T(-77)))) << "nothing beside it";
      }
    }
  }
}

TYPED_TEST(Kernels, AddIsTheSumOnEverySet) {
  using T = TypeParam;
  for (const Layout& l : layouts())
    for (const auto& [set, out, shift] : outputs<T>()) {
      Data<T> data(l, shift, 100);
      std::vector<T> expected = data.out;
      for (Index g = 0; g < l.block.groups; ++g)
        for (Index p = 0; p < l.block.planes; ++p)
          for (Index i = 0; i < l.block.length; ++i) {
            const Index at = l.at(g, p, i);
            expected[static_cast<std::size_t>(shift + at)] = data.x_at()[at] + data.dy_at()[at];
          }
      set.kernels->add[l.walk](l.block, data.x_at(), data.dy_at(), data.out_at());
      EXPECT_TRUE(same_bits(data.out, expected)) << set.name << " length " << l.block.length;
    }
}

TYPED_TEST(Kernels, AConstantGroupHasNoVarianceAndItsOwnValueAsMean) {
  using T = TypeParam;
  for (const auto& set : kernel_sets::all<T>())
    for (const Index n : support::seams())
      for (const Layout& l : {runs_layout(2, 1, n), lanes_layout(2, n)}) {
        const std::vector<T> x(static_cast<std::size_t>(l.size), T(0.1));
        MomentsResult<T> got(l.block.groups);
        measure(set, l, x.data(), got);
        EXPECT_EQ(got.pivot[1], T(0.1));
        EXPECT_EQ(wide_value(got.delta[1]), 0);
        EXPECT_EQ(wide_value(got.m2[1]), 0);
      }
}

TYPED_TEST(Kernels, GroupsBesideOddOnesGetTheBitsThatTheyGetAlone) {
  using T = TypeParam;
  constexpr Index groups = 19;
  for (const auto& set : kernel_sets::all<T>())
    for (const Layout& l : {runs_layout(groups, 2, 21), runs_layout(groups, 1, 21), lanes_layout(groups, 21)}) {
      Data<T> data(l, 0, 1);
      const auto fill = [&](std::vector<T>& values, Index g, T value) {
        for (Index p = 0; p < l.block.planes; ++p)
          for (Index i = 0; i < l.block.length; ++i) values[static_cast<std::size_t>(l.at(g, p, i))] = value;
      };
      fill(data.x, 2, T(0.1));
      fill(data.x, 7, std::numeric_limits<T>::max());
      fill(data.dy, 5, T(0));
      data.x[static_cast<std::size_t>(l.at(11, 1 % l.block.planes, 0))] = std::numeric_limits<T>::quiet_NaN();
      data.dy[static_cast<std::size_t>(l.at(13, 0, 0))] = std::numeric_limits<T>::infinity();
      MomentsResult<T> together(groups), alone(groups);
      measure(set, l, data.x_at(), together);
      const auto mean = terms<T>(groups, 1, 1), lo = terms<T>(groups, 2, 0);
      const std::vector<double> rstd(MomentsResult<T>::size(groups), 1.0);
      std::vector<int> power(MomentsResult<T>::size(groups));
      power[16] = 3;
      const nk::Centre<T> centre{{mean.data(), lo.data(), rstd.data(), power.data()}, nullptr, nullptr, false};
      MomentsResult<T> sums(groups), sum_alone(groups);  // delta and m2 hold the two sums
      std::vector<nk::Exponent<T>> more(MomentsResult<T>::size(groups)), more_alone(more);
      const auto& sum = set.kernels->sums[l.walk][0];
      sum(l.block, data.x_at(), data.dy_at(), centre,
          {sums.delta.data(), sums.m2.data(), sums.exponent.data(), more.data()});
      for (Index g = 0; g < groups; ++g) {
        const Layout own{l.walk, l.block.some(1), l.size};
        const T* const x = data.x_at() + g * l.block.group_stride;
        const auto k = static_cast<std::size_t>(g);
        set.kernels->moments[0][l.walk](own.block, x, alone.view().from(g));
        sum(own.block, x, data.dy_at() + g * l.block.group_stride, {centre.statistics.from(g), nullptr, nullptr, false},
            {&sum_alone.delta[k], &sum_alone.m2[k], &sum_alone.exponent[k], &more_alone[k]});
      }
      const auto expect_same = [&](const MomentsResult<T>& a, const MomentsResult<T>& b, const char* what) {
        EXPECT_TRUE(same(a.pivot, b.pivot) && same(a.delta, b.delta) && same(a.m2, b.m2)) << set.name << ": " << what;
        EXPECT_TRUE(same_exponents(a.exponent, b.exponent)) << set.name << ": " << what;
      };
      expect_same(together, alone, "moments");
      expect_same(sums, sum_alone, "sums");
      EXPECT_TRUE(same_exponents(more, more_alone)) << set.name;
    }
}

TYPED_TEST(Kernels, NanStaysInItsGroup) {
  using T = TypeParam;
  for (const auto& set : kernel_sets::all<T>())
    for (const Layout& l : {runs_layout(3, 2, 21), lanes_layout(3, 21)}) {
      Data<T> data(l, 0, 1);
      data.x[static_cast<std::size_t>(l.at(1, 1, 0))] = std::numeric_limits<T>::quiet_NaN();
      MomentsResult<T> got(3);
      measure(set, l, data.x_at(), got);
      EXPECT_TRUE(std::isfinite(wide_value(got.m2[0])) && std::isfinite(wide_value(got.m2[2])));
      EXPECT_TRUE(std::isnan(wide_value(got.m2[1])));
    }
}

}  // namespace
