# What the scripts share: where they run, and which packages they need. To be sourced.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build_packages=(g++ cmake ninja-build libeigen3-dev libgtest-dev libbenchmark-dev libopenmpi-dev openmpi-bin libcli11-dev nlohmann-json3-dev pkg-config)

# What normkit is measured against, and what draws the pictures. libdnnl-dev asks for OpenCL's headers without saying so.
peer_packages=(libtorch-dev libdnnl-dev ocl-icd-opencl-dev python3-matplotlib)

# Debian's own python3, which has its matplotlib, where there is one.
python=/usr/bin/python3
[[ -x $python ]] || python=python3

# newest_wheels folder: a virtual environment there, with PyPI's newest PyTorch and newest oneDNN for CPUs alone.
# PyTorch's CPU library is linked to two of CUDA's, in the version that its wheel names: it does not load without them.
newest_wheels() {
  [[ -x $1/bin/pip ]] || "$python" -m venv "$1"
  local pip=("$1/bin/pip" --quiet --disable-pip-version-check install --upgrade --no-warn-conflicts)
  "${pip[@]}" --no-deps torch onednn-cpu-gomp onednn-devel-cpu-gomp
  "${pip[@]}" "$(sed -nE 's/^Requires-Dist: cuda-toolkit\[.*\](==[0-9.]+).*/cuda-toolkit[cudart,cupti]\1/p' \
    "$1"/lib/python*/site-packages/torch-*.dist-info/METADATA)"
}

# tests_of program...: what ctest knows their tests by, as kernel_steps.Suite.Name or bits.as_built.
tests_of() {
  local names="$*"
  names=${names//_/[._]}
  echo "^(${names// /|})(\.|\$)"
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
