// The table: means over the seeds, and how far these lie apart.
#pragma once

#include <algorithm>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "journal.hpp"
#include "trial.hpp"

namespace why {

/// A number of several seeds.
struct Spread {
  double sum = 0.0, least = std::numeric_limits<double>::infinity(), most = -least;
  int count = 0;

  void add(double value) {
    sum += value;
    least = std::min(least, value);
    most = std::max(most, value);
    ++count;
  }
  double mean() const { return sum / count; }
};

struct Plan {
  std::vector<Index> batches;
  std::vector<double> rates;
  std::vector<Norm> norms;
  int epochs, seeds;
  Task task;
  std::uint64_t data;  // its fingerprint

  Trial trial(Norm norm, Index batch, double rate, int seed) const {
    return {task, norm, batch, rate, epochs, static_cast<std::uint64_t>(seed), data};
  }
  std::vector<Trial> trials() const {
    std::vector<Trial> all;
    for (int seed = 1; seed <= seeds; ++seed)
      for (const Index batch : batches)
        for (const double rate : rates)
          for (const Norm norm : norms) all.push_back(trial(norm, batch, rate, seed));
    return all;
  }
  Spread spread(const Journal& journal, Norm norm, Index batch, double rate, double Outcome::*what) const {
    Spread spread;
    for (int seed = 1; seed <= seeds; ++seed)
      if (const Outcome* outcome = journal.find(trial(norm, batch, rate, seed))) spread.add(outcome->*what);
    return spread;
  }
  /// The rate at which the held-out loss is least.
  double best_rate(const Journal& journal, Norm norm, Index batch) const {
    return *std::ranges::min_element(rates, {}, [&](double rate) {
      const double loss = spread(journal, norm, batch, rate, &Outcome::loss).mean();
      return loss == loss ? loss : std::numeric_limits<double>::infinity();
    });
  }
};

/// Share of held-out images told rightly in evaluation, by batch size and learning rate.
inline void print_images(const Plan& plan, const Journal& journal) {
  std::printf("\nimages: held-out digits told rightly after %d epochs, %%, mean (least to most) of %d seeds\n",
              plan.epochs, plan.seeds);
  std::printf("%5s %7s", "batch", "rate");
  for (const Norm norm : plan.norms) std::printf("   %-22s", name(norm));
  std::puts("");
  for (const Index batch : plan.batches)
    for (const double rate : plan.rates) {
      std::printf("%5td %7g", batch, rate);
      for (const Norm norm : plan.norms) {
        const Spread right = plan.spread(journal, norm, batch, rate, &Outcome::accuracy);
        std::printf("   %5.1f (%5.1f to %5.1f)  ", 100 * right.mean(), 100 * right.least, 100 * right.most);
      }
      std::puts("");
    }
}

/// The same at the best rate of each norm and batch size, in evaluation and by the statistics of the batch.
inline void print_images_by_batch(const Plan& plan, const Journal& journal) {
  std::printf("\nimages: the same at the best rate, judged by the statistics of its own batch\n%5s", "batch");
  for (const Norm norm : plan.norms) std::printf("   %-22s", name(norm));
  std::puts("");
  for (const Index batch : plan.batches) {
    std::printf("%5td", batch);
    for (const Norm norm : plan.norms) {
      const double rate = plan.best_rate(journal, norm, batch);
      const Spread right = plan.spread(journal, norm, batch, rate, &Outcome::batch_accuracy);
      std::printf("   %5.1f (at rate %-6g)   ", 100 * right.mean(), rate);
    }
    std::puts("");
  }
}

/// Losses of text at the best rate of each norm and batch size.
inline void print_text(const Plan& plan, const Journal& journal) {
  std::printf(
      "\ntext: loss of a held-out character after %d epochs, nats, at the best rate, mean (least to most) of %d "
      "seeds\n",
      plan.epochs, plan.seeds);
  std::printf("%5s  %-22s %6s  %-22s %9s %9s %9s %9s\n", "batch", "norm", "rate", "in evaluation", "by batch", "padded",
              "long near", "long far");
  for (const Index batch : plan.batches)
    for (const Norm norm : plan.norms) {
      const double rate = plan.best_rate(journal, norm, batch);
      const auto of = [&](double Outcome::*what) { return plan.spread(journal, norm, batch, rate, what); };
      const Spread loss = of(&Outcome::loss);
      std::printf("%5td  %-22s %6g  %.3f (%.3f to %.3f) %9.3f %9.3f %9.3f %9.3f\n", batch, name(norm), rate,
                  loss.mean(), loss.least, loss.most, of(&Outcome::batch_loss).mean(), of(&Outcome::padded_loss).mean(),
                  of(&Outcome::near_loss).mean(), of(&Outcome::far_loss).mean());
    }
}

}  // namespace why
