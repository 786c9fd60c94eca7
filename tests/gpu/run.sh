#!/usr/bin/env bash
# tests/gpu/run.sh [correctness|timings]: everything that needs a GPU; both without an argument. Uses
# no network: what the machine lacks, tests/gpu/bundle.sh has put into build/bundle elsewhere.
# Timings go to docs/gpu_results.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
case ${1:-} in
  '' | correctness | timings) what=${1:-correctness timings} ;;
  *)
    echo "usage: tests/gpu/run.sh [correctness|timings]" >&2
    exit 2
    ;;
esac

PATH=$PATH:/usr/local/cuda/bin
architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
echo "== $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1), sm_$architecture"
mkdir -p build
cmake --preset cuda -B build/gpu -DCMAKE_PREFIX_PATH="$PWD/build/bundle/usr" \
  -DCMAKE_CUDA_ARCHITECTURES="$architecture-real" -DQLORA_TESTS=ON -DQLORA_BENCH=ON \
  -DQLORA_ONEDNN=OFF >build/gpu.log || { cat build/gpu.log; exit 1; }

correctness() {
  cmake --build build/gpu -j --target tests_backend_cuda qlora_cli
  local tests=build/gpu/bin/tests_backend_cuda qlora=build/gpu/bin/qlora
  if grep -q '^CuDNN_LIBRARY:.*NOTFOUND' build/gpu/CMakeCache.txt; then echo "== without cuDNN"; fi
  echo "== every verb and a training run against the CPU"
  "$tests" --gtest_brief=1

  echo "== two runs, the same bits"
  local study=build/gpu/study
  rm -rf "$study"
  for run in 1 2; do
    "$qlora" demo --device cuda --seeds 1 --quiet --out "$study/$run" >/dev/null
  done
  (cd "$study/1" && find . -name adapter_model.safetensors) | while read -r adapter; do
    cmp "$study/1/$adapter" "$study/2/$adapter"
  done
  "$qlora" demo --device cuda --seeds 1 --out "$study/shown"

  # cuDNN's kernels are its own affair.
  for tool in memcheck racecheck initcheck synccheck; do
    echo "== compute-sanitizer $tool"
    # Some machines refuse the tool; that is said, and is no failure of the tests.
    if ! compute-sanitizer --tool "$tool" build/gpu/bin/tests_backend_cuda \
      --gtest_filter='TensorCore.ProductsFollowTheLayouts' >build/gpu/sanitizer.log 2>&1 &&
      grep -qiE 'not supported|error 999|unable' build/gpu/sanitizer.log; then
      echo "refused here: $(grep -iE 'not supported|error 999|unable' build/gpu/sanitizer.log | head -1)"
      continue
    fi
    compute-sanitizer --tool "$tool" --error-exitcode 1 "$tests" --gtest_brief=1 \
      --gtest_filter='-*double*:*/2.*:Cudnn*'
  done
}

timings() {
  cmake --build build/gpu -j --target bench_backend_kernels_cuda bench_train_step_cuda
  python3 bench/gpu_results.py --build build/gpu --out docs/gpu_results.md
  cat docs/gpu_results.md
}

for part in $what; do "$part"; done
