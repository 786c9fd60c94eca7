#!/usr/bin/env bash
# The part of `tests/run.sh --all` that is not run by ctest; needs its build trees.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== clang-tidy"
# Over sources that are compiled together, so that what they include is looked at once for all.
run-clang-tidy-19 -quiet -p build/clang -checks=-bugprone-suspicious-include \
  "$PWD/(examples|tests|build/clang)/.*"

echo "== reports, in a browser"
rm -rf build/report
build/release/bin/qlora demo --families 10 --epochs 2 --seeds 3 --no-null=false --quiet --out build/report >/dev/null
build/release/bin/qlora sweep --model examples/data/nano-esm2 --train build/report/data/train.txt \
  --valid build/report/data/valid.txt --space examples/sweep.toml --epochs 1 --quiet --out build/report/sweep >/dev/null
python3 tests/checks/report.py build/report/study/report.html build/report/sweep/report.html

echo "== the site"
bash docs/site.sh
bash tests/checks/tutorial.sh build/release/bin/qlora

echo "== runs that are killed, and files that fail"
bash tests/checks/kill.sh build/release/bin/qlora
bash tests/checks/faults.sh build/release/bin/qlora
bash tests/checks/ranks.sh build/release/bin/qlora

echo "== fuzzing, a minute each"
bash tests/fuzz/run.sh 60

echo "== Hugging Face, and readers of what is written"
[[ -d build/hf ]] || python3 -m venv build/hf
build/hf/bin/pip install --quiet -r tests/parity/requirements.txt
build/hf/bin/python tests/checks/readers.py build/release/bin/qlora
build/hf/bin/python tests/parity/make_goldens.py --check
build/hf/bin/python tests/parity/make_metrics.py --check
build/hf/bin/python tests/parity/make_statistics.py --check
build/hf/bin/python tests/parity/against_hf.py build/release/bin/qlora
