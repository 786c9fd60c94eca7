#!/usr/bin/env bash
# bench/run.sh [PATTERN]: builds the benchmarks of this machine's processor, runs those whose names
# match (without one, all but the 650M model's: an hour or two), prints their tables and leaves
# build/bench/NAME.json of each program. Says so when the machine is not idle.
set -euo pipefail
cd "$(dirname "$0")/.."
pattern=${1:--650M}

bash cmake/install_debian_packages.sh g++ cmake ninja-build libeigen3-dev librandom123-dev \
  nlohmann-json3-dev libdnnl-dev zlib1g-dev libcli11-dev libxxhash-dev libbenchmark-dev
mkdir -p build/bench
cmake --preset release -DQLORA_TESTS=OFF -DQLORA_BENCH=ON >build/bench/configure.log ||
  { cat build/bench/configure.log; exit 1; }
cmake --build --preset release -j "$(nproc)"

# Processors that others keep busy in two seconds.
busy() {
  local before after
  before=$(awk '/^cpu / {print $2 + $3 + $4 + $7 + $8 + $9}' /proc/stat)
  sleep 2
  after=$(awk '/^cpu / {print $2 + $3 + $4 + $7 + $8 + $9}' /proc/stat)
  awk -v ticks=$((after - before)) -v rate="$(getconf CLK_TCK)" 'BEGIN {printf "%.2f", ticks / rate / 2}'
}
warn() { # WHEN
  local load
  load=$(busy)
  if awk -v load="$load" 'BEGIN {exit !(load > 0.1)}'; then
    echo "THE MACHINE IS NOT IDLE $1: other processes keep $load processors busy"
  fi
}

warn "before the benchmarks"
status=0
for program in build/release/bin/bench_*; do
  name=${program##*/bench_}
  [[ $name == *_cuda || $name == train_memory ]] && continue  # the latter is bench/memory.py's
  echo
  echo "== $name"
  rm -f "build/bench/$name.json"
  "$program" --benchmark_filter="$pattern" --benchmark_out_format=json --benchmark_counters_tabular=true \
    --benchmark_out="build/bench/$name.json" || status=1
done
warn "after the benchmarks"
exit $status
