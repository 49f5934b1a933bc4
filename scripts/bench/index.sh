#!/usr/bin/env bash
# summary: the similarity index: searches over faiss, writes over raw SQLite, images over the encoder, and 200 kills
#
# Usage: scripts/bench.sh index [--quick] [--case NAME] [--rounds N] [--turn TIME] [--kills N] [--large N] [--real N]
# The cases, by default all:
#   vectors only makes what the others use: some 10 minutes on two cores, once
#   search  queries a second over faiss's IndexFlatIP and its 8-bit scalar quantiser (NumPy where pip finds no
#           faiss), for 100,000 vectors and --large 1,000,000, and recall against double precision
#   filter  searches with filters over those without
#   ingest  items a second over raw SQLite, and searches meanwhile
#   bulk    vicreg index add over the encoder alone, of small pictures and of photographs
#   memory  of an open index over its vectors, and the time to open it
#   duplicates  near duplicates over comparing all pairs, which must give the same, and their memory
#   kill    --kills 200 of a process that writes, deletes and searches, and of a server: is anything acknowledged
#           lost, is it synced before, and what does a full disk do?
# The vectors are real: a ResNet-18 is trained on CIFAR-10 for some minutes; its vectors of the 50,000 training
# images, and then of views of them (crops, mirrored ones), are what is found, those of the 10,000 test images
# what is searched for; beyond --real 200,000 they are mixtures of two, for the speed of a large index. Model and
# vectors are kept in build/index for the next time. Wants cifar10-jpg.tar.xz in the folder VICREG_TEST_DATA (default
# ../shared/data); without it, or with --quick, sample images are drawn, and with --quick also the weights. The
# figures want a machine without other work.
set -euo pipefail
quick="" only=all
arguments=("$@")
for ((i = 0; i < $#; i++)); do
	case ${arguments[i]} in
	--quick | -quick) quick=1 ;;
	--case | -case) only=${arguments[i + 1]:-} ;;
	--case=* | -case=*) only=${arguments[i]#*=} ;;
	esac
done
scripts/get-onnxruntime.sh >&2
work=build/index
mkdir -p "$work"
go build -o "$work/vicreg" .
go build -o "$work/bench" ./scripts/bench/index
if [[ $only == all || $only == kill ]]; then
	go test -c -o "$work/index.test" ./server/index
	go test -c -o "$work/vicreg.test" .
fi

# The peers' packages, in a separate environment. The stamp is written last.
python=()
venv=$work/venv
install() { # PACKAGES
	local pins="$*"
	if [[ $(cat "$venv/pins" 2>/dev/null) == "$pins" ]] && "$venv/bin/python" -c '' 2>/dev/null; then
		return 0
	fi
	rm -rf "$venv"
	python3 -c 'import venv, ensurepip' 2>/dev/null || return 1
	python3 -m venv "$venv" >&2 && "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
		--only-binary :all: "$@" >&2 || return 1
	echo "$pins" >"$venv/pins"
}
if [[ $only == all || $only == search ]]; then
	if install faiss-cpu==1.15.1 numpy==2.4.6; then
		python=(-python "$venv/bin/python" -faiss)
	elif install numpy==2.4.6; then
		python=(-python "$venv/bin/python")
	else
		echo "index: no python3 with venv, or pip could not install NumPy, so nothing to compare searches with" >&2
	fi
fi

# The indexed images, and the query images.
data=${VICREG_TEST_DATA:-../shared/data}
archive=$data/cifar10-jpg.tar.xz photos=()
if compgen -G "$data/photos/*.jpg" >/dev/null; then
	photos=(-photos "$data/photos")
fi
if [[ -z $quick && -f $archive ]]; then
	[[ -d $work/cifar/test ]] || tar xJf "$archive" -C "$work"
	images=$work/cifar/train held=$work/cifar/test
else
	[[ -n $quick ]] || echo "index: no $archive, so with images that are drawn" >&2
	count=$([[ -n $quick ]] && echo 2000 || echo 50000)
	images=$work/drawn-$count held=$work/drawn-held
	[[ -d $images ]] || { go run ./scripts/samples -out "$images.tmp" -n "$count" -size 32 && mv "$images.tmp" "$images"; } >&2
	[[ -d $held ]] || { go run ./scripts/samples -out "$held.tmp" -n 1000 -size 32 -seed 2 && mv "$held.tmp" "$held"; } >&2
fi
model=()
if [[ -z $quick ]]; then
	model=(-model "$work/$(basename "$images").onnx")
	if [[ ! -f ${model[1]} ]]; then
		nice -n 10 "$work/vicreg" train --data "$images" --out "$work/run" --force --stem imagenet --image-size 32 --batch 128 \
			--expander 1024-1024-1024 --optimizer adamw --lr 0.001 --epochs 1 >&2
		"$work/vicreg" export "$work/run" -o "${model[1]}" >&2
	fi
else
	work=$work/quick
fi
exec "$PWD/build/index/bench" -vicreg "$PWD/build/index/vicreg" -tests "$PWD/build/index" "${python[@]}" "${model[@]}" \
	"${photos[@]}" -images "$images" -held "$held" -work "$work" "$@"
