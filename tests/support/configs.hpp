// What typed tests run over: scalar x layout x device.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

namespace support {

/// The calling thread.
struct Alone {
  Eigen::DefaultDevice device;
};

/// A pool of three threads, more than most machines that test this have to spare.
struct Pooled {
  Eigen::ThreadPool threads{3};
  Eigen::ThreadPoolDevice device{&threads, 3};
};

template <class ScalarType, int layout_order, class Where = Alone>
struct Config {
  using Scalar = ScalarType;
  static constexpr int layout = layout_order;
  using Device = Where;
  template <int Rank>
  using Tensor = Eigen::Tensor<Scalar, Rank, layout>;
};

using ScalarsAndLayouts = ::testing::Types<Config<float, Eigen::RowMajor>, Config<float, Eigen::ColMajor>,
                                           Config<double, Eigen::RowMajor>, Config<double, Eigen::ColMajor>>;

using ScalarsLayoutsAndDevices =
    ::testing::Types<Config<float, Eigen::RowMajor, Alone>, Config<float, Eigen::RowMajor, Pooled>,
                     Config<float, Eigen::ColMajor, Alone>, Config<float, Eigen::ColMajor, Pooled>,
                     Config<double, Eigen::RowMajor, Alone>, Config<double, Eigen::RowMajor, Pooled>,
                     Config<double, Eigen::ColMajor, Alone>, Config<double, Eigen::ColMajor, Pooled>>;

using Scalars = ::testing::Types<float, double>;

/// How GoogleTest names the types: float_RowMajor_Pooled.
struct ConfigName {
  template <class C>
  static std::string GetName(int) {
    using S = typename C::Scalar;
    std::string name(std::is_same_v<S, float>         ? "float"
                     : std::is_same_v<S, double>      ? "double"
                     : std::is_same_v<S, Eigen::half> ? "half"
                                                      : "bfloat16");  // g++ 12 warns of + (bug 105329)
    name += C::layout == Eigen::RowMajor ? "_RowMajor" : "_ColMajor";
    name += std::is_same_v<typename C::Device, Alone> ? "" : "_Pooled";
    return name;
  }
};

}  // namespace support
