#!/usr/bin/env bash
# Runs a benchmark: scripts/bench.sh NAME [--quick] [ARGUMENT...]
# Each benchmark is a file scripts/bench/NAME.sh that starts with a line "# summary: ...", an empty
# comment and its usage, which NAME --help prints; it gets the arguments and runs in the
# repository's root. Without a name, the benchmarks are listed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

list() {
  local f
  for f in scripts/bench/*.sh; do
    [ ! -f "$f" ] || printf '  %-16s %s\n' "$(basename "$f" .sh)" "$(sed -n 's/^# summary: //p' "$f" | head -n 1)"
  done
}

case ${1:-} in
  "" | -h | --help)
    echo "Usage: scripts/bench.sh NAME [--quick] [ARGUMENT...]   or NAME --help"
    echo "Benchmarks:"
    list
    exit 0 ;;
esac
name=$1
shift
script=scripts/bench/$name.sh
case $name in
  */* | .*) script= ;;
esac
if [ ! -f "$script" ]; then
  echo "bench.sh: no benchmark $name; scripts/bench.sh lists them" >&2
  exit 2
fi
case ${1:-} in
  -h | --help) # the usage at the top of the script
    awk 'NR > 3 && !/^#/ { exit } NR > 3 { sub(/^# ?/, ""); print }' "$script"
    exit 0 ;;
esac
exec bash "$script" "$@"
