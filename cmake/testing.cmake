# How a test is made. All tests share their options, so that they share one precompiled header as well.
include(GoogleTest)
include(${CMAKE_CURRENT_LIST_DIR}/oracle.cmake)

add_library(normkit_test_options INTERFACE)
target_link_libraries(normkit_test_options INTERFACE normkit_developer normkit_oracle GTest::gtest_main)
# What tests add to the kernels is not worth -O2, which takes half as long again to compile.
target_compile_options(normkit_test_options INTERFACE $<$<CONFIG:Release>:-O1>)
# Spelled as `#define EIGEN_USE_THREADS` would, so that a test may say it again.
target_compile_definitions(normkit_test_options INTERFACE EIGEN_USE_THREADS=
                                                           NORMKIT_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden"
                                                           NORMKIT_ACCURACY_DIR="${PROJECT_SOURCE_DIR}/tests/accuracy")

# Eigen's tensors and GoogleTest take seconds to parse, and the kernels to compile: once for all tests.
file(CONFIGURE OUTPUT precompiled.cpp CONTENT "// The owner of the tests' precompiled header.\n")
foreach(header IN ITEMS instances instances_16bit) # twice, as tests/headers has the others
  set(include "#include <normkit/${header}.hpp>\n")
  file(CONFIGURE OUTPUT ${header}.cpp CONTENT "${include}${include}")
  add_library(normkit_${header} OBJECT "${CMAKE_CURRENT_BINARY_DIR}/${header}.cpp")
  target_link_libraries(normkit_${header} PRIVATE normkit_developer)
  target_compile_definitions(normkit_${header} PRIVATE EIGEN_USE_THREADS= NORMKIT_EXTERN_TEMPLATES=) # as of a whole target
  if(NORMKIT_SANITIZE AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # Inlined, with a check at each access, they take clang more than eight minutes, not two. The large tests are of float
    # and double.
    target_compile_options(normkit_${header} PRIVATE $<IF:$<STREQUAL:${header},instances>,-O1,-O0>)
    target_compile_definitions(normkit_${header} PRIVATE NORMKIT_PLAIN_CALLS)
  elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(normkit_${header} PRIVATE -O2)
  endif()
endforeach()

set(sets "${PROJECT_SOURCE_DIR}/tests/kernel/sets.cpp")
add_library(normkit_precompiled OBJECT "${CMAKE_CURRENT_BINARY_DIR}/precompiled.cpp" ${sets})
# Never optimized: their speed does not matter, the time to compile them does. No one else is handed their registers.
set_source_files_properties(${sets} PROPERTIES SKIP_PRECOMPILE_HEADERS ON COMPILE_OPTIONS "-O0;-ffp-contract=off;-Wno-psabi")
target_link_libraries(normkit_precompiled PUBLIC normkit_test_options)
target_compile_definitions(normkit_precompiled PUBLIC NORMKIT_EXTERN_TEMPLATES=)
target_precompile_headers(normkit_precompiled PRIVATE <gtest/gtest.h> <unsupported/Eigen/CXX11/Tensor>
                          <unsupported/Eigen/CXX11/ThreadPool>)

# normkit_add_test_program(name [HEADER_ONLY] FILES file...)
# A GoogleTest program. HEADER_ONLY: it compiles all of the library itself, as most users do.
function(normkit_add_test_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "HEADER_ONLY" "" "FILES")
  add_executable(${name} ${arg_FILES})
  if(arg_HEADER_ONLY)
    target_link_libraries(${name} PRIVATE normkit_test_options)
  else()
    target_link_libraries(${name} PRIVATE normkit_precompiled)
    target_precompile_headers(${name} REUSE_FROM normkit_precompiled)
    if(NOT name MATCHES "^(reference|simd|view)") # what is below the kernels
      target_link_libraries(${name} PRIVATE normkit_instances)
    endif()
    if(name MATCHES "^(compile_fail|contract|norm)_|sixteen_bits")
      target_link_libraries(${name} PRIVATE normkit_instances_16bit)
    endif()
  endif()
endfunction()

# normkit_add_test(name LABELS stage [HEADER_ONLY] FILES file...)
# The same, each of its tests known to ctest as "name.Suite.Behaviour".
function(normkit_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABELS" "")
  normkit_add_test_program(${name} ${arg_UNPARSED_ARGUMENTS})
  if(CMAKE_CROSSCOMPILING) # to start a program under emulation takes longer than most tests: all of them at once
    add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT 3600)
    return()
  endif()
  gtest_discover_tests(
    ${name}
    TEST_PREFIX "${name}."
    NO_PRETTY_VALUES
    PROPERTIES LABELS "${arg_LABELS}" TIMEOUT 300
    DISCOVERY_TIMEOUT 120)
endfunction()
