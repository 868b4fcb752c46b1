// The bits of every case, compared with the committed list. A program of its own, without a test framework, so that it can
// be built by any compiler at any optimization level and for any machine.
//   bits LIST           compares, on every instruction set and alignment, and on 1 to 64 threads
//   bits LIST THREADS   the same on that number of threads alone, for an emulated machine, which takes minutes for each
//   bits --print        prints the list
#define EIGEN_USE_THREADS
#include "bits/cases.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace {

std::map<std::string, std::string> read_list(const char* path) {
  std::map<std::string, std::string> list;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (!line.empty() && line[0] != '#') list[line.substr(0, line.rfind(' '))] = line.substr(line.rfind(' ') + 1);
  return list;
}

std::string text_of(std::uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

int failures = 0;

void expect(const std::string& expected, std::uint64_t hash, const std::string& name, const std::string& how) {
  if (text_of(hash) == expected) return;
  ++failures;
  std::printf("%s, %s: expected %s, got %s\n", name.c_str(), how.c_str(), expected.c_str(), text_of(hash).c_str());
}

const char* name_of(normkit::Isa isa) {
  return isa == normkit::Isa::avx512 ? "AVX-512" : isa == normkit::Isa::avx2 ? "AVX2" : "the baseline set";
}

/// A row of a LayerNorm has the same bits alone as in a batch of any size.
template <class T>
void compare_rows_alone() {
  const Eigen::Index rows = 37, features = 77;
  std::vector<T> x = bits::numbers<T>(rows * features, 5, bits::Data::ordinary), together(x.size()), alone(x.size());
  using Map = Eigen::TensorMap<Eigen::Tensor<T, 2, Eigen::RowMajor>>;
  normkit::LayerNorm<T> norm(features);
  norm.forward(Map(x.data(), rows, features), Map(together.data(), rows, features));
  for (Eigen::Index r = 0; r < rows; ++r)
    norm.forward(Map(x.data() + r * features, 1, features), Map(alone.data() + r * features, 1, features));
  if (std::memcmp(together.data(), alone.data(), x.size() * sizeof(T)) != 0) {
    ++failures;
    std::puts("LayerNorm: a row alone has other bits than in a batch");
  }
}

int compare(const char* path, const std::vector<int>& all_threads) {
  const auto list = read_list(path);
  const auto cases = bits::all_cases();
  if (list.size() != cases.size()) {
    std::printf("%zu cases, and %zu in the list\n", cases.size(), list.size());
    return 1;
  }
  const auto expected = [&](const bits::Case& c) {
    const auto found = list.find(c.name);
    return found == list.end() ? std::string("a line in the list") : found->second;
  };
  for (const auto cap : {normkit::Isa::baseline, normkit::Isa::avx2, normkit::Isa::avx512}) {
    if (normkit::max_isa(cap) != cap) {
      std::printf("not on this CPU: %s\n", name_of(cap));
      continue;
    }
    std::printf("on %s\n", name_of(cap));
    for (const bits::Case& c : cases)
      for (const Eigen::Index shift : {0, 1, 3}) expect(expected(c), c.hash(nullptr, shift), c.name, name_of(cap));
  }
  for (const int threads : all_threads) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    for (const bits::Case& c : cases)
      expect(expected(c), c.hash(&device, 0), c.name, std::to_string(threads) + " threads");
  }
  compare_rows_alone<float>();
  compare_rows_alone<double>();
  std::printf("%zu cases, %d differences\n", cases.size(), failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2 && count != 3) return std::puts("usage: bits LIST [THREADS] | --print"), 2;
  if (count == 3) return compare(arguments[1], {std::atoi(arguments[2])});
  if (std::strcmp(arguments[1], "--print") != 0) return compare(arguments[1], {1, 2, 3, 8, 64});
  for (const bits::Case& c : bits::all_cases())
    std::printf("%s %s\n", c.name.c_str(), text_of(c.hash(nullptr, 0)).c_str());
}
