#!/usr/bin/env bash
# From a fresh clone to a pretrained backbone: fetches ONNX Runtime, builds vicreg, pretrains a
# small backbone on the CPU in under 3 minutes on 2 cores, exports it, shows that images of one kind
# are closer to each other than to others, indexes them, and serves all that with a search page.
set -euo pipefail

usage() {
	cat <<'EOF'
Usage: scripts/quickstart.sh [--out DIR] [--check] [IMAGES]

  IMAGES     a folder of at least 16 JPEG or PNG images of your own; without it,
             2000 sample images of 10 kinds are drawn
  --out DIR  where the samples, the run and the model go (default: quickstart)
  --check    stop after the server's first answer instead of serving on

Needs Go and a C compiler, and pip or npm to fetch the ONNX Runtime library.
EOF
}

out=quickstart images="" check=""
while (($#)); do
	case $1 in
	-h | --help) usage && exit 0 ;;
	--out) out=${2:?--out needs a folder} && shift 2 ;;
	--check) check=1 && shift ;;
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
# User-supplied paths are relative to the caller's working directory.
[[ $out == /* || $out == quickstart ]] || out=$start/$out
[[ -z $images || $images == /* ]] || images=$start/$images

own=$images
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

# About 300 steps, whatever the number of images: 20 epochs of the samples.
count=$(find -L "$images" -type f \( -iname '*.png' -o -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.webp' \) | wc -l)
if ((count < 16)); then
	echo "quickstart.sh: $images has $count images; give a folder of at least 16" >&2
	exit 2
fi
batch=$((count / 4 < 128 ? count / 4 : 128))
epochs=$((40000 * batch / 128 / count))
((epochs > 0)) || epochs=1

step "pretrain"
./vicreg train --data "$images" --out "$out/run" --force \
	--image-size 32 --width 16 --expander 512-512-512 --batch "$batch" \
	--epochs "$epochs" --optimizer adamw --lr 0.003 --warmup "$((epochs / 10))" --time-limit 160s | tee "$out/train.log"

step "export"
./vicreg export "$out/run" --untrained -o "$out/untrained.onnx"
./vicreg export "$out/run" -o "$out/backbone.onnx"

step "look at it: the untrained backbone first, then the trained one"
./vicreg eval --model "$out/untrained.onnx" --data "$images" --limit 2000
./vicreg eval --model "$out/backbone.onnx" --data "$images" --limit 2000

if grep -q '^stopped .*time limit' "$out/train.log"; then
	printf '\nThe training was cut off after 160 s, which shows that everything works and little more: expect poor figures.\n'
fi
printf '\nThe backbone is %s, a single ONNX file. To train one for longer, at a size for a laptop:\n' "$out/backbone.onnx"
printf '  ./vicreg train --data %q --out runs/mine --image-size 32 --width 16 --batch %s --epochs 200\n' "${own:-DIR}" "$batch"
printf '  ./vicreg export runs/mine\n'

step "index the images"
rm -f "$out"/images.index* # of an earlier model
./vicreg index add "$images" --index "$out/images.index" --model "$out/backbone.onnx"
./vicreg index duplicates "$out/images.index" | sed -n 1,3p

step "serve it"
if ! command -v curl >/dev/null; then
	echo "curl is not installed; the server starts with: ./vicreg serve --model $out/backbone.onnx --index $out/images.index"
	exit 0
fi
# Port 8080 if it is free, else any; the first line shows which one.
log=$out/serve.log
start_server() {
	: >"$log"
	./vicreg serve --model "$out/backbone.onnx" --index "$out/images.index" --addr "$1" >"$log" 2>"$log.requests" &
	server=$!
	trap 'kill "$server" 2>/dev/null || true' EXIT
	until address=$(sed -n 's/.* on \(http[^ ]*\)$/\1/p' "$log") && [[ -n $address ]]; do
		kill -0 "$server" 2>/dev/null || return 1
		sleep 0.1
	done
}
start_server localhost:8080 || start_server localhost:0 || { cat "$log.requests" >&2 && exit 1; }
image=$(find -L "$images" -type f \( -iname '*.png' -o -iname '*.jpg' -o -iname '*.jpeg' \) | LC_ALL=C sort | sed -n 1p)
for path in embed 'similar?k=3'; do
	ask=(curl -sS --fail-with-body --data-binary "@$image" -H "Content-Type: image/${image##*.}" "$address/$path")
	"${ask[@]}" | cut -c 1-400
	printf '\nThat was the answer to:\n  '
	printf '%q ' "${ask[@]}"
	printf '\n\n'
done
if [[ -n $check ]]; then
	kill "$server"
	wait "$server"
	exit 0
fi
printf 'The search page is %s; Ctrl-C ends the server. The log of requests is %s.\n' "$address/" "$log.requests"
wait "$server"
