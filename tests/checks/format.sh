#!/usr/bin/env bash
# format.sh ROOT: clang-format 14 would change nothing. Prints what it would change.
set -euo pipefail
cd "$1"
clang_format=$(command -v clang-format-14 || command -v clang-format)
if [[ $("$clang_format" --version) != *"version 14."* ]]; then
  echo "expected clang-format version 14, found $("$clang_format" --version)"
  exit 1
fi

status=0
while read -r file; do
  "$clang_format" "$file" | diff -u --label "$file" --label "$file, formatted" "$file" - || status=1
done < <(find include examples tests bench -regex '.*\.\(hpp\|cpp\|inl\|cuh\|cu\)')
exit $status
