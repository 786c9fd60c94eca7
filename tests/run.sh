#!/usr/bin/env bash
# Builds and tests everything that a change must keep, on Debian 12: with g++, again with its address
# and undefined-behaviour sanitizers, and CUDA's tests where there is nvcc. With --all also: clang, its
# thread sanitizer, clang-tidy, every CUDA program, more GPU architectures, fuzzing, and a comparison
# with the Hugging Face stack, which pip installs into build/hf. A chroot of nothing but Debian's base
# is tests/chroot.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
all=no
case ${1:-} in
  '') ;;
  --all) all=yes ;;
  *)
    echo "usage: tests/run.sh [--all]" >&2
    exit 2
    ;;
esac
jobs=$(nproc)

packages=(g++ cmake ninja-build clang-format libeigen3-dev librandom123-dev nlohmann-json3-dev
  libdnnl-dev zlib1g-dev libcli11-dev libxxhash-dev libgtest-dev libboost-context-dev
  libopenmpi-dev openmpi-bin)
[[ $all == no ]] || packages+=(clang-19 llvm-19 libclang-rt-19-dev libomp-19-dev clang-tidy-19
  clang-tools-19 libbenchmark-dev python3-venv chromium doxygen
  genometools)
bash cmake/install_debian_packages.sh "${packages[@]}"

build() { # PRESET [TARGET [OPTION...]]
  echo "== build/$1"
  cmake --preset "$1" -DQLORA_TESTS=ON "${@:3}" >build/"$1".log || { cat build/"$1".log; return 1; }
  cmake --build --preset "$1" -j "$jobs" --target "${2:-all}"
}

# Seconds of one core that the build took for a program's sources.
compile_seconds() { # NAME LIMIT
  awk -v objects="/$1.dir/" -v name="$1" -v limit="$2" -F '\t' '
    index($4, objects) { seconds[$4] = ($2 - $1) / 1000 }
    END {
      for (object in seconds) total += seconds[object]
      printf "compile time of %s: %.1f s of %d s\n", name, total, limit
    }' build/release/.ninja_log
}

mkdir -p build
trees=(release sanitize)
build release
build sanitize
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
if [[ $nvcc ]]; then
  if nvidia-smi -L >/dev/null 2>&1; then
    build cuda
    trees+=(cuda)
  elif [[ $all == yes ]]; then
    build cuda all -DQLORA_BENCH=ON
  else
    build cuda cuda_tests
  fi
  # Without a device: what can be asked of libraries, and that the rest says so; and that nvcc's
  # host code trains as g++'s does.
  build/cuda/bin/tests_backend_cuda --gtest_brief=1
  build/cuda/bin/tests_train_cuda --gtest_brief=1
fi
if [[ $all == yes ]]; then
  trees+=(clang tsan)
  build clang
  build tsan
  if [[ $nvcc ]]; then
    cmake --preset cuda -B build/cuda-more -DCMAKE_CUDA_ARCHITECTURES='80-real;100-real' >/dev/null
    cmake --build build/cuda-more -j "$jobs" --target cuda_tests
  fi
fi

# One run over all trees, with one summary.
printf 'subdirs(%s)\n' "${trees[*]}" >build/CTestTestfile.cmake
compile_seconds binding_sites 20
compile_seconds qlora_cli 90
if [[ $all == yes ]]; then bash tests/long.sh; fi
# One more than there are cores, as some tests wait for others.
ctest --test-dir build -j "$((jobs + 1))" --output-on-failure --no-tests=error
