# How normkit's own programs are compiled. None of this reaches a project that uses the library.
option(NORMKIT_WERROR "Treat the warnings of normkit's own programs as errors" OFF)
option(NORMKIT_NATIVE "Compile normkit's own programs for this machine (-march=native)" OFF)
set(NORMKIT_SANITIZE "" CACHE STRING "Sanitizers for normkit's own programs, such as address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_COMPILE_WARNING_AS_ERROR ${NORMKIT_WERROR})

set(normkit_warnings -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
add_library(normkit_developer INTERFACE)
target_link_libraries(normkit_developer INTERFACE normkit::normkit)
target_compile_options(normkit_developer INTERFACE ${normkit_warnings})
if(NORMKIT_NATIVE)
  target_compile_options(normkit_developer INTERFACE -march=native)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12 takes the "undefined" vectors of its own AVX-512 header, which Eigen's expressions in tests, examples and
    # benchmarks use, for mistakes (GCC bug 105593). The kernels' AVX-512 is held to this warning in every other build.
    target_compile_options(normkit_developer INTERFACE -Wno-maybe-uninitialized)
  endif()
endif()
if(NORMKIT_SANITIZE)
  set(sanitize -fsanitize=${NORMKIT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(normkit_developer INTERFACE ${sanitize})
  target_link_options(normkit_developer INTERFACE ${sanitize})
  target_compile_definitions(normkit_developer INTERFACE _GLIBCXX_ASSERTIONS) # what libstdc++ checks of its callers
  if(NORMKIT_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ warns that it does not follow fences, of which Eigen's pool has some: it could see a race too many, not one too few.
    target_compile_options(normkit_developer INTERFACE -Wno-tsan)
  endif()
endif()

# A program that takes its kernels from those of the tests where they are built: each alone would compile them for a minute.
function(normkit_use_instances program)
  if(TARGET normkit_instances)
    target_link_libraries(${program} PRIVATE normkit_instances)
    target_compile_definitions(${program} PRIVATE EIGEN_USE_THREADS= NORMKIT_EXTERN_TEMPLATES=)
  endif()
endfunction()
