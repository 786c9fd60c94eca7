#!/usr/bin/env bash
# tests/chroot.sh [FOLDER]: runs the main job and the tests on nothing but Debian 12's base: the last
# commit, in a fresh chroot (build/chroot, or FOLDER; it stays for inspection). Needs root and
# Debian's archive.
set -euo pipefail
cd "$(dirname "$0")/.."
root=${1:-build/chroot}
if ((EUID != 0)); then
  echo "tests/chroot.sh: expected to run as root, which chroot needs" >&2
  exit 1
fi
if [[ -e $root ]]; then
  echo "tests/chroot.sh: expected no $root yet; remove it first" >&2
  exit 1
fi

bash cmake/install_debian_packages.sh debootstrap git
debootstrap --variant=minbase bookworm "$root"
mkdir "$root/qlora"
git archive HEAD | tar -x -C "$root/qlora"

mount -t proc proc "$root/proc"
trap 'umount "$root/proc"' EXIT
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C "$@"; }
time inside bash /qlora/examples/run.sh
time inside bash /qlora/tests/run.sh
