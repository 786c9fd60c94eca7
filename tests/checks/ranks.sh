#!/usr/bin/env bash
# ranks.sh PROGRAM [ROUNDS]: two processes train together, and at a random moment, ROUNDS (50) times, one of them is
# killed or stopped, whichever; now and then, in addition, all get SIGTERM. Each time all must have ended within a
# minute, with a sentence that names the one that was stopped, and in the end what they leave must be, to the bit, what
# an uninterrupted run leaves. In one run there are three of them, and once they share a study.
set -euo pipefail
rounds=${2:-50}
. "$(dirname "$0")/interrupted.sh" "$1"
trap 'pkill -KILL -f "$folder" || true; rm -rf "$folder"' EXIT

# As root, more of them than cores, without what a container does not allow, and patient for as long
# as several of them take to start on a busy machine.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 \
  OMPI_MCA_btl_vader_single_copy_mechanism=none QLORA_RANK_TIMEOUT=6 ASAN_OPTIONS=detect_leaks=0
train() { # RANKS OUT FLAG..., in place of a subshell
  exec mpirun -n "$1" "${training[@]}" "$folder/$2" "${@:3}" >/dev/null
}
study() { # OUT FLAG...
  "${launcher[@]}" "$program" compare --model "$goldens/models/odd" --train "$goldens/train/data.txt" \
    --test "$goldens/train/data.txt" --arms qkv,head --seeds 3 --ci none --epochs 6 --batch-sequences 2 \
    --checkpoint-every 3 --quiet --out "$folder/$1" "${@:2}" >/dev/null
}
# Of those that work together, by number.
ranks() { pgrep -f "^$program (train|compare) .*$folder" | sort -n; }
rank_of() { tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^OMPI_COMM_WORLD_RANK=//p'; }

hits=0     # processes that were killed or stopped
stops=0    # of these
named=0    # of these, by their number
requests=0 # SIGTERM to all
runs=0
longest=0

# Starts a run again and again, interrupting it as long as there are fewer than so many hits, until one gets through.
interrupted() { # RANKS OUT HITS
  local count=$1 out=$2 enough=$3
  local -a signals=(KILL STOP TERM) victims left
  local launched signal hit before took status victim
  while true; do
    train "$count" "$out" --resume 2>errors.txt &
    launched=$!
    sleep "0.$(printf %03d $((300 + RANDOM % 700)))"
    signal=${signals[RANDOM % 3]}
    victim=none
    mapfile -t victims < <(ranks)
    hit=no
    if ((hits < enough && ${#victims[@]} == count)); then
      # SIGTERM is for all, as a scheduler sends it.
      [[ $signal == TERM ]] || victims=("${victims[RANDOM % count]}")
      victim=$(rank_of "${victims[0]}" 2>/dev/null || true)
      if kill -$signal "${victims[@]}" 2>/dev/null; then hit=yes; fi
    fi
    before=$SECONDS
    while kill -0 $launched 2>/dev/null; do
      took=$((SECONDS - before))
      mapfile -t left < <(ranks)
      # Stopped when it had nothing left to do but to end, it is missed by its launcher alone.
      ((took <= 10 || ${#left[@]} != 1)) || kill -CONT "${left[@]}" || true
      if ((took > 60)); then
        echo "$out: SIG$signal to ${victims[*]}: after $took s there still are:" >&2
        ps -o pid,stat,args -p "$launched" "${left[@]}" >&2
        cat errors.txt >&2
        exit 1
      fi
      sleep 0.1
    done
    status=0
    wait $launched || status=$?
    took=$((SECONDS - before))
    if ((status == 0)); then break; fi
    [[ $signal != TERM ]] || ((status == 143)) || grep -q 'signal 15' errors.txt || hit=no
    if [[ $signal == STOP ]]; then
      ((++stops))
      # Who has not begun, or has nothing left to do but to end, cannot be told from the others.
      if grep -q "^rank $victim has not been heard of for 6 s: all ranks end" errors.txt; then
        ((++named))
      else
        grep -q 'not all ranks have \(started\|ended\)' errors.txt || hit=no
      fi
    fi
    if [[ $hit == no ]] || ((took > 60)) || [[ $(ranks) ]]; then
      echo "$out: SIG$signal: status $status after $took s, left: $(ranks)" >&2
      cat errors.txt >&2
      exit 1
    fi
    if [[ $signal == TERM ]]; then ((++requests)); else ((++hits)); fi
    ((took <= longest)) || longest=$took
  done
  same "whole-$count" "$out"
  rm -rf "$out"
  ((++runs))
}

(train 3 whole-3)
interrupted 3 three $((rounds / 4))
(train 2 whole-2)
while ((hits < rounds)); do interrupted 2 run-$runs "$rounds"; done
if ((stops > 5 && named == 0)); then  # a few may all fall on the beginning or the end
  echo "none of $stops ranks that were stopped was named" >&2
  exit 1
fi

# What a study leaves, without the time that it took.
found() { grep -Ev '"(|training_|total_)seconds"|"peak_memory_bytes"' "$1/comparison.json"; }
launcher=()
study study-alone
launcher=(mpirun -n 2)
study study --resume 2>errors.txt &
launched=$!
until compgen -G "study/*/seed-*/run.json" >/dev/null; do sleep 0.05; done
mapfile -t victims < <(ranks)
kill -KILL "${victims[RANDOM % 2]}"
if wait $launched; then
  echo "study: expected to end with the one that was killed" >&2
  exit 1
fi
study study --resume
cmp <(found study-alone) <(found study)

echo "$hits times a process of two or three was killed or stopped ($named of $stops that were stopped were named), and" \
  "$requests times all got SIGTERM, over $runs runs; all had ended after $longest s at most, and each run, and a study" \
  "that was killed, was as if nothing had happened"
