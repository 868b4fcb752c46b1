# The libraries that normkit is measured against.
find_package(Torch QUIET)
find_package(dnnl QUIET)
find_package(OpenMP QUIET COMPONENTS CXX)

# normkit_add_peers(target): adds <folder>/torch_peer.cpp and <folder>/onednn_peer.cpp where their library is found, and
# tells the others by NORMKIT_PEER_TORCH and NORMKIT_PEER_ONEDNN.
function(normkit_add_peers target)
  if(Torch_FOUND)
    target_sources(${target} PRIVATE torch_peer.cpp)
    # clang refuses PyTorch's headers in C++20.
    set_source_files_properties(torch_peer.cpp PROPERTIES COMPILE_OPTIONS -std=c++17)
    target_compile_definitions(${target} PRIVATE NORMKIT_PEER_TORCH)
    target_link_libraries(${target} PRIVATE ${TORCH_LIBRARIES})
  else()
    message(NOTICE "${target} goes without PyTorch (Debian: libtorch-dev).")
  endif()
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
endfunction()
