#!/usr/bin/env bash
# tests/gpu/run.sh [--built] [correctness|timings [FLAG...]]: everything that needs a GPU; both without an
# argument. Flags are those of bench/gpu_results.py. Uses no network: what the machine lacks,
# tests/gpu/bundle.sh has put into build/bundle elsewhere, and with --built tests/gpu/build.sh has built
# everything there too.
# Timings go to docs/gpu_results.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=(bash tests/gpu/build.sh "")
if [[ ${1:-} = --built ]]; then
  build=(:)
  shift
fi
case ${1:-} in
  '' | correctness | timings) what=${1:-correctness timings} ;;
  *)
    echo "usage: tests/gpu/run.sh [--built] [correctness|timings]" >&2
    exit 2
    ;;
esac

flags=("${@:2}")
PATH=$PATH:/usr/local/cuda/bin
# Debian's benchmark library, and CUDA's libraries as torch has them, if it is there: the same versions
# then serve both sides of the timings.
libraries=$PWD/build/bundle/usr/lib/x86_64-linux-gnu
for folder in $(python3 -c 'import glob, site; print(*glob.glob(site.getsitepackages()[0] + "/nvidia/*/lib"))' ||
  true); do
  libraries+=:$folder
done
export PATH LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
echo "== $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1)"

correctness() {
  "${build[@]}" cuda_tests qlora_cli
  local tests=build/gpu/bin/tests_backend_cuda qlora=build/gpu/bin/qlora
  echo "== every verb and a training run against the CPU"
  for program in build/gpu/bin/tests_*_cuda; do "$program" --gtest_brief=1; done

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

  # Of cuDNN's kernels, which are its own affair, none. Only memcheck has time for whole training runs and for the
  # timing of cuBLASLt's algorithms: they take the others minutes each.
  local but='*double*:*/2.*:Cudnn*' long='CudaTraining*:*ByTimedAlgorithms'
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
      --gtest_filter="-$but$([[ $tool = memcheck ]] || echo ":$long")"
  done
}

timings() {
  "${build[@]}" bench_backend_kernels_cuda bench_train_step_cuda
  python3 bench/gpu_results.py --build build/gpu --out docs/gpu_results.md "${flags[@]}"
}

for part in $what; do "$part"; done
