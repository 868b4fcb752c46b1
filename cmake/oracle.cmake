# normkit_oracle: what is right, for tests and for bench/accuracy; GTest::gtest has to be there. It is not what is tested, so
# it is always optimized and never sanitized: under asan the oracle's million values took 73 s, of 17 without. Only msan has all
# of a program, by its preset's own flags.
if(TARGET normkit_oracle)
  return()
endif()
set(tests "${PROJECT_SOURCE_DIR}/tests")
add_library(normkit_oracle STATIC "${tests}/reference/grouping.cpp" "${tests}/reference/normalization.cpp"
                                  "${tests}/support/rule.cpp")
target_compile_features(normkit_oracle PUBLIC cxx_std_20)
target_compile_options(normkit_oracle PRIVATE ${normkit_warnings} -O2)
target_include_directories(normkit_oracle PUBLIC "${tests}")
target_link_libraries(normkit_oracle PUBLIC GTest::gtest)
