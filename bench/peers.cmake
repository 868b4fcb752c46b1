# The libraries that normkit is measured against.
set(NORMKIT_BENCH_WHEELS "" CACHE PATH "A virtual environment with PyTorch from PyPI, instead of the system's")
if(NORMKIT_BENCH_WHEELS)
  # The wheel is built for CUDA, and its TorchConfig.cmake refuses to go without a CUDA toolkit: its CPU library itself.
  file(GLOB torch "${NORMKIT_BENCH_WHEELS}/lib/python*/site-packages/torch")
  add_library(normkit_peer_torch INTERFACE)
  target_include_directories(normkit_peer_torch SYSTEM INTERFACE "${torch}/include"
                                                                 "${torch}/include/torch/csrc/api/include")
  target_link_libraries(normkit_peer_torch INTERFACE "${torch}/lib/libtorch_cpu.so" "${torch}/lib/libc10.so"
                                                     "${torch}/lib/libgomp.so.1") # the one OpenMP of all in the process
  set(TORCH_LIBRARIES normkit_peer_torch)
  set(Torch_FOUND TRUE)
else()
  find_package(Torch QUIET)
  find_package(OpenMP QUIET COMPONENTS CXX)
endif()
find_package(dnnl QUIET)

# normkit_add_peers(target): adds <folder>/torch_peer.cpp and <folder>/onednn_peer.cpp where their library is found, and
# tells the others by NORMKIT_PEER_TORCH and NORMKIT_PEER_ONEDNN.
function(normkit_add_peers target)
  # oneDNN first: PyTorch's wheel holds headers of another oneDNN, which are not to be found before its own.
  if(dnnl_FOUND)
    target_sources(${target} PRIVATE onednn_peer.cpp)
    target_compile_definitions(${target} PRIVATE NORMKIT_PEER_ONEDNN)
    target_link_libraries(${target} PRIVATE DNNL::dnnl)
    if(OpenMP_CXX_FOUND)
      target_link_libraries(${target} PRIVATE OpenMP::OpenMP_CXX) # for the number of its threads
    endif()
  else()
    message(NOTICE "${target} goes without oneDNN (Debian: libdnnl-dev).")
  endif()
  if(Torch_FOUND)
    target_sources(${target} PRIVATE torch_peer.cpp)
    if(NOT NORMKIT_BENCH_WHEELS)
      # clang refuses the headers of PyTorch 1.13 in C++20; those of 2.15 want it.
      set_source_files_properties(torch_peer.cpp PROPERTIES COMPILE_OPTIONS -std=c++17)
    endif()
    target_compile_definitions(${target} PRIVATE NORMKIT_PEER_TORCH)
    target_link_libraries(${target} PRIVATE ${TORCH_LIBRARIES})
  else()
    message(NOTICE "${target} goes without PyTorch (Debian: libtorch-dev).")
  endif()
endfunction()
