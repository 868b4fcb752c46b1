# What normkit needs of others: Eigen for everyone, GoogleTest and Google Benchmark for its own tests and benchmarks.
# Each is looked for on the system first; if it is not there, the pinned release is fetched and checked by its hash.
# The download itself is untested, since it needs a network; what follows it is tested from sources on the disk.
include(FetchContent)

# Target Eigen3::Eigen, visible everywhere: whoever links normkit::normkit from another folder needs it too.
function(normkit_provide_eigen)
  if(TARGET Eigen3::Eigen)
    return() # the larger project has brought its own
  endif()
  # Eigen is headers only. Its own build would add hundreds of targets, hence a SOURCE_SUBDIR without any.
  FetchContent_Declare(
    Eigen3
    URL https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz
    URL_HASH SHA256=8586084f71f9bde545ee7fa6d00288b264a2b7ac3607b974e54d13e7162c1c72
    SOURCE_SUBDIR headers-only
    FIND_PACKAGE_ARGS CONFIG GLOBAL) # of any version: that of 3.4 refuses to be one of 3.4...5
  FetchContent_MakeAvailable(Eigen3)
  if(Eigen3_FOUND AND (Eigen3_VERSION VERSION_LESS 3.4 OR Eigen3_VERSION VERSION_GREATER_EQUAL 6))
    message(FATAL_ERROR "normkit needs Eigen 3.4 or 5, and found ${Eigen3_VERSION} in ${Eigen3_DIR}.")
  endif()
  if(NOT TARGET Eigen3::Eigen)
    # Imported, so that installing normkit does not install Eigen: the package asks for Eigen3 by name.
    add_library(Eigen3::Eigen INTERFACE IMPORTED GLOBAL)
    target_include_directories(Eigen3::Eigen INTERFACE "${eigen3_SOURCE_DIR}")
  endif()
endfunction()

# Targets GTest::gtest and GTest::gtest_main.
function(normkit_provide_googletest)
  set(INSTALL_GTEST OFF)
  set(BUILD_GMOCK OFF)
  FetchContent_Declare(
    googletest
    URL https://github.com/google/googletest/archive/refs/tags/release-1.12.1.tar.gz
    URL_HASH SHA256=81964fe578e9bd7c94dfdb09c8e4d6e6759e19967e397dbea48d1c10e45d0df2
    SYSTEM
    FIND_PACKAGE_ARGS 1.12 NAMES GTest)
  FetchContent_MakeAvailable(googletest)
endfunction()

# Targets benchmark::benchmark and benchmark::benchmark_main.
function(normkit_provide_benchmark)
  set(BENCHMARK_ENABLE_TESTING OFF)
  set(BENCHMARK_ENABLE_INSTALL OFF)
  FetchContent_Declare(
    benchmark
    URL https://github.com/google/benchmark/archive/refs/tags/v1.7.1.tar.gz
    URL_HASH SHA256=6430e4092653380d9dc4ccb45a1e2dc9259d581f4866dc0759713126056bc1d7
    SYSTEM
    FIND_PACKAGE_ARGS 1.7)
  FetchContent_MakeAvailable(benchmark)
endfunction()
