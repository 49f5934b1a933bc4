#!/usr/bin/env bash
# From a fresh clone to a pretrained backbone: fetches ONNX Runtime, builds
# vicreg, pretrains a small backbone on the CPU in under 3 minutes on 2 cores,
# exports it, and shows that images of one kind lie closer than others.
set -euo pipefail

usage() {
	cat <<'EOF'
Usage: scripts/quickstart.sh [--out DIR] [IMAGES]

  IMAGES     a folder of JPEG or PNG images of your own; without it, 2000 sample
             images of 10 kinds are drawn
  --out DIR  where the samples, the run and the model go (default: quickstart)

Needs Go and a C compiler, and pip or npm to fetch the ONNX Runtime library.
EOF
}

out=quickstart images=
while (($#)); do
	case $1 in
	-h | --help) usage && exit 0 ;;
	--out) out=${2:?--out needs a folder} && shift 2 ;;
	-*) echo "quickstart.sh: unknown flag $1; --help explains" >&2 && exit 2 ;;
	*) images=$1 && shift ;;
	esac
done
if [[ -n $images && ! -d $images ]]; then
	echo "quickstart.sh: $images is not a folder" >&2
	exit 2
fi

start=$PWD
cd "$(dirname "$0")/.."
for tool in go cc; do
	command -v "$tool" >/dev/null || { echo "quickstart.sh: $tool is not installed; Go and a C compiler are needed" >&2 && exit 1; }
done
# Paths the user gave are relative to where the script was called.
[[ $out == /* || $out == quickstart ]] || out=$start/$out
[[ -z $images || $images == /* ]] || images=$start/$images

step() { printf '\n== %s\n' "$*"; }

step "ONNX Runtime"
scripts/get-onnxruntime.sh

step "build"
go build -o vicreg .
./vicreg doctor

mkdir -p "$out"
if [[ -z $images ]]; then
	images=$out/samples
	step "sample images"
	rm -rf "$images"
	go run ./scripts/samples -out "$images"
fi

step "pretrain"
./vicreg train --data "$images" --out "$out/run" --force \
	--image-size 32 --width 16 --expander 512-512-512 --batch 128 \
	--epochs 12 --optimizer adamw --lr 0.003 --time-limit 160s

step "export"
./vicreg export "$out/run" --untrained -o "$out/untrained.onnx"
./vicreg export "$out/run" -o "$out/backbone.onnx"

step "look at it: the untrained backbone first, then the trained one"
./vicreg eval --model "$out/untrained.onnx" --data "$images" --limit 2000
./vicreg eval --model "$out/backbone.onnx" --data "$images" --limit 2000

printf '\nThe backbone is %s, a single ONNX file. With your own images:\n  ./vicreg train --data DIR --out runs/mine\n  ./vicreg export runs/mine\n' "$out/backbone.onnx"
