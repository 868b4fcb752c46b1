#include "rows.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace peers {
namespace {

std::string joined(const Extents& extents) {
  std::string text;
  for (const std::int64_t extent : extents) text += (text.empty() ? "" : "x") + std::to_string(extent);
  return text;
}

Norm norm_of(const std::string& word) {
  if (word == "batch_norm") return Norm::batch;
  if (word == "instance_norm") return Norm::instance;
  if (word == "group_norm") return Norm::group;
  if (word == "layer_norm") return Norm::layer;
  if (word == "rms_norm") return Norm::rms;
  throw std::runtime_error("expected batch_norm, instance_norm, group_norm, layer_norm or rms_norm");
}

/// `batch_norm N C ...`, `instance_norm N C ...`, `group_norm N C ... groups G`, `layer_norm N ...` or `rms_norm N ...`, then
/// `axes first-last` where one of the latter two is not over the last axis, `column_major`, and what is fused with the
/// norm: `relu` or `add relu` behind a batch_norm, `add` before one of the latter two.
Row parse(const std::string& line) {
  std::istringstream words(line);
  std::string norm, word;
  words >> norm;
  Row row{};
  row.norm = norm_of(norm);
  std::string axes;
  while (words >> word) {
    if (word == "column_major")
      row.column_major = true;
    else if (word == "add")
      row.adds = true;
    else if (word == "relu")
      row.rectifies = true;
    else if (word == "axes")
      words >> axes;
    else if (word == "groups")
      words >> row.groups;
    else
      row.extents.push_back(std::stoll(word));
  }
  row.axis = row.has_channels() ? 1 : row.extents.size() - 1;
  row.axes = 1;
  row.shape = joined(row.extents);
  if (row.norm == Norm::instance) row.groups = row.extents.at(1);
  if (row.norm == Norm::group) row.shape += " in " + std::to_string(row.groups);
  if (!axes.empty()) {
    const std::size_t dash = axes.find('-');
    row.axis = std::stoul(axes);
    row.axes = std::stoul(axes.substr(dash + 1)) - row.axis + 1;
    row.shape += " over axes " + axes;
  }
  if (row.axis + row.axes > row.extents.size()) throw std::runtime_error("expected axes that are there");
  if (row.rectifies ? row.norm != Norm::batch : row.adds && row.has_channels())
    throw std::runtime_error("expected relu or add relu of batch_norm alone, add of layer_norm and rms_norm alone");
  return row;
}

std::string fusion_of(const Row& row) { return std::string(row.adds ? ", add" : "") + (row.rectifies ? ", ReLU" : ""); }

Row channels_last(Row row) {
  std::rotate(row.extents.begin() + 1, row.extents.begin() + 2, row.extents.end());
  row.axis = row.extents.size() - 1;
  row.shape += " NHWC";
  return row;
}

Row reversed(Row row) {
  std::reverse(row.extents.begin(), row.extents.end());
  row.axis = row.extents.size() - row.axis - row.axes;
  return row;
}

}  // namespace

std::vector<Row> read_rows(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path.string() + " cannot be read");
  std::vector<Row> rows;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line.front() == '#') continue;
    try {
      Row row = parse(line);
      row.network = path.stem().string();
      const bool images = row.has_channels() && row.extents.size() > 2;
      const Row given = row;
      if (images) row.shape += " NCHW";
      if (row.column_major) row.shape += " ColMajor";
      rows.push_back(row.column_major ? reversed(row) : row);
      rows.back().shape += fusion_of(row);
      if (!images || row.column_major) continue;
      rows.push_back(channels_last(given));
      rows.back().shape += fusion_of(row);
    } catch (const std::exception& error) {
      throw std::runtime_error(path.string() + ":" + std::to_string(number) + ": " + error.what());
    }
  }
  return rows;
}

}  // namespace peers
