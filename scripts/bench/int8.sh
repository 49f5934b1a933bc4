#!/usr/bin/env bash
# summary: a network in 8-bit integers over the same in float32, on the CPU
#
# Usage: scripts/bench.sh int8 [--quick]
# ResNet-18 and ResNet-50 at 224 pixels with drawn weights, as vicreg export writes them
# with and without --int8, on one thread and two, in batches of 1 and 8; they take turns
# and the medians are compared. The line's ratio is the least of those on two threads.
# --quick: ResNet-18 in three rounds.
set -euo pipefail
mkdir -p build/int8
go build -o build/int8/bench ./scripts/bench/int8
args=()
while (($#)); do
	case $1 in
	--quick) args+=(-quick) && shift ;;
	*) echo "int8: unknown argument $1" >&2 && exit 2 ;;
	esac
done
exec build/int8/bench "${args[@]}"
