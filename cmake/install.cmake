# The headers, and a package for find_package(normkit). Nothing in it depends on the architecture.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/normkit")
target_include_directories(normkit INTERFACE "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")

install(DIRECTORY include/normkit TYPE INCLUDE FILES_MATCHING PATTERN "*.hpp")
install(TARGETS normkit EXPORT normkit_targets)
install(EXPORT normkit_targets NAMESPACE normkit:: DESTINATION "${package_dir}" FILE normkitTargets.cmake)
# A component, since it needs MPI where it is used.
install(TARGETS normkit_mpi EXPORT normkit_mpi_targets)
install(EXPORT normkit_mpi_targets NAMESPACE normkit:: DESTINATION "${package_dir}" FILE normkitMpiTargets.cmake)

configure_package_config_file(
  cmake/normkitConfig.cmake.in normkitConfig.cmake
  INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(normkitConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/normkitConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/normkitConfigVersion.cmake"
        DESTINATION "${package_dir}")
