#!/usr/bin/env bash
# tests/fuzz/run.sh [SECONDS [TARGET...]]: fuzzes every parser, or those that are named, one after
# the other, a minute each; needs the tree build/clang. Corpora stay in build/corpus. Prints
# executions and findings; ends with 1 after a finding, whose input lies in build/findings.
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
status=0
printf '%-16s %12s %10s\n' parser executions found
for target in "${targets[@]}"; do
  corpus=build/corpus/$target log=build/findings/$target.log
  mkdir -p "$corpus"
  found=0
  QLORA_FUZZ_TARGET=$target build/clang/bin/fuzz -max_total_time="$seconds" -print_final_stats=1 \
    -dict="build/seeds/$target.dict" -artifact_prefix="build/findings/$target-" \
    "$corpus" "build/seeds/$target" >"$log" 2>&1 || found=1
  executions=$(awk '/stat::number_of_executed_units/ {print $2}' "$log")
  printf '%-16s %12s %10s\n' "$target" "${executions:-0}" "$found"
  if [[ $found = 1 ]]; then
    tail -30 "$log"
    status=1
  fi
done
exit $status
