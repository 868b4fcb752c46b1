// Trains the network of examples/digits on the ranks of MPI, a few images on each, three times from the same first weights: in
// one process on the whole batch; with the statistics of the whole batch on all ranks; and with each rank's own. Its hidden layer
// is normalized as well, one value for each image: two images on a rank are too few for statistics of their own.
//   mpirun -n 8 distributed_digits
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "../digits/report.hpp"
#include "train.hpp"

namespace {

using digits::Epoch;
using digits::Statistics;

struct Run {
  Statistics statistics;
  std::vector<Epoch> epochs;
};

void print_table(const std::vector<Run>& runs) {
  std::printf("%-14s %10s %14s %18s %9s\n", "statistics of", "loss", "held-out loss", "held-out accuracy", "seconds");
  for (const Run& run : runs) {
    double seconds = 0.0;
    for (const Epoch& epoch : run.epochs) seconds += epoch.seconds;
    const Epoch& last = run.epochs.back();
    std::printf("%-14s %10.4f %14.4f %16.2f %% %9.1f\n", digits::name(run.statistics), last.train_loss,
                last.held_out_loss, 100.0 * last.accuracy, seconds);
  }
}

constexpr const char* plot_script = R"gnuplot(set datafile separator comma
set terminal pngcairo size 1200,480 font "sans,11"
set output "distributed.png"
array run[3] = ["one process", "all ranks", "each rank"]
array color[3] = ["#888888", "#0060ad", "#dd5500"]
set multiplot layout 1,2
set grid ytics
set xlabel "epoch"
set xrange [0:]
set xtics 1
set key center right
set title "cross entropy in training, BatchNorm by the statistics of"
set logscale y
set format y "%g"
plot for [i=1:3] "distributed.csv" using 2:(strcol(1) eq run[i] ? $3 : NaN) \
  with linespoints linewidth (i == 1 ? 6 : 2) pointtype 7 linecolor rgb color[i] title run[i]
set title "held-out images told rightly, %"
unset logscale y
set yrange [0:102]
plot for [i=1:3] "distributed.csv" using 2:(strcol(1) eq run[i] ? 100 * $5 : NaN) \
  with linespoints linewidth (i == 1 ? 6 : 2) pointtype 7 linecolor rgb color[i] title run[i]
)gnuplot";

void save_curves(const std::filesystem::path& folder, const std::vector<Run>& runs) {
  std::string text = "statistics,epoch,loss,held_out_loss,held_out_accuracy,seconds\n";
  for (const Run& run : runs)
    for (std::size_t i = 0; i < run.epochs.size(); ++i) {
      const Epoch& epoch = run.epochs[i];
      char line[160];
      std::snprintf(line, sizeof line, "%s,%zu,%.6f,%.6f,%.6f,%.3f\n", digits::name(run.statistics), i + 1,
                    epoch.train_loss, epoch.held_out_loss, epoch.accuracy, epoch.seconds);
      text += line;
    }
  digits::write_text(folder / "distributed.csv", text);
  digits::write_text(folder / "distributed.gp", plot_script);
  std::printf("Numbers: %s\n", (folder / "distributed.csv").string().c_str());
  digits::draw(folder, "distributed");
}

struct Arguments {
  digits::Settings settings;
  Eigen::Index images = 2;
  std::string data = NORMKIT_DIGITS_CSV;
  std::filesystem::path out = "digits-out";
};

void compare(const Arguments& arguments) {
  digits::Team all(MPI_COMM_WORLD), alone(MPI_COMM_SELF);
  const digits::Split data = digits::hold_out_fifth(digits::read_csv(arguments.data));
  Eigen::ThreadPool threads(1);
  const digits::Device device(&threads, 1);
  if (all.rank() == 0) {
    std::filesystem::create_directories(arguments.out);
    std::printf("%d ranks, %td images on each; %td hand-written digits to learn from, %td held out (UCI, CC BY 4.0)\n",
                all.size(), arguments.images, data.train.size(), data.held_out.size());
  }
  digits::Settings settings = arguments.settings;
  settings.batch = arguments.images * all.size();
  if (settings.batch > data.train.size())
    throw std::runtime_error("a batch of " + std::to_string(settings.batch) + " images is more than the " +
                             std::to_string(data.train.size()) + " that there are");
  std::vector<Run> runs;
  for (const Statistics statistics : {Statistics::one_process, Statistics::all_ranks, Statistics::each_rank}) {
    const bool is_alone = statistics == Statistics::one_process;
    if (!is_alone || all.rank() == 0)
      runs.push_back({statistics, digits::train(is_alone ? alone : all, statistics, data, settings, device)});
  }
  if (all.rank() != 0) return;
  std::puts("");
  print_table(runs);
  save_curves(arguments.out, runs);
}

/// A range does not refuse it.
std::string not_nan(const std::string& text) {
  return text.find_first_of("nN") == std::string::npos ? "" : text + " is not a number";
}

}  // namespace

int main(int argc, char** argv) {
  int level = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  Arguments arguments;
  CLI::App app("Trains on hand-written digits with a BatchNorm whose batch is spread over the ranks of MPI.");
  app.add_option("--epochs", arguments.settings.epochs, "times through the images")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--rate", arguments.settings.rate, "learning rate")
      ->check(CLI::Range(1e-9, 1e3))
      ->check(not_nan)
      ->capture_default_str();
  app.add_option("--images", arguments.images, "images of a batch on each rank")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--seed", arguments.settings.seed, "of the first weights and of the order of the images")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--data", arguments.data, "the images")->capture_default_str();
  app.add_option("--out", arguments.out, "where the numbers and the picture go")->capture_default_str();
  int result = 0;
  try {
    app.parse(argc, argv);
    compare(arguments);
  } catch (const CLI::ParseError& error) {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0) result = app.exit(error);  // all ranks have the same arguments
  } catch (const std::exception& error) {
    std::fprintf(stderr, "distributed_digits: %s\n", error.what());
    MPI_Abort(MPI_COMM_WORLD, 1);  // the others may be waiting
  }
  MPI_Finalize();
  return result;
}
