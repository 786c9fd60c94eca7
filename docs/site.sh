#!/usr/bin/env bash
# site.sh: builds the site, these pages and the API from the headers' comments, into build/site; a
# warning of Doxygen or a link that leads nowhere is an error. Open build/site/index.html.
set -euo pipefail
cd "$(dirname "$0")/.."
bash cmake/install_debian_packages.sh doxygen python3-minimal
mkdir -p build
rm -rf build/site
version=$(sed -n 's/.*string_view version = "\(.*\)";/\1/p' include/qlora/version.hpp)
{ cat docs/Doxyfile; echo "PROJECT_NUMBER = $version"; } | doxygen - || {
  echo "docs/site.sh: Doxygen warns, see above" >&2
  exit 1
}
python3 tests/checks/links.py build/site
echo "build/site/index.html"
