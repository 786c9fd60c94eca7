#!/usr/bin/env bash
# layers.sh ROOT: headers include only what stands to the left of them in CONTRIBUTING.md, only the
# parts that are about CUDA name it, and none says what nvcc gets wrong.
set -euo pipefail
cd "$1/include/qlora"

# What a header in a folder (or a single header) may include, besides version.hpp.
allowed() {
  case $1 in
    version.hpp) ;;
    core/*) echo core ;;
    backend/cuda*) echo core backend quant ;;
    backend/*) echo core backend ;;
    formats/*) echo core formats ;;
    data/*) echo core formats data ;;
    metrics/*) echo core metrics ;;
    baseline/*) echo core data baseline ;;
    synth/*) echo core data synth ;;
    adapt/placement.hpp) echo core ;;
    quant/*) echo core backend quant ;;
    adapt/*) echo core backend adapt ;;
    nn/*) echo core backend quant adapt nn ;;
    dist/*) echo core backend dist ;;
    model/*) echo core backend quant adapt nn data formats model ;;
    train/*) echo core backend quant adapt nn data model metrics dist train ;;
    report/*) echo core data metrics report ;;
    predict/*) echo core data predict ;;
    esm2.hpp) echo core baseline backend quant adapt nn data model metrics dist train report predict synth experiment.hpp ;;
    *) echo core backend quant adapt nn data model metrics dist train report ;;
  esac
}

status=0
complain() {
  echo "include/qlora/$1"
  status=1
}

while read -r header; do
  while IFS=: read -r line target; do
    [[ $target == version.hpp ]] && continue
    [[ " $(allowed "$header") " == *" ${target%%/*} "* ]] ||
      complain "$header:$line: expected only $(allowed "$header"), found $target"
  done < <(sed -nE '/^ *# *include *<qlora\//{s|.*<qlora/([^>]*)>.*|\1|;=;p}' "$header" | paste -d: - -)

  # Other people's headers that a user of the library would need to have.
  while read -r found; do
    complain "$header:$found: expected no library but Eigen, Random123 and nlohmann-json"
  done < <(grep -nE '^ *# *include *[<"](boost|CLI|fmt|gtest|benchmark)/' "$header" || true)

  case $header in
    backend/cuda*|dist/nccl*|esm2.hpp|core/host_device.hpp) ;;
    *)
      while read -r found; do
        complain "$header:$found: expected CUDA to be named by backend/cuda* and dist/nccl* alone"
      done < <(sed 's|//.*||' "$header" |
        grep -nEi 'cuda(_runtime|Stream|Malloc|Memcpy|Error|Free)|cublas|__(global|shared|CUDACC)__|include *<cu|cuda\.cuh' || true)
      ;;
  esac
done < <(find . -name '*.hpp' -o -name '*.cuh' | sed 's|^\./||' | sort)

# nvcc 13.0 drops members that `x = {.a = 1, .c = 2}` in a template skips, and gives their place to
# the next: here b would be 2, without a warning. It is right about `x = X{.a = 1, .c = 2}`, and
# about members within such a list.
untyped() { # FILE...
  perl -0777 -ne '
    s{//[^\n]*}{}g;
    while (/(?<![=!<>+*\/|&-])=\s*\{\s*\.[a-z]/g) {
      my $before = substr($_, 0, $-[0]);
      next if $before =~ /[{,]\s*\.\w+\s*$/;
      print "$ARGV:", 1 + ($before =~ tr/\n//), "\n";
    }' "$@"
}
mapfile -t compiled_by_nvcc < <(
  find . ../../bench ../../tests/support ../../tests/train/trainer.cpp -type f
  find ../../tests ../../examples -name '*.cu'
)
while read -r found; do
  complain "$found: expected the type's name before designated members that are assigned"
done < <(untyped "${compiled_by_nvcc[@]}")
[[ $(printf '%s\n' 'x[f(i)] = {.a' 'n::x = {  // why' '.a' 'if (c) x =' '{.a' 'X{.b = {.a, .c' '= {.a' |
  untyped /dev/stdin | wc -l) = 3 ]] || complain "the check of designated members does not find them"
exit $status
