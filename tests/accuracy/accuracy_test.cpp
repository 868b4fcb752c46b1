// The library against more than 100 digits: every output of every case keeps the rule with k = 4, on data of all kinds.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "accuracy/regimes.hpp"
#include "accuracy/run.hpp"
#include "support/configs.hpp"

namespace {

using namespace accuracy;

template <class T>
void judge_regime(const Source& source, Tally& tally) {
  for (const Case& c : read_cases(source.regime, source.scalar)) {
    const Inputs<T> in(c);
    Judge<T> judge(c, in, source.name(), tally);
    run(c, in, Eigen::DefaultDevice(), judge);
    if (!c.is_sampled()) continue;  // a small one never leaves the calling thread
    support::Pooled pool;
    judge.on("a pool");
    run(c, in, pool.device, judge);
  }
}

class Accuracy : public ::testing::TestWithParam<Source> {};

TEST_P(Accuracy, KeepsTheRule) {
  const Source& source = GetParam();
  Tally tally;
  source.is_float() ? judge_regime<float>(source, tally) : judge_regime<double>(source, tally);
  ASSERT_GT(tally.values(), 0u);
  std::cout << source.name() << ", largest errors of " << tally.values() << " values in units of the rule:";
  for (const auto& [kind, largest] : tally.largest()) {
    RecordProperty(kind, ::testing::PrintToString(largest));
    std::cout << " " << kind << " " << std::setprecision(3) << largest;
  }
  std::cout << "\n";
}

INSTANTIATE_TEST_SUITE_P(Regimes, Accuracy, ::testing::ValuesIn(sources()),
                         [](const auto& test) { return test.param.name(); });

TEST(AccuracyData, HasAFileForEachRegimeAndNoOther) {
  std::vector<std::string> expected, found;
  for (const Source& source : sources()) expected.push_back(source.scalar + "/" + source.regime + ".txt");
  const std::filesystem::path root = data_directory();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
    if (!entry.is_directory()) found.push_back(entry.path().lexically_relative(root).generic_string());
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, expected);
}

}  // namespace
