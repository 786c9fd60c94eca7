#!/usr/bin/env bash
# refuses.sh FILE COMPILER...: FILE does not compile, for the reason in its first line
# (// expect: TEXT), and without the offence (QLORA_COMPILE_FAIL_CONTROL) it does.
set -euo pipefail
file=$1
shift

expected=$(sed -n '1s|^// expect: ||p' "$file")
if [[ -z $expected ]]; then
  echo "$file:1: expected '// expect: TEXT', found '$(head -1 "$file")'"
  exit 1
fi
# Without source lines, which may contain the text themselves.
caret=-fno-diagnostics-show-caret
[[ $("$@" --version) == *clang* ]] && caret=-fno-caret-diagnostics
if output=$("$@" "$caret" "$file" 2>&1); then
  echo "$file: expected a compile error '$expected', found none"
  exit 1
fi
if [[ $output != *"$expected"* ]]; then
  echo "$file: expected the error '$expected', found"
  echo "$output"
  exit 1
fi
if ! output=$("$@" -DQLORA_COMPILE_FAIL_CONTROL "$file" 2>&1); then
  echo "$file: expected to compile with QLORA_COMPILE_FAIL_CONTROL, found"
  echo "$output"
  exit 1
fi
