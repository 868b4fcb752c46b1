// The threads of the peers that run on Eigen's device.
#pragma once

#ifndef EIGEN_USE_THREADS
#define EIGEN_USE_THREADS
#endif
#include <memory>

#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

namespace peers {

class Pool {
 public:
  void use(int threads) {
    device_.reset();
    pool_.reset();
    if (threads < 2) return;
    pool_ = std::make_unique<Eigen::ThreadPool>(threads);
    device_ = std::make_unique<Eigen::ThreadPoolDevice>(pool_.get(), threads);
  }
  /// Calls body(device) with the device in use.
  template <class Body>
  void with_device(const Body& body) const {
    if (device_)
      body(*device_);
    else
      body(Eigen::DefaultDevice());
  }
  const Eigen::ThreadPoolDevice* device() const { return device_.get(); }

 private:
  std::unique_ptr<Eigen::ThreadPool> pool_;
  std::unique_ptr<Eigen::ThreadPoolDevice> device_;
};

/// A row as Eigen sees it: type of tensor, and the axis that the row's first axis of interest is there.
template <class T, int Rank, int Layout>
struct EigenRow {
  using Tensor = Eigen::Tensor<T, Rank, Layout>;
  using Map = Eigen::TensorMap<Tensor>;
  static constexpr int rank = Rank, layout = Layout;

  static typename Tensor::Dimensions extents(const Row& row) {
    typename Tensor::Dimensions result;
    for (std::size_t a = 0; a < Rank; ++a) result[a] = row.extents[Layout == Eigen::RowMajor ? a : Rank - 1 - a];
    return result;
  }
  static Eigen::Index axis(const Row& row) {
    const std::size_t own = Layout == Eigen::RowMajor ? row.axis : Rank - row.axis - row.axes;
    return static_cast<Eigen::Index>(own);
  }
  static Map map(const Row& row, const Buffer<T>& buffer) { return Map(buffer.data(), extents(row)); }
};

/// Calls body(EigenRow) with the one that fits, and gives what it gives.
template <class T, class Body>
auto with_eigen_row(const Row& row, const Body& body) {
  if (row.extents.size() == 2)
    return row.column_major ? body(EigenRow<T, 2, Eigen::ColMajor>()) : body(EigenRow<T, 2, Eigen::RowMajor>());
  if (row.extents.size() != 4) throw std::runtime_error("peers: tensors of 2 or 4 axes are known");
  return row.column_major ? body(EigenRow<T, 4, Eigen::ColMajor>()) : body(EigenRow<T, 4, Eigen::RowMajor>());
}

}  // namespace peers
