#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other:
#
#   scripts/fuzz.sh [SECONDS]     by default 120 s each
#
# An input that breaks a target is written into testdata/fuzz beside its test and
# belongs there for good, with the fix: ordinary tests try it, too. What fuzzing has
# found interesting stays in Go's build cache for the next time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-120}
case $seconds in
"" | *[!0-9]*) echo "Usage: scripts/fuzz.sh [SECONDS]" >&2 && exit 2 ;;
esac

# Names come before the "ok" line of their package.
targets=$(go test -list '^Fuzz' ./... | awk '/^Fuzz/ { names = names " " $1 } $1 == "ok" { split(names, n, " "); for (i in n) print $2, n[i]; names = "" }')
if [ -z "$targets" ]; then
  echo "fuzz.sh: no fuzz targets found" >&2
  exit 1
fi
failed=0
while read -r package name; do
  printf '\n== %s %s, %s s\n' "$package" "$name" "$seconds"
  # Left to itself the engine spends its time on making interesting inputs shorter.
  go test -run '^$' -fuzz "^$name\$" -fuzztime "${seconds}s" -fuzzminimizetime 20x "$package" || failed=1
done < <(sort <<<"$targets")
exit "$failed"
