#!/usr/bin/env bash
# kill.sh PROGRAM [ROUNDS]: kills training at random moments, ROUNDS (200) times, one in four by SIGTERM, resumes
# it, and fails where it does not go on from the newest checkpoint, or where what it leaves is not, to the bit, what an
# uninterrupted run leaves.
set -euo pipefail
rounds=${2:-200}
. "$(dirname "$0")/interrupted.sh" "$1"
trap 'rm -rf "$folder"' EXIT

train() { # OUT FLAG..., in place of a subshell, so that signals reach the program itself
  exec "${training[@]}" "$@" >/dev/null
}

(train whole)
kills=0
runs=0
while ((kills < rounds)); do
  out=run-$runs
  newest=
  while true; do
    train "$out" --resume --quiet=false 2>errors.txt &
    child=$!
    sleep "0.$(printf %03d $((RANDOM % 700)))"
    signal=KILL
    ((RANDOM % 4)) || signal=TERM
    kill -$signal $child 2>/dev/null && ((++kills)) || true
    status=0
    wait $child || status=$?
    step=$(sed -n 's/^resumes after step //p; s/^no checkpoint.*/0/p' errors.txt)
    if [[ $newest && $step && ! $newest =~ /step-0*$step\.safetensors$ ]]; then
      echo "$out: resumed after step $step, expected $newest" >&2
      exit 1
    fi
    newest=$(compgen -G "$out/checkpoints/step-*.safetensors" | sort | tail -n 1 || true)
    case $status in
      0) break ;;
      137 | 143) ;;
      *)
        echo "$out: status $status after SIG$signal" >&2
        exit 1
        ;;
    esac
  done
  same whole "$out"
  rm -rf "$out"
  ((++runs))
done
echo "$kills signals over $runs runs, each of which ended as if there had been none"
