# What the scripts share: where they run, and which packages they need. To be sourced.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build_packages=(g++ cmake ninja-build libeigen3-dev libgtest-dev libbenchmark-dev)

# What normkit is measured against, and what draws the pictures. libdnnl-dev asks for OpenCL's headers without saying so.
peer_packages=(libtorch-dev libdnnl-dev ocl-icd-opencl-dev python3-matplotlib)

# report script.py argument...: by Debian's own python3, which has its matplotlib, where there is one.
report() {
  local python=/usr/bin/python3
  [[ -x $python ]] || python=python3
  "$python" "$@"
}

# need_packages package...: installs those that are missing; where that cannot be done, names them and goes on.
need_packages() {
  if ! command -v dpkg-query >/dev/null; then
    echo "Not a Debian system. Needed are the equivalents of: $*" >&2
    return
  fi
  local package missing=() as_root=()
  for package in "$@"; do
    [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ((EUID)); then
    as_root=(sudo)
    if ! command -v sudo >/dev/null; then
      echo "Neither root nor sudo. Please install: ${missing[*]}" >&2
      return
    fi
  fi
  echo "Installing ${missing[*]}" >&2
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
}
