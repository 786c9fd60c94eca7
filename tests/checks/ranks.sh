#!/usr/bin/env bash
# ranks.sh PROGRAM [ROUNDS]: two processes train together, and at a random moment, ROUNDS (50) times, one of them is
# killed or stopped, whichever, or both get SIGTERM. Each time both must have ended within a minute, and in the end
# what they leave must be, to the bit, what an uninterrupted run leaves.
set -euo pipefail
rounds=${2:-50}
. "$(dirname "$0")/interrupted.sh" "$1"
trap 'pkill -KILL -f "$folder" || true; rm -rf "$folder"' EXIT

# As root, more of them than cores, without what a container does not allow, and soon impatient.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 \
  OMPI_MCA_btl_vader_single_copy_mechanism=none QLORA_RANK_TIMEOUT=2 ASAN_OPTIONS=detect_leaks=0
train() { # OUT FLAG..., in place of a subshell
  exec mpirun -n 2 "${training[@]}" "$folder/$1" "${@:2}" >/dev/null
}
ranks() { pgrep -f "^$program train .*$folder" | sort -n; }

(train whole)
hits=0
runs=0
longest=0
while ((hits < rounds)); do
  out=run-$runs
  while true; do
    train "$out" --resume 2>errors.txt &
    launcher=$!
    sleep "0.$(printf %03d $((300 + RANDOM % 700)))"
    signals=(KILL STOP TERM)
    signal=${signals[RANDOM % 3]}
    mapfile -t victims < <(ranks)
    hit=no
    if ((${#victims[@]} == 2)); then
      # SIGTERM is for all, as a scheduler sends it.
      [[ $signal == TERM ]] || victims=("${victims[RANDOM % 2]}")
      if kill -$signal "${victims[@]}" 2>/dev/null; then hit=yes; fi
    fi
    before=$SECONDS
    while kill -0 $launcher 2>/dev/null; do
      took=$((SECONDS - before))
      mapfile -t left < <(ranks)
      # Stopped when it had nothing left to do but to end, it is missed by its launcher alone.
      ((took <= 10 || ${#left[@]} != 1)) || kill -CONT "${left[@]}" || true
      if ((took > 60)); then
        echo "$out: SIG$signal to ${victims[*]}: after $took s there still are:" >&2
        ps -o pid,stat,args -p "$launcher" "${left[@]}" >&2
        cat errors.txt >&2
        exit 1
      fi
      sleep 0.1
    done
    status=0
    wait $launcher || status=$?
    took=$((SECONDS - before))
    if ((status == 0)); then break; fi
    [[ $signal != TERM ]] || ((status == 143)) || grep -q 'signal 15' errors.txt || hit=no
    if [[ $hit == no ]] || ((took > 60)) || [[ $(ranks) ]]; then
      echo "$out: SIG$signal: status $status after $took s, left: $(ranks)" >&2
      cat errors.txt >&2
      exit 1
    fi
    ((++hits))
    ((took <= longest)) || longest=$took
  done
  same "$out"
  rm -rf "$out"
  ((++runs))
done
echo "$hits times a process of two was killed or stopped, over $runs runs; both had ended after $longest s" \
  "at most, and each run was as if nothing had happened"
