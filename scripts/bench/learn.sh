#!/usr/bin/env bash
# summary: kNN accuracy on CIFAR-10 after a few CPU epochs, beside the untrained network, raw pixels, and a collapse
#
# Usage: scripts/bench.sh learn [--quick] [--seeds "1 2 3"] [FLAGS OF vicreg train]
# Trains on 10,000 images of CIFAR-10 (1,000 a class) without labels, with the settings
# that README advises for a laptop and the defaults that go with them, and votes with
# the 20 nearest of them on the 10,000 test images. Wants cifar10-jpg.tar.xz in the
# folder VICREG_TEST_DATA (default ../shared/data). --quick: one seed, a tenth of
# everything; its figures show that it runs, not that it learns.
set -euo pipefail
seeds="1 2 3" quick=
while (($#)); do
	case $1 in
	--quick) quick=1 seeds=1 && shift ;;
	--seeds) seeds=$2 && shift 2 ;;
	*) break ;;
	esac
done
archive=${VICREG_TEST_DATA:-../shared/data}/cifar10-jpg.tar.xz
if [[ ! -f $archive ]]; then
	echo "learn: SKIPPED: no $archive" >&2
	exit 1
fi
scripts/get-onnxruntime.sh >&2
work=build/learn
mkdir -p "$work"
go build -o "$work/vicreg" .
[[ -d $work/cifar/test ]] || tar xJf "$archive" -C "$work"

# Every fifth image of each class: 1,000; a tenth of that when quick.
stride=5 tested=10000 epochs=10
[[ -z $quick ]] || { stride=50 tested=500 epochs=2; }
train=$work/train-$stride
if [[ ! -d $train ]]; then
	for class in "$work"/cifar/train/*/; do
		name=$(basename "$class")
		mkdir -p "$train.tmp/$name"
		find "$class" -name '*.jpg' | LC_ALL=C sort | awk "NR % $stride == 1" | xargs ln -t "$train.tmp/$name"
	done
	mv "$train.tmp" "$train"
fi

settings=(--data "$train" --image-size 32 --width 16 --batch 128 --epochs "$epochs" "$@")
figure() { # FILE NAME: prints a number from an eval's JSON
	sed -n "s/^ *\"$2\": *\([-0-9.e+]*\).*/\1/p" "$1"
}
measure() { # MODEL OUT
	"$work/vicreg" eval --model "$1" --data "$work/cifar/test" --reference "$train" --limit "$tested" --probe=false --json >"$2"
}
spread() { # RUN: prints the spread of the held-out embeddings after the last epoch
	grep '"kind":"epoch"' "$1/metrics.jsonl" | tail -n 1 | sed 's/.*"spread":\([0-9.e+-]*\).*/\1/'
}

for seed in $seeds; do
	run=$work/run-$seed
	"$work/vicreg" train "${settings[@]}" --out "$run" --force --seed "$seed" >"$run.log"
	"$work/vicreg" export "$run" --untrained -o "$run/untrained.onnx" >/dev/null
	"$work/vicreg" export "$run" -o "$run/backbone.onnx" >/dev/null
	measure "$run/untrained.onnx" "$run/untrained.json"
	measure "$run/backbone.onnx" "$run/trained.json"
	echo "$seed $(figure "$run/trained.json" knn) $(figure "$run/untrained.json" knn) $(figure "$run/trained.json" knn_raw) $(figure "$run/trained.json" knn_raw_centered) $(spread "$run")"
done >"$work/figures"

# Without the variance term the embeddings must collapse.
"$work/vicreg" train "${settings[@]}" --epochs 2 --variance 0 --out "$work/collapse" --force >"$work/collapse.log"
collapsed=$(spread "$work/collapse")

awk -v collapsed="$collapsed" '
	{ printf "seed %s: kNN %.2f %%, untrained %.2f %%, raw pixels %.2f %% (%.2f %% less their mean), spread of the embeddings %.2f\n", $1, 100*$2, 100*$3, 100*$4, 100*$5, $6
	  if (NR == 1 || $2-$3 < over_untrained) over_untrained = $2-$3
	  if (NR == 1 || $2-$4 < over_raw) over_raw = $2-$4
	  if (NR == 1 || $2-$5 < over_centered) over_centered = $2-$5
	  knn += $2; untrained += $3; raw += $4; centered += $5; spread += $6 }
	END { printf "at the least %.1f points above the untrained network, %.1f above raw pixels, %.1f above raw pixels less their mean\n", 100*over_untrained, 100*over_raw, 100*over_centered
	  printf "without the variance term: spread %.3f\n", collapsed
	  printf "bench learn knn=%.4f untrained=%.4f raw=%.4f raw_centered=%.4f least_over_untrained=%.4f least_over_raw=%.4f least_over_raw_centered=%.4f spread=%.3f collapsed_spread=%.4f seeds=%d\n",
	    knn/NR, untrained/NR, raw/NR, centered/NR, over_untrained, over_raw, over_centered, spread/NR, collapsed, NR }' "$work/figures"
