#!/usr/bin/env bash
# Installs the clients with which some tests call the server into build/node, or reuses them, and
# prints the folder of modules. The product itself does not need Node.js.
#
# Exit codes: 0 the path is on stdout; 3 this machine has no node with npm; 1 the
# packages could not be installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pins=(openai@7.57.0)
folder=$PWD/build/node
if [ "$(cat "$folder/pins" 2>/dev/null)" = "${pins[*]}" ] && [ -d "$folder/node_modules" ]; then
  echo "$folder/node_modules"
  exit 0
fi
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "nodeenv.sh: no node with npm on this machine" >&2
  exit 3
fi
rm -rf "$folder"
mkdir -p "$folder"
echo '{"private": true}' >"$folder/package.json"
npm install --prefix "$folder" --silent --no-audit --no-fund --no-package-lock --ignore-scripts --omit=peer "${pins[@]}" >&2 || {
  echo "nodeenv.sh: npm could not install ${pins[*]}" >&2
  exit 1
}
echo "${pins[*]}" >"$folder/pins"
echo "$folder/node_modules"
