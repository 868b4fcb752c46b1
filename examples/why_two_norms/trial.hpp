// One training: what is trained, how, and what came of it.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>

#include "../digits/tensor.hpp"

namespace why {

using Eigen::Index;

enum class Task { images, text };

/// What stands where a norm can stand. Of text, BatchNorm takes its statistics over all places of the padded batch, or over those
/// that hold text.
enum class Norm { none, batch, batch_padded, layer };

inline const char* name(Task task) { return task == Task::images ? "images" : "text"; }
inline const char* name(Norm norm) {
  constexpr std::array names{"none", "BatchNorm", "BatchNorm with padding", "LayerNorm"};
  return names[static_cast<std::size_t>(norm)];
}

struct Trial {
  Task task;
  Norm norm;
  Index batch;
  double rate;
  int epochs;
  std::uint64_t seed, data;  ///< of the weights and of the order; what stands for the data and how it is parted

  /// All that it depends on, as the first columns of its line in the journal.
  static constexpr const char* columns = "task,norm,batch,rate,epochs,seed,data";
  std::string key() const {
    char text[160];
    std::snprintf(text, sizeof text, "%s,%s,%td,%g,%d,%llu,%016llx", name(task), name(norm), batch, rate, epochs,
                  static_cast<unsigned long long>(seed), static_cast<unsigned long long>(data));
    return text;
  }
};

/// Losses are cross entropies in nats, of an image or of a character; accuracies are the share told rightly. NaN where there is none.
struct Outcome {
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();

  double train_loss = none;                         ///< of the last epoch, each batch before its step
  double loss = none, accuracy = none;              ///< held out, in evaluation
  double batch_loss = none, batch_accuracy = none;  ///< held out, by the statistics of its own batches, as in training
  double padded_loss = none;                        ///< the same, the batches padded to twice their length
  double near_loss = none,
         far_loss = none;  ///< of verses longer than any in training: as far as those went, and beyond
  double seconds = none;

  static constexpr const char* columns =
      "train_loss,loss,accuracy,batch_loss,batch_accuracy,padded_loss,near_loss,far_loss,seconds";
  std::array<double*, 9> values() {
    return {&train_loss, &loss, &accuracy, &batch_loss, &batch_accuracy, &padded_loss, &near_loss, &far_loss, &seconds};
  }
  std::array<const double*, 9> values() const {
    return {&train_loss, &loss, &accuracy, &batch_loss, &batch_accuracy, &padded_loss, &near_loss, &far_loss, &seconds};
  }
};

/// One number of many, for a key: FNV-1a, 64 bits.
class Fingerprint {
 public:
  void add(std::int64_t number) {
    for (int byte = 0; byte < 8; ++byte)
      value_ = (value_ ^ (static_cast<std::uint64_t>(number) >> (8 * byte) & 0xff)) * 0x100000001b3u;
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325u;
};

}  // namespace why
