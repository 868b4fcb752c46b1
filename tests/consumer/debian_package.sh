#!/usr/bin/env bash
# Makes the Debian package, unpacks it, and builds a program against it with pkg-config alone:
#   debian_package.sh <cpack> <build folder> <folder to work in> <compiler> <program>
set -euo pipefail
cpack=$1 build=$2 folder=$3 compiler=$4 program=$5

rm -rf "$folder"
"$cpack" --config "$build/CPackConfig.cmake" -B "$folder"
package=("$folder"/libnormkit-dev_*_all.deb)
dpkg-deb --info "${package[0]}"
dpkg-deb --extract "${package[0]}" "$folder/unpacked"

export PKG_CONFIG_PATH=$folder/unpacked/usr/share/pkgconfig
read -ra flags <<<"$(pkg-config --cflags normkit)"
"$compiler" -std=c++20 "${flags[@]}" "$program" -o "$folder/consumer"
"$folder/consumer"
