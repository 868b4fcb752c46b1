// Why there are two norms: many small trainings of two kinds, without a norm, with BatchNorm and with LayerNorm.
//   images: the digits network, at several learning rates and batch sizes
//   text:   a causal model of characters on verses of different length, with the padding in BatchNorm's statistics and without
// docs/why-two-norms.md shows what came of it.
//
//   trial.hpp     one training, and what is measured       images.hpp, text.hpp    how each kind is done
//   verses.hpp    the text, in padded batches              text_network.hpp        the model of characters
//   journal.hpp   what is done already                     progress.hpp, report.hpp, draw.py   what is shown
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "images.hpp"
#include "journal.hpp"
#include "progress.hpp"
#include "report.hpp"
#include "text.hpp"

namespace {

using namespace why;

struct Arguments {
  bool quick = false;
  int seeds = 3, threads = 2;
  std::string digits = NORMKIT_DIGITS_CSV, verses = NORMKIT_VERSES_TXT;
  std::filesystem::path out = "why-two-norms-out";
};

struct Data {
  digits::Split images;
  Verses verses;
};

Data read_data(const Arguments& arguments) {
  Data data{digits::hold_out_fifth(digits::read_csv(arguments.digits)), split_verses(read_verses(arguments.verses))};
  std::printf(
      "%td digits to learn from, %td held out; %zu verses of at most %zu characters to learn from, %zu held out, %zu "
      "long ones\n",
      data.images.train.size(), data.images.held_out.size(), data.verses.train.size(), Verses::longest - 1,
      data.verses.held_out.size(), data.verses.longer.size());
  return data;
}

struct Plans {
  Plan images, text;
};

/// `quick`: one small one of each, to see that all of it works.
Plans plans(const Arguments& arguments, const Data& data) {
  Plans all{.images = {.batches = {2, 16, 256},
                       .rates = {0.0005, 0.002, 0.01, 0.05, 0.2, 0.8},
                       .norms = {Norm::none, Norm::batch, Norm::layer},
                       .epochs = 10,
                       .seeds = arguments.seeds,
                       .task = Task::images,
                       .data = fingerprint(data.images)},
            .text = {.batches = {1, 4, 16},
                     .rates = {0.001, 0.003, 0.01, 0.03},
                     .norms = {Norm::none, Norm::batch, Norm::batch_padded, Norm::layer},
                     .epochs = 3,
                     .seeds = arguments.seeds,
                     .task = Task::text,
                     .data = fingerprint(data.verses)}};
  for (Plan* plan : {&all.images, &all.text})
    if (arguments.quick) plan->batches = {16}, plan->rates = {0.01}, plan->epochs = plan->seeds = 1;
  return all;
}

/// Does the trials, each on one thread, so many at a time, and notes what came of them.
class Crew {
 public:
  Crew(const std::vector<Trial>& left, std::size_t done, const Data& data, Journal& journal)
      : left_(left), data_(data), journal_(journal), progress_(done, done + left.size()) {}

  void run(int threads) {
    {
      std::vector<std::jthread> workers;
      try {
        for (int t = 0; t < threads; ++t) workers.emplace_back([this] { work(); });
      } catch (...) {
        stop(std::current_exception());
      }
    }
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void work() {
    try {
      Eigen::ThreadPool thread(1);
      const digits::Device device(&thread, 1);
      for (std::size_t i = next_++; i < left_.size(); i = next_++) note(left_[i], outcome_of(left_[i], device));
    } catch (...) {
      stop(std::current_exception());
    }
  }
  Outcome outcome_of(const Trial& trial, const digits::Device& device) const {
    const auto start = std::chrono::steady_clock::now();
    Outcome outcome =
        trial.task == Task::images ? train_images(trial, data_.images, device) : train_text(trial, data_.verses);
    outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return outcome;
  }
  void note(const Trial& trial, const Outcome& outcome) {
    const std::scoped_lock lock(mutex_);
    journal_.add(trial, outcome);
    char line[160];
    std::snprintf(line, sizeof line, "%s, batch %td, rate %g, seed %llu, %s: held-out loss %.4f, right %.1f %%",
                  name(trial.task), trial.batch, trial.rate, static_cast<unsigned long long>(trial.seed),
                  name(trial.norm), outcome.loss, 100 * outcome.accuracy);
    progress_.advance(line);
  }
  /// The others end what they are at; the first failure is told.
  void stop(std::exception_ptr failure) {
    const std::scoped_lock lock(mutex_);
    if (!failure_) failure_ = std::move(failure);
    next_ = left_.size();
  }

  const std::vector<Trial>& left_;
  const Data& data_;
  std::atomic<std::size_t> next_{0};
  std::mutex mutex_;  // of what follows
  Journal& journal_;
  Progress progress_;
  std::exception_ptr failure_;
};

void compare(const Arguments& arguments) {
  std::filesystem::create_directories(arguments.out);
  Journal journal(arguments.out / "trials.csv");
  const Data data = read_data(arguments);
  const auto [images, text] = plans(arguments, data);
  std::vector<Trial> left;
  std::size_t all = 0;
  for (const Plan& plan : {images, text})
    for (const Trial& trial : plan.trials()) {
      ++all;
      if (!journal.find(trial)) left.push_back(trial);
    }
  if (left.size() < all) std::printf("%zu of %zu trainings were done before\n", all - left.size(), all);
  Crew(left, all - left.size(), data, journal).run(arguments.threads);
  print_images(images, journal);
  print_images_by_batch(images, journal);
  print_text(text, journal);
  std::printf("\nNumbers: %s\n", (arguments.out / "trials.csv").string().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Trains small networks on images and on text, without a norm, with BatchNorm and with LayerNorm. A run that was "
      "broken off goes on where it was.");
  app.add_flag("--quick", arguments.quick, "a training of each kind, to see that all works");
  app.add_option("--seeds", arguments.seeds, "of weights and order, for each setting")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--threads", arguments.threads, "trainings at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--digits", arguments.digits, "the images")->capture_default_str();
  app.add_option("--verses", arguments.verses, "the text")->capture_default_str();
  app.add_option("--out", arguments.out, "where the numbers go")->capture_default_str();
  try {
    app.parse(argc, argv);
    compare(arguments);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "why_two_norms: %s\n", error.what());
    return 1;
  }
}
