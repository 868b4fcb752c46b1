// normkit beside PyTorch, oneDNN, an Eigen expression and plain copies: one process, the same buffers, interleaved
// rounds, medians.
//
//   bench_peers [--rounds N] [--csv FILE] [--only TEXT] [file of rows...]
//
// In each round every library runs once, in an order that moves on by one, for at least `slice` seconds (once where a
// call takes longer), after one call that is not timed. The figure is the median of the rounds' times for one call.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>
#include <stdexcept>

#include "peer.hpp"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

using namespace peers;

constexpr double slice = 2e-3;
constexpr double slow = 0.2;  // a call of that many seconds runs in a fifth of the rounds, and none untimed

double seconds_of(const Call& call, std::int64_t calls) {
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < calls; ++i) call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void wait(double seconds) {
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds) {
  }
}

/// Tensors that are moved: each input read once, each output written once.
std::int64_t tensors_of(const Row& row, Pass pass) {
  const std::int64_t added = row.adds ? 1 : 0;
  if (pass == Pass::backward) return 3 + added;
  return 2 + added + (row.rectifies ? 0 : added);  // before a norm, the sum is an output too
}

/// One library on one row.
class Runner {
 public:
  Runner(const Peer& which, Call call) : peer(&which), call_(std::move(call)) {
    call_();
    const double once = seconds_of(call_, 1);
    const double many = once < slice ? seconds_of(call_, static_cast<std::int64_t>(slice / once) + 1) : once;
    const double each = once < slice ? many / std::floor(slice / once + 1) : once;
    calls_ = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(slice / each)));
    is_slow_ = each > slow;
  }

  void run(int round, int threads) {
    if (is_slow_ && round % 5 != 0) return;
    // The workers of an OpenMP library go on spinning for some milliseconds: they are not to disturb the next one. This
    // thread does not sleep meanwhile, which would slow its core down for the first of the calls.
    if (threads > 1) wait(10e-3);
    if (!is_slow_) call_();
    times_.push_back(seconds_of(call_, calls_) / static_cast<double>(calls_));
  }

  double median() {
    const auto middle = times_.begin() + static_cast<std::ptrdiff_t>(times_.size() / 2);
    std::nth_element(times_.begin(), middle, times_.end());
    return *middle;
  }

  const Peer* peer;

 private:
  Call call_;
  std::int64_t calls_;
  bool is_slow_;
  std::vector<double> times_;
};

struct Settings {
  int rounds = 9;
  std::string csv, only;
  std::vector<std::string> files;
};

class Benchmark {
 public:
  Benchmark(const Settings& settings, std::vector<std::unique_ptr<Peer>> libraries)
      : settings_(settings), libraries_(std::move(libraries)) {
    if (settings.csv.empty()) return;
    csv_.open(settings.csv);
    if (!csv_) throw std::runtime_error(settings.csv + " cannot be written");
    csv_ << "network,norm,shape,pass,type,threads,bytes,library,version,seconds\n";
  }

  void run(const std::vector<Row>& rows, int threads) {
    for (const auto& library : libraries_) library->use_threads(threads);
    for (const Row& row : rows) {
      run_row<float>(row, threads);
      run_row<double>(row, threads);
    }
  }

 private:
  template <class T>
  void run_row(const Row& row, int threads) {
    std::optional<Buffers<T>> buffers;
    for (const Pass pass : {Pass::train, Pass::eval, Pass::backward}) {
      if (pass == Pass::eval && row.norm != Norm::batch) continue;  // the same as in training
      const std::string type = std::is_same_v<T, float> ? "float" : "double";
      const std::string name = std::string(name_of(row.norm)) + " " + row.shape + " " + name_of(pass) + " " + type +
                               " " + std::to_string(threads);
      if (name.find(settings_.only) == std::string::npos) continue;
      if (!buffers) buffers.emplace(row);
      std::vector<Runner> runners;
      for (const auto& library : libraries_)
        if (Call call = library->call(row, pass, *buffers)) runners.emplace_back(*library, std::move(call));
      for (int round = 0; round < settings_.rounds; ++round)
        for (std::size_t i = 0; i < runners.size(); ++i)
          runners[(i + static_cast<std::size_t>(round)) % runners.size()].run(round, threads);
      report(row, pass, type, threads, static_cast<std::int64_t>(sizeof(T)), name, runners);
    }
  }

  void report(const Row& row, Pass pass, const std::string& type, int threads, std::int64_t element_bytes,
              const std::string& name, std::vector<Runner>& runners) {
    std::printf("%s\n", name.c_str());
    for (Runner& runner : runners) {
      const double seconds = runner.median();
      const std::int64_t bytes = row.size() * runner.peer->element_bytes(element_bytes) * tensors_of(row, pass);
      std::printf("  %-18s %12.3f us %8.2f GB/s\n", runner.peer->name().c_str(), seconds * 1e6,
                  static_cast<double>(bytes) / seconds * 1e-9);
      csv_ << row.network << ',' << name_of(row.norm) << ",\"" << row.shape << "\"," << name_of(pass) << ',' << type
           << ',' << threads << ',' << bytes << ",\"" << runner.peer->name() << "\"," << runner.peer->version() << ','
           << seconds << '\n';
    }
    std::fflush(stdout);
  }

  const Settings& settings_;
  std::vector<std::unique_ptr<Peer>> libraries_;
  std::ofstream csv_;
};

std::vector<std::unique_ptr<Peer>> all_libraries() {
  std::vector<std::unique_ptr<Peer>> all;
  all.push_back(normkit_peer());
  all.push_back(normkit_bfloat16_peer());
  all.push_back(normkit_half_peer());
  all.push_back(normkit_parts_peer());
#ifdef NORMKIT_PEER_TORCH
  all.push_back(torch_peer());
#endif
#ifdef NORMKIT_PEER_ONEDNN
  all.push_back(onednn_peer());
  all.push_back(onednn_blocked_peer());
#endif
  all.push_back(eigen_peer());
  all.push_back(memcpy_peer());
  if (auto streaming = streaming_peer()) all.push_back(std::move(streaming));
  return all;
}

Settings settings_from(int count, char** words) {
  Settings settings;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const auto value = [&] {
      if (++i == count) throw std::runtime_error(word + " wants a value");
      return std::string(words[i]);
    };
    if (word == "--rounds")
      settings.rounds = std::max(1, std::stoi(value()));
    else if (word == "--csv")
      settings.csv = value();
    else if (word == "--only")
      settings.only = value();
    else
      settings.files.push_back(word);
  }
  if (settings.files.empty())
    for (const auto& entry : std::filesystem::directory_iterator(NORMKIT_ROWS_DIR))
      settings.files.push_back(entry.path());
  std::sort(settings.files.begin(), settings.files.end());
  return settings;
}

}  // namespace

int main(int count, char** words) try {
#if defined(__GLIBC__)
  mallopt(M_MMAP_MAX, 0);  // what is freed stays in the process: no library pays for page faults
  mallopt(M_TRIM_THRESHOLD, -1);
#endif
  const Settings settings = settings_from(count, words);
  Benchmark benchmark(settings, all_libraries());
  for (const int threads : {1, 2})
    for (const std::string& file : settings.files) benchmark.run(read_rows(file), threads);
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return EXIT_FAILURE;
}
