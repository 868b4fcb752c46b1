// Trains one small convolutional network three times on real hand-written digits, from the same first weights and with
// the same learning rate: without normalization, with BatchNorm and with LayerNorm behind each convolution.
//
//   data.hpp     the images, and the fifth that is held out      layers.hpp   Normalize (normkit), Conv3x3, Relu, Dense
//   network.hpp  the layers in their order, and the loss         train.hpp    gradient descent, one line an epoch
//   report.hpp   table and picture                               tensor.hpp, random.hpp   what all of them use
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "data.hpp"
#include "report.hpp"
#include "train.hpp"

namespace {

constexpr const char* usage =
    "usage: digits [--epochs N] [--rate R] [--seed N] [--data FILE] [--out FOLDER]\n"
    "  --epochs N    times through the images, 1 to 1000 (12)\n"
    "  --rate R      learning rate (0.02; at 0.2 the network without a norm no longer learns)\n"
    "  --seed N      of the first weights and of the order of the images (1)\n"
    "  --data FILE   the images (those of examples/data)\n"
    "  --out FOLDER  where the numbers and the picture go (digits-out)\n";

struct Arguments {
  digits::Settings settings;
  std::string data = NORMKIT_DIGITS_CSV;
  std::filesystem::path out = "digits-out";
  bool help = false;
};

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class Number>
Number parse(const std::string& option, const std::string& text, Number least, Number most) {
  std::istringstream stream(text);
  Number value{};
  if (text.starts_with('-') || !(stream >> value) || !stream.eof() || !(value >= least && value <= most))
    throw UsageError(option + " does not take '" + text + "'");
  return value;
}

Arguments read_arguments(const std::vector<std::string>& words) {
  Arguments arguments;
  for (auto word = words.begin(); word != words.end(); ++word) {
    const std::string& option = *word;
    if (option == "--help" || option == "-h") {
      arguments.help = true;
      return arguments;
    }
    const auto value = [&]() -> const std::string& {
      if (++word == words.end()) throw UsageError(option + " needs a value");
      return *word;
    };
    if (option == "--epochs")
      arguments.settings.epochs = parse(option, value(), 1, 1000);
    else if (option == "--rate")
      arguments.settings.rate = parse(option, value(), 1e-9f, 1e3f);
    else if (option == "--seed")
      arguments.settings.seed = parse(option, value(), std::uint64_t{0}, ~std::uint64_t{0});
    else if (option == "--data")
      arguments.data = value();
    else if (option == "--out")
      arguments.out = value();
    else
      throw UsageError("unknown argument '" + option + "'");
  }
  return arguments;
}

void compare(const Arguments& arguments) {
  using digits::Norm;
  const digits::Split data = digits::hold_out_fifth(digits::read_csv(arguments.data));
  std::filesystem::create_directories(arguments.out);  // now, so that a mistake in its name shows before the training
  std::printf("%td hand-written digits of 8 x 8 to learn from, %td held out (UCI, CC BY 4.0)\n", data.train.size(),
              data.held_out.size());
  Eigen::ThreadPool threads(2);
  const digits::Device device(&threads, 2);
  std::vector<digits::Run> runs;
  for (const Norm norm : {Norm::none, Norm::batch, Norm::layer}) {
    std::puts("");
    runs.push_back({norm, digits::train(norm, data, arguments.settings, device)});
  }
  std::puts("");
  digits::print_table(runs, data.held_out.size());
  digits::save_curves(arguments.out, runs);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Arguments arguments = read_arguments({argv + 1, argv + argc});
    if (arguments.help)
      std::fputs(usage, stdout);
    else
      compare(arguments);
    return 0;
  } catch (const UsageError& error) {
    std::fprintf(stderr, "digits: %s\n%s", error.what(), usage);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "digits: %s\n", error.what());
    return 1;
  }
}
