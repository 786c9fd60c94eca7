#!/usr/bin/env bash
# tests/fuzz/run.sh [SECONDS [TARGET...]]: fuzzes every parser, or those that are named, a minute each,
# as many at once as there are processors (or JOBS); needs the tree build/clang. Corpora stay in
# build/corpus. Prints executions, seconds of processor time and findings; ends with 1 after a
# finding, whose input lies in build/findings.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))
mkdir -p build/findings build/corpus
rm -rf build/seeds
build/clang/bin/write_fuzz_seeds build/seeds
targets=("$@")
[[ ${#targets[@]} != 0 ]] || mapfile -t targets < <(cd build/seeds && printf '%s\n' */ | tr -d /)

for target in "${targets[@]}"; do
  [[ -d build/seeds/$target ]] || { echo "tests/fuzz/run.sh: expected one of $(ls -m build/seeds | sed 's/[a-z_]*.dict,* *//g'), found $target" >&2; exit 2; }
done

fuzz() { # SECONDS TARGET
  local target=$2 log=build/findings/$2.log found=0 cpu TIMEFORMAT='%U + %S'
  mkdir -p "build/corpus/$target"
  cpu=$({ time QLORA_FUZZ_TARGET=$target build/clang/bin/fuzz -max_total_time="$1" -print_final_stats=1 \
    -dict="build/seeds/$target.dict" -artifact_prefix="build/findings/$target-" \
    "build/corpus/$target" "build/seeds/$target" >"$log" 2>&1; } 2>&1) || found=1
  printf '%-16s %12s %8.0f %10s\n' "$target" \
    "$(awk '/stat::number_of_executed_units/ {n = $2} END {print n + 0}' "$log")" \
    "$(awk "BEGIN {print $cpu}")" "$found"
  [[ $found = 0 ]] || tail -30 "$log"
  return "$found"
}
export -f fuzz
printf '%-16s %12s %8s %10s\n' parser executions cpu_s found
printf '%s\n' "${targets[@]}" |
  xargs -P "${JOBS:-$(nproc)}" -I{} bash -euc "fuzz $seconds {}" || exit 1
