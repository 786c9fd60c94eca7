#!/usr/bin/env bash
# faults.sh PROGRAM: lets each operation on files of a training run fail in turn, in each of the ways of
# tests/checks/inject.cpp, of a run that begins and of one that goes on from a checkpoint, then resumes it without
# faults, and fails where the result is not, to the bit, that of a run without any; where it goes on from an older
# checkpoint than the newest that was synchronised; or where a failure was not said with status 1. Then some hundreds
# of allocations, which must be named in bytes.
set -euo pipefail
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
project=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
g++ -std=c++20 -O1 -Wall -Wextra -Werror -shared -fPIC "$project/tests/checks/inject.cpp" -o inject.so

train() { # OUT FLAG...
  "$program" train --model "$project/tests/goldens/models/odd" --train "$project/tests/goldens/train/data.txt" \
    --valid "$project/tests/goldens/train/data.txt" --select mcc --epochs 2 --batch-sequences 10 --checkpoint-every 2 \
    --keep-checkpoints 2 --threads 1 --placement head --ci none --out "$@"
}
faulty() { # KIND:N OUT
  rm -f count
  LD_PRELOAD=$folder/inject.so QLORA_FAULT=$1 QLORA_FAULT_FOLDER=$folder/$2 QLORA_FAULT_LOG=$folder/count \
    train "$2" --resume --quiet >/dev/null 2>error
}

train whole --quiet >/dev/null
faulty none: counted
read -r operations allocations _ <count
((operations > 30)) || { echo "faults.sh: only $operations operations were seen" >&2; exit 1; }
resumed() { # WHAT: the run goes on to the same bits
  # A run that had only to say that it is done is not interrupted.
  train run --resume >/dev/null 2>error || grep -q 'expected a run that was interrupted' error ||
    { echo "$1, resumed: $(<error)" >&2; exit 1; }
  local kept step
  kept=$(cut -d ' ' -f 3 count 2>/dev/null || true)
  step=$(sed -n 's/^resumes after step //p' error)
  if [[ $kept =~ /step-0*([0-9]+)\.safetensors$ ]] && ((${step:-0} < BASH_REMATCH[1])); then
    echo "$1, resumed: expected it to go on from $kept, found: $(head -n 1 error)" >&2
    exit 1
  fi
  for file in adapter_model.safetensors adapter_config.json metrics.json qlora.json; do
    cmp "whole/$file" "run/$file" || { echo "$1" >&2; exit 1; }
  done
  cmp <(cut -d, -f1-6 whole/history.csv) <(cut -d, -f1-6 run/history.csv)
}

each_fault() { # FOLDER OPERATIONS: of runs that begin with that folder, or with none
  local kind n
  for kind in error full short interrupted crash crash-late; do
    for ((n = 1; n <= $2; ++n)); do
      rm -rf run
      [[ ! -d $1 ]] || cp -r "$1" run
      status=0
      faulty $kind:$n run || status=$?
      case $kind:$status in
        short:0 | interrupted:[01] | error:1 | full:1 | crash*:137) ;;
        *)
          echo "$kind at operation $n of $1: status $status: $(<error)" >&2
          exit 1
          ;;
      esac
      if [[ $status == 1 && $(wc -l <error) != 1 ]]; then
        echo "$kind at operation $n of $1: expected one sentence, found: $(<error)" >&2
        exit 1
      fi
      resumed "$kind at operation $n of $1"
    done
  done
  echo "6 kinds of faults at each of $2 operations of $1: resumed to the same bits"
}

each_fault nothing "$operations"

# A run with a checkpoint, and with steps that are left.
for ((n = 1; ; ++n)); do
  rm -rf run
  status=0
  faulty crash-late:$n run || status=$?
  [[ $status == 137 ]] || { echo "faults.sh: no run was interrupted" >&2; exit 1; }
  compgen -G "run/checkpoints/step-*.safetensors" >/dev/null && break
done
mv run interrupted
cp -r interrupted run
faulty none: run
read -r operations _ <count
((operations > 10)) || { echo "faults.sh: only $operations operations were seen of a run that goes on" >&2; exit 1; }
each_fault interrupted "$operations"

# One of each of as many equal parts of them, at random.
RANDOM=7
parts=400
for ((part = 0; part < parts; ++part)); do
  n=$((1 + (part * 32768 + RANDOM) * (allocations / parts) / 32768))
  rm -rf run
  status=0
  faulty memory:$n run || status=$?
  if [[ $status != [01] ]] || [[ $status == 1 && ! $(<error) =~ ^qlora:.*bytes ]] || (($(wc -l <error) > 1)); then
    echo "allocation $n of $allocations: status $status: $(<error)" >&2
    exit 1
  fi
  resumed "allocation $n"
done
echo "$parts of $allocations allocations failed: each was named"
