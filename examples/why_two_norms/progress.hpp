// How far a run has come: a bar on a terminal, else a line for each trial.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

namespace why {

class Progress {
 public:
  Progress(std::size_t done, std::size_t all) : done_(done), before_(done), all_(all) { show(""); }

  void advance(const std::string& what) {
    ++done_;
    show(what);
  }

 private:
  void show(const std::string& what) const {
    const double part = all_ > 0 ? static_cast<double>(done_) / static_cast<double>(all_) : 1;
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start_;
    const double left =
        done_ > before_ ? spent.count() * static_cast<double>(all_ - done_) / static_cast<double>(done_ - before_) : 0;
    if (is_terminal_) {
      constexpr std::size_t width = 40;
      const auto full = static_cast<std::size_t>(part * width);
      std::printf("\r[%s%s] %zu of %zu, %3.0f s left \033[K", std::string(full, '#').c_str(),
                  std::string(width - full, ' ').c_str(), done_, all_, left);
      if (done_ == all_) std::puts("");
    } else if (!what.empty()) {
      std::printf("%3zu of %zu, %3.0f s left   %s\n", done_, all_, left, what.c_str());
    }
    std::fflush(stdout);
  }

  std::size_t done_, before_, all_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool is_terminal_ = isatty(STDOUT_FILENO) == 1;
};

}  // namespace why
