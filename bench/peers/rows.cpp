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

/// `batch_norm N C ...` or `layer_norm N ...`, then `axes first-last` where LayerNorm is not over the last axis, and
/// `column_major`.
Row parse(const std::string& line) {
  std::istringstream words(line);
  std::string norm, word;
  words >> norm;
  Row row{};
  row.is_batch_norm = norm == "batch_norm";
  if (!row.is_batch_norm && norm != "layer_norm") throw std::runtime_error("expected batch_norm or layer_norm");
  std::string axes;
  while (words >> word) {
    if (word == "column_major")
      row.column_major = true;
    else if (word == "axes")
      words >> axes;
    else
      row.extents.push_back(std::stoll(word));
  }
  row.axis = row.is_batch_norm ? 1 : row.extents.size() - 1;
  row.axes = 1;
  row.shape = joined(row.extents);
  if (!axes.empty()) {
    const std::size_t dash = axes.find('-');
    row.axis = std::stoul(axes);
    row.axes = std::stoul(axes.substr(dash + 1)) - row.axis + 1;
    row.shape += " over axes " + axes;
  }
  if (row.axis + row.axes > row.extents.size()) throw std::runtime_error("expected axes that are there");
  return row;
}

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
      const bool images = row.is_batch_norm && row.extents.size() > 2;
      const Row given = row;
      if (images) row.shape += " NCHW";
      if (row.column_major) row.shape += " ColMajor";
      rows.push_back(row.column_major ? reversed(row) : row);
      if (images && !row.column_major) rows.push_back(channels_last(given));
    } catch (const std::exception& error) {
      throw std::runtime_error(path.string() + ":" + std::to_string(number) + ": " + error.what());
    }
  }
  return rows;
}

}  // namespace peers
