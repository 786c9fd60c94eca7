#!/usr/bin/env bash
# install_debian_packages.sh PACKAGE...: installs those that are missing, as root or through sudo;
# where neither is possible it prints the command and exits with 1. On other systems it does nothing:
# CMake then names what it does not find.
set -euo pipefail
command -v dpkg-query >/dev/null || exit 0

missing=()
for package in "$@"; do
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
    missing+=("$package")
done
((${#missing[@]})) || exit 0

install=(apt-get install -y --no-install-recommends "${missing[@]}")
if ((EUID == 0)); then
  sudo=()
elif command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
  sudo=(sudo)
else
  echo "These packages are missing; run: sudo ${install[*]}" >&2
  exit 1
fi
echo "Installing ${missing[*]}" >&2
# A source that does not answer is no reason to stop, if the packages can be had from others.
"${sudo[@]}" apt-get update -qq >&2 || true
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" -qq >&2
