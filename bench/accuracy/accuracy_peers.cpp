// normkit beside PyTorch and oneDNN: the float data of tests/accuracy, its exact values, and its rule.
//
//   accuracy_peers [--csv FILE] [regime...]
//
// One line for each regime: the largest error of any output in units of the rule, 2^-24 * cond + 2^-150, or "class"
// where a NaN, an infinity or a number is in another's place. A case is a regime, a configuration (norm, shape, axes)
// and parameters (weight and bias, or 1 and 0); it fails where any of its outputs is more than k = 4 units off.
#include <gtest/gtest-spi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "accuracy/judge.hpp"
#include "accuracy/regimes.hpp"
#include "peer.hpp"

namespace {

using namespace accuracy;
using peers::Peer;
using peers::Problem;

Problem problem_of(const Case& c, const Inputs<float>& in, bool plain) {
  Problem p{c.is_batch_norm(),
            c.has("column_major"),
            in.extents,
            static_cast<std::size_t>(c.integer("axis")),
            static_cast<std::size_t>(c.has("axes") ? c.integer("axes") : 0),
            in.g,
            in.eps,
            in.x,
            in.dy,
            in.weight,
            in.bias,
            in.running_mean,
            in.running_var};
  if (plain) {
    p.weight.assign(in.g.params, 1.0f);
    p.bias.assign(in.g.params, 0.0f);
  }
  return p;
}

void judge_running(Peer& peer, const Problem& p, bool plain, Judge<float>& judge) {
  const std::optional<double> momentum = plain ? std::nullopt : std::optional<double>(0.1);
  RunningStep<float> step{reference::Running(p.g.groups), momentum, {}, {}};
  for (const peers::Moments& after : peer.running(p, momentum, 3)) {
    step.mean = after.mean;
    step.var = after.var;
    judge.running(step);
    step.old.mean = support::reals(after.mean);
    step.old.var = support::reals(after.var);
    ++step.old.batches;
  }
}

void judge_case(Peer& peer, const Case& c, const Inputs<float>& in, bool plain, Judge<float>& judge) {
  const Problem p = problem_of(c, in, plain);
  const peers::Moments moments = peer.moments(p);
  judge.moments(moments.mean, moments.var);
  for (const Pass& pass : passes(c, in)) {
    if (pass.plain != plain) continue;
    if (p.is_batch_norm && !pass.evaluates) judge_running(peer, p, plain, judge);
    const peers::Outputs got = peer.run(p, pass.evaluates);
    judge.outputs(pass, {got.y, got.dx, got.dweight, got.dbias});
  }
}

/// The judge reports to GoogleTest what is off; here that is no failure, unless it is anything else than too large.
template <class Body>
void unreported(const Body& body) {
  testing::TestPartResultArray reports;
  {
    const testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &reports);
    body();
  }
  for (int i = 0; i < reports.size(); ++i) {
    const std::string message = reports.GetTestPartResult(i).message();
    if (message.find("units off") == std::string::npos) refuse(message);
  }
}

/// Of one library over all regimes, and over the current one.
struct Score {
  std::unique_ptr<Peer> peer;
  int failed = 0;
  Real largest = 0;
};

std::string shown(Real error, const char* format = "%.2Lg") {
  if (std::isinf(error)) return "class";
  char text[64];
  std::snprintf(text, sizeof text, error >= 100 && error < 1e6 ? "%.0Lf" : format, error);
  return text;
}

void judge_regime(const std::string& regime, std::vector<Score>& scores, int& cases, std::ostream& csv) {
  for (Score& score : scores) score.largest = 0;
  for (const Case& c : read_cases(regime, "float")) {
    const Inputs<float> in(c);
    Tally tally;
    Judge<float> judge(c, in, regime, tally);
    for (const bool plain : {false, true}) {
      if (plain && c.is_sampled()) continue;
      ++cases;
      for (Score& score : scores) {
        tally = Tally();
        unreported([&] { judge_case(*score.peer, c, in, plain, judge); });
        Real largest = 0;
        for (const auto& [output, error] : tally.largest()) {
          largest = std::max(largest, error);
          csv << regime << ',' << c.name() << ',' << (plain ? "plain" : "weight and bias") << ',' << score.peer->name()
              << ',' << score.peer->version() << ',' << output << ',' << shown(error, "%.4Lg") << '\n';
        }
        score.failed += largest > allowed_units;
        score.largest = std::max(score.largest, largest);
      }
    }
  }
}

std::vector<Score> libraries() {
  std::vector<Score> scores;
  scores.push_back({peers::normkit_peer()});
#ifdef NORMKIT_PEER_TORCH
  scores.push_back({peers::torch_peer()});
#endif
#ifdef NORMKIT_PEER_ONEDNN
  scores.push_back({peers::onednn_peer()});
#endif
  return scores;
}

void compare(const std::vector<std::string>& chosen, std::ostream& csv) {
  std::vector<Score> scores = libraries();
  std::cout << "Largest error of any output, float, in units of the rule";
  for (const Score& score : scores) std::cout << "; " << score.peer->name() << " " << score.peer->version();
  std::printf("\n%-28s", "regime");
  for (const Score& score : scores) std::printf("%12s", score.peer->name().c_str());
  std::printf("\n");
  csv << "regime,configuration,parameters,library,version,output,error\n";
  int cases = 0;
  for (const std::string& regime : chosen) {
    judge_regime(regime, scores, cases, csv);
    std::printf("%-28s", regime.c_str());
    for (const Score& score : scores) std::printf("%12s", shown(score.largest).c_str());
    std::printf("\n");
    std::fflush(stdout);
  }
  for (const Score& score : scores)
    std::printf("%s fails %d of %d cases\n", score.peer->name().c_str(), score.failed, cases);
  std::printf(
      "Left out: oneDNN's running statistics, which it leaves to its caller.\n"
      "Rearranged: LayerNorm over a middle axis or ColMajor is given to PyTorch and oneDNN as rows.\n"
      "Mean and variance: of normkit::moments; of PyTorch's layers, and of torch::var; of oneDNN's forward "
      "training.\n");
}

}  // namespace

int main(int count, char** words) try {
  std::vector<std::string> chosen;
  std::string file;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--csv" && i + 1 < count)
      file = words[++i];
    else
      chosen.push_back(word);
  }
  std::ofstream csv;
  if (!file.empty()) {
    csv.open(file);
    if (!csv) refuse(file + " cannot be written");
  }
  compare(chosen.empty() ? regimes() : chosen, csv);
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return EXIT_FAILURE;
}
