#!/usr/bin/env bash
# tutorial.sh PROGRAM...: runs the commands of docs/tutorial.md, block by block, in a new folder, and fails
# where one does. The first block, which builds, is left out: PROGRAMS' folder is on the path instead.
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$(cd "$(dirname "$1")" && pwd):$PATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
ln -s "$project/examples" "$project/include" .
awk '/^```bash$/ { inside = 1; ++block; next } /^```$/ { inside = 0 } inside && block > 1' \
  "$project/docs/tutorial.md" >commands.sh
[[ $(grep -c '^qlora ' commands.sh) -ge 6 ]] || { echo "docs/tutorial.md: few commands" >&2; exit 1; }
bash -euo pipefail commands.sh >output 2>&1 || { tail -20 output; exit 1; }
grep -q '^all against qkv: ' output || { echo "docs/tutorial.md: no verdict" >&2; exit 1; }
[[ -s study/report.html && -s sites.tsv && -s own-adapter/adapter_config.json ]]
