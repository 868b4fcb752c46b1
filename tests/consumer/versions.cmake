# version.hpp has the version; what cannot read it there has to say the same: cmake -Dversion=<of version.hpp> -P versions.cmake
set(tree "${CMAKE_CURRENT_LIST_DIR}/../..")
file(READ "${tree}/packaging/vcpkg/normkit/vcpkg.json" port)
string(JSON port_version GET "${port}" version)
file(STRINGS "${tree}/CHANGELOG.md" newest REGEX "^## " LIMIT_COUNT 1)
string(REGEX REPLACE "^## .([0-9.]+).*$" "\\1" newest "${newest}")
if(NOT port_version STREQUAL version OR NOT newest STREQUAL version)
  message(FATAL_ERROR "version.hpp says ${version}, vcpkg.json ${port_version}, the newest part of CHANGELOG.md ${newest}.")
endif()
