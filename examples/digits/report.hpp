// What is shown and kept at the end: a table, the numbers as CSV, and a picture of the curves where gnuplot is
// installed.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "network.hpp"
#include "train.hpp"

namespace digits {

/// One of the trainings that are compared.
struct Run {
  Norm norm;
  std::vector<Epoch> epochs;
};

inline void print_table(const std::vector<Run>& runs, Index held_out) {
  constexpr double good = 0.97;
  std::printf("%-10s %10s %14s %18s %13s %9s\n", "norm", "loss", "held-out loss", "held-out accuracy", "97 % in epoch",
              "seconds");
  for (const Run& run : runs) {
    double seconds = 0.0;
    for (const Epoch& epoch : run.epochs) seconds += epoch.seconds;
    const auto reached =
        std::find_if(run.epochs.begin(), run.epochs.end(), [](const Epoch& epoch) { return epoch.accuracy >= good; });
    const std::string when = reached == run.epochs.end() ? "-" : std::to_string(reached - run.epochs.begin() + 1);
    const Epoch& last = run.epochs.back();
    std::printf("%-10s %10.4f %14.4f %16.2f %% %13s %9.1f\n", name(run.norm), last.train_loss, last.held_out_loss,
                100.0 * last.accuracy, when.c_str(), seconds);
  }
  std::printf("One held-out image more or less is %.2f %%.\n", 100.0 / static_cast<double>(held_out));
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path);
  file << text << std::flush;
  if (!file) throw std::runtime_error(path.string() + ": cannot be written");
}

inline void write_csv(const std::filesystem::path& path, const std::vector<Run>& runs) {
  std::string text = "norm,epoch,loss,held_out_loss,held_out_accuracy,seconds\n";
  for (const Run& run : runs)
    for (std::size_t i = 0; i < run.epochs.size(); ++i) {
      const Epoch& epoch = run.epochs[i];
      char line[160];
      std::snprintf(line, sizeof line, "%s,%zu,%.6f,%.6f,%.6f,%.3f\n", name(run.norm), i + 1, epoch.train_loss,
                    epoch.held_out_loss, epoch.accuracy, epoch.seconds);
      text += line;
    }
  write_text(path, text);
}

/// Makes loss.png of loss.csv, both in the folder that it is run in.
inline constexpr const char* plot_script = R"gnuplot(set datafile separator comma
set terminal pngcairo size 1200,480 font "sans,11"
set output "loss.png"
norms = "none BatchNorm LayerNorm"
array color[3] = ["#888888", "#0060ad", "#dd5500"]
set multiplot layout 1,2
set grid ytics
set xlabel "epoch"
set xrange [0:]
set logscale y
set format y "%g"
set title "cross entropy in training"
plot for [i=1:3] "loss.csv" using 2:(strcol(1) eq word(norms, i) ? $3 : NaN) \
  with linespoints linewidth 2 pointtype 7 linecolor rgb color[i] title word(norms, i)
set title "cross entropy on the held-out images"
plot for [i=1:3] "loss.csv" using 2:(strcol(1) eq word(norms, i) ? $4 : NaN) \
  with linespoints linewidth 2 pointtype 7 linecolor rgb color[i] title word(norms, i)
)gnuplot";

/// Runs a script of gnuplot, `name`.gp, that makes `name`.png in its folder.
inline void draw(const std::filesystem::path& folder, const std::string& name) {
  if (std::system("command -v gnuplot >/dev/null 2>&1") != 0) {
    std::printf("No picture, as gnuplot is not installed (Debian: gnuplot-nox). With it: cd %s && gnuplot %s.gp\n",
                folder.string().c_str(), name.c_str());
    return;
  }
  const std::filesystem::path here = std::filesystem::current_path();
  std::filesystem::current_path(folder);  // so that no name of a folder needs quoting for the shell
  const bool drawn = std::system(("gnuplot " + name + ".gp").c_str()) == 0;
  std::filesystem::current_path(here);
  if (drawn)
    std::printf("Picture: %s\n", (folder / (name + ".png")).string().c_str());
  else
    std::printf("No picture: gnuplot failed, as it says above.\n");
}

/// Writes loss.csv and loss.gp into `folder`, which exists, and loss.png if gnuplot is at hand.
inline void save_curves(const std::filesystem::path& folder, const std::vector<Run>& runs) {
  write_csv(folder / "loss.csv", runs);
  write_text(folder / "loss.gp", plot_script);
  std::printf("Numbers: %s\n", (folder / "loss.csv").string().c_str());
  draw(folder, "loss");
}

}  // namespace digits
