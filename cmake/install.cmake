# The headers, and a package for find_package(normkit). Nothing in it depends on the architecture.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/normkit")
target_include_directories(normkit INTERFACE "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")

install(DIRECTORY include/normkit TYPE INCLUDE FILES_MATCHING PATTERN "*.hpp")
install(TARGETS normkit EXPORT normkit_targets)
install(EXPORT normkit_targets NAMESPACE normkit:: DESTINATION "${package_dir}" FILE normkitTargets.cmake)
foreach(part IN ITEMS mpi safetensors) # components, since each needs a package where it is used
  install(TARGETS normkit_${part} EXPORT normkit_${part})
  install(EXPORT normkit_${part} NAMESPACE normkit:: DESTINATION "${package_dir}")
endforeach()

configure_package_config_file(
  cmake/normkitConfig.cmake.in normkitConfig.cmake
  INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(normkitConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/normkitConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/normkitConfigVersion.cmake"
        DESTINATION "${package_dir}")

install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")

# For those without CMake: pkg-config, and a Debian package (cpack).
configure_file(cmake/normkit.pc.in normkit.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/normkit.pc" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME libnormkit-dev)
set(CPACK_PACKAGE_CONTACT "the normkit developers") # Debian asks for an address as well: there is none
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PRE_BUILD_SCRIPTS "${CMAKE_CURRENT_SOURCE_DIR}/cmake/debian.cmake")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libeigen3-dev (>= 3.4)")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libopenmpi-dev, nlohmann-json3-dev")
set(CPACK_PACKAGE_DESCRIPTION "BatchNorm, LayerNorm, RMSNorm, GroupNorm and InstanceNorm, forward and
backward, as C++20 headers: in float, double and numbers of 16 bits, with the
same bits on any number of threads and any instruction set.
.
normkit/mpi.hpp needs libopenmpi-dev or another MPI as well, and
normkit/safetensors.hpp nlohmann-json3-dev.")
if(PROJECT_IS_TOP_LEVEL)
  include(CPack)
endif()
