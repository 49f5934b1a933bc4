#!/usr/bin/env bash
# Runs every fuzz target of the module, one after another:
#
#   scripts/fuzz.sh [SECONDS]     by default 120 s each
#
# An input that breaks a target is written to testdata/fuzz beside its test and is to be committed
# with the fix: ordinary tests run it, too. Interesting inputs stay in Go's build cache for the next
# run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-120}
case $seconds in
"" | *[!0-9]*) echo "Usage: scripts/fuzz.sh [SECONDS]" >&2 && exit 2 ;;
esac

# The names precede the "ok" line of their package.
targets=$(go test -list '^Fuzz' ./... | awk '/^Fuzz/ { names = names " " $1 } $1 == "ok" { split(names, n, " "); for (i in n) print $2, n[i]; names = "" }')
if [ -z "$targets" ]; then
  echo "fuzz.sh: no fuzz targets found" >&2
  exit 1
fi
failed=0
while read -r package name; do
  printf '\n== %s %s, %s s\n' "$package" "$name" "$seconds"
  # By default the engine spends its time on minimising interesting inputs.
  go test -run '^$' -fuzz "^$name\$" -fuzztime "${seconds}s" -fuzzminimizetime 20x "$package" || failed=1
done < <(sort <<<"$targets")
exit "$failed"
