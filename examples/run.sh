#!/usr/bin/env bash
# The main job: installs what is missing (Debian 12), builds, and compares LoRA on query, key and
# value with LoRA on every matrix, on the embedded data. Arguments go to `qlora demo`; without
# --out, the results are in build/demo, and those of the run before in build/demo.before.
set -euo pipefail
cd "$(dirname "$0")/.."

bash cmake/install_debian_packages.sh g++ cmake ninja-build libeigen3-dev librandom123-dev \
  nlohmann-json3-dev libdnnl-dev zlib1g-dev libcli11-dev libxxhash-dev
cmake --preset release -DQLORA_TESTS=OFF >&2
cmake --build --preset release --target qlora_cli >&2
if [[ " $* " != *" --out"* ]]; then
  if [[ -e build/demo ]]; then  # kept, for a run whose arguments are refused has none
    rm -rf build/demo.before
    mv build/demo build/demo.before
  fi
  set -- --out build/demo "$@"
fi
exec build/release/bin/qlora demo "$@"
