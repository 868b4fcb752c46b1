# How a test is made. All tests share their options, so that they share one precompiled header as well.
include(GoogleTest)

add_library(normkit_test_options INTERFACE)
target_link_libraries(normkit_test_options INTERFACE normkit_developer GTest::gtest GTest::gtest_main)
target_include_directories(normkit_test_options INTERFACE "${PROJECT_SOURCE_DIR}/tests")
# Spelled as `#define EIGEN_USE_THREADS` would, so that a test may say it again.
target_compile_definitions(normkit_test_options INTERFACE EIGEN_USE_THREADS=
                                                           NORMKIT_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden")

# Eigen's tensors and GoogleTest take seconds to parse: once for all tests.
file(CONFIGURE OUTPUT precompiled.cpp CONTENT "// The owner of the tests' precompiled header.\n")
add_library(normkit_precompiled OBJECT "${CMAKE_CURRENT_BINARY_DIR}/precompiled.cpp")
target_link_libraries(normkit_precompiled PRIVATE normkit_test_options)
target_precompile_headers(normkit_precompiled PRIVATE <gtest/gtest.h> <unsupported/Eigen/CXX11/Tensor>
                          <unsupported/Eigen/CXX11/ThreadPool>)

# normkit_add_test(name LABELS label... FILES file...)
# One GoogleTest program, each of its tests known to ctest as "name.Suite.Behaviour".
function(normkit_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LABELS;FILES")
  add_executable(${name} ${arg_FILES})
  target_link_libraries(${name} PRIVATE normkit_test_options)
  target_precompile_headers(${name} REUSE_FROM normkit_precompiled)
  gtest_discover_tests(
    ${name}
    TEST_PREFIX "${name}."
    NO_PRETTY_VALUES
    PROPERTIES LABELS "${arg_LABELS}" TIMEOUT 300
    DISCOVERY_TIMEOUT 120)
endfunction()
