#!/usr/bin/env bash
# Runs every fuzz target for a while: scripts/fuzz.sh [TIME [PACKAGE...]], by default
# 2m and all packages that have one. An input that fails is kept in testdata/fuzz of
# its package: go test runs it from then on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time=${1:-2m}
shift || true
packages=("$@")
if [ $# = 0 ]; then
  mapfile -t packages < <(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u)
fi

failed=0
for p in "${packages[@]}"; do
  for target in $(go test -list '^Fuzz' "$p" | grep '^Fuzz'); do
    printf '\n== %s %s\n' "$p" "$target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$p" || failed=1
  done
done
exit "$failed"
