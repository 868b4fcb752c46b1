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

/// `quick`: one small one of each, to see that all of it works.
std::vector<Plan> plans(const Arguments& arguments) {
  Plan images{{2, 8, 32, 256}, {0.002, 0.01, 0.05, 0.2}, {Norm::none, Norm::batch, Norm::layer}, 10, arguments.seeds,
              Task::images};
  Plan text{{1, 4, 16}, {0.003, 0.01, 0.03}, {Norm::none, Norm::batch, Norm::batch_padded, Norm::layer},
            3,          arguments.seeds,     Task::text};
  for (Plan* plan : {&images, &text})
    if (arguments.quick) plan->batches = {16}, plan->rates = {0.01}, plan->epochs = plan->seeds = 1;
  return {images, text};
}

/// Does the trials that the journal does not have, each on one thread, so many at a time.
void run(const std::vector<Trial>& trials, Journal& journal, const Arguments& arguments) {
  const digits::Split images = digits::hold_out_fifth(digits::read_csv(arguments.digits));
  const Verses verses = split_verses(read_verses(arguments.verses));
  std::printf(
      "%td digits to learn from, %td held out; %zu verses of at most %zu characters to learn from, %zu held out, %zu "
      "longer ones\n",
      images.train.size(), images.held_out.size(), verses.train.size(), Verses::longest, verses.held_out.size(),
      verses.longer.size());
  std::vector<Trial> left;
  for (const Trial& trial : trials)
    if (!journal.find(trial)) left.push_back(trial);
  if (left.size() < trials.size())
    std::printf("%zu of %zu trainings were done before\n", trials.size() - left.size(), trials.size());
  Progress progress(trials.size() - left.size(), trials.size());

  std::mutex mutex;  // of the journal, the progress and the failure
  std::exception_ptr failure;
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    Eigen::ThreadPool thread(1);
    const digits::Device device(&thread, 1);
    for (std::size_t i = next++; i < left.size(); i = next++) {
      try {
        const auto start = std::chrono::steady_clock::now();
        Outcome outcome =
            left[i].task == Task::images ? train_images(left[i], images, device) : train_text(left[i], verses);
        outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        const std::scoped_lock lock(mutex);
        journal.add(left[i], outcome);
        char line[160];
        std::snprintf(line, sizeof line, "%s: held-out loss %.4f, right %.1f %%", left[i].key().c_str(), outcome.loss,
                      100 * outcome.accuracy);
        progress.advance(line);
      } catch (...) {
        const std::scoped_lock lock(mutex);
        failure = std::current_exception();
        next = left.size();
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int t = 0; t < arguments.threads; ++t) workers.emplace_back(work);
  }
  if (failure) std::rethrow_exception(failure);
}

void compare(const Arguments& arguments) {
  std::filesystem::create_directories(arguments.out);
  Journal journal(arguments.out / "trials.csv");
  const std::vector<Plan> all = plans(arguments);
  std::vector<Trial> trials;
  for (const Plan& plan : all)
    for (const Trial& trial : plan.trials()) trials.push_back(trial);
  run(trials, journal, arguments);
  print_images(all[0], journal);
  print_images_by_batch(all[0], journal);
  print_text(all[1], journal);
  std::printf("\nNumbers: %s\n", (arguments.out / "trials.csv").string().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Trains small networks on images and on text, without a norm, with BatchNorm and with LayerNorm. A run that was "
      "broken off "
      "goes on where it was.");
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
