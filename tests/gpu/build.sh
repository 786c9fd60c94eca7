#!/usr/bin/env bash
# tests/gpu/build.sh [ARCHITECTURE] [TARGET...]: builds what tests/gpu/run.sh runs into build/gpu, for
# the GPU at hand, or for one of another machine (90 is an H100), to which build/gpu/bin and
# build/bundle are then copied.
set -euo pipefail
cd "$(dirname "$0")/../.."

PATH=$PATH:/usr/local/cuda/bin
architecture=${1:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)}
shift $(($# > 0 ? 1 : 0))
targets=("$@")
if [[ ${#targets[@]} = 0 ]]; then
  targets=(cuda_tests qlora_cli bench_backend_kernels_cuda bench_train_step_cuda)
fi
mkdir -p build
cmake --preset cuda -B build/gpu -DCMAKE_PREFIX_PATH="$PWD/build/bundle/usr" \
  -DCMAKE_CUDA_ARCHITECTURES="$architecture-real" -DQLORA_TESTS=ON -DQLORA_BENCH=ON \
  -DQLORA_ONEDNN=OFF -DQLORA_MPI=OFF >build/gpu.log || { cat build/gpu.log; exit 1; }
cmake --build build/gpu -j "${JOBS:-$(nproc)}" --target "${targets[@]}"
