#!/usr/bin/env bash
# tests/gpu/bundle.sh: copies the packages that tests/gpu/run.sh builds with into build/bundle, for a
# machine with a GPU that has a compiler, CMake and nvcc, and no network. Needs Debian 12.
set -euo pipefail
cd "$(dirname "$0")/../.."

packages=(libeigen3-dev librandom123-dev nlohmann-json3-dev libcli11-dev libxxhash-dev libgtest-dev
  libbenchmark-dev libbenchmark1debian)
bash cmake/install_debian_packages.sh "${packages[@]}"
rm -rf build/bundle
mkdir -p build/bundle
for package in "${packages[@]}"; do
  dpkg -L "$package" | grep -vE '^/usr/share/(doc|man|lintian)' | while read -r path; do
    if [[ -f $path ]]; then cp -P --parents "$path" build/bundle; fi
  done
done
du -sh build/bundle
