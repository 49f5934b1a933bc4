#!/usr/bin/env bash
# summary: pictures to views and to the encoder's input, over Pillow and torchvision, paired in one run
#
# Usage: scripts/bench.sh data [--quick] [--rounds N] [--case views224|views32|serve|scaling]
# Two views of a picture from its JPEG bytes, at 224 pixels (recipe imagenet, 40
# photographs) and at 32 (recipe cifar, CIFAR-10), and what serving does to one: the
# default build and, where pkg-config finds libturbojpeg, one with the tag turbojpeg,
# each over torchvision on Pillow images with one thread. Then two workers over one,
# and allocations. The scaling wants a machine without other work.
# Needs torchvision, such as Debian's python3-torchvision, for the Python named by
# VICREG_TORCH_PYTHON, else for python3 or the system's python3; and the folder
# VICREG_TEST_DATA, by default ../shared/data, with photos/*.jpg and
# cifar10-jpg.tar.xz.
set -euo pipefail
for python in "${VICREG_TORCH_PYTHON:-python3}" /usr/bin/python3; do
	if "$python" -c 'import torch, torchvision, PIL' 2>/dev/null; then
		found=$python
		break
	fi
done
if [[ -z ${found:-} ]]; then
	echo "data: no python3 with PyTorch and torchvision; install them or set VICREG_TORCH_PYTHON" >&2
	exit 1
fi
data=${VICREG_TEST_DATA:-../shared/data}
if ! compgen -G "$data/photos/*.jpg" >/dev/null || [[ ! -f $data/cifar10-jpg.tar.xz ]]; then
	echo "data: no photos/*.jpg and cifar10-jpg.tar.xz in $data; set VICREG_TEST_DATA" >&2
	exit 1
fi
work=build/data
mkdir -p "$work"
if [[ ! -d $work/cifar/test ]]; then
	rm -rf "$work/extracted"
	mkdir "$work/extracted"
	tar -xJf "$data/cifar10-jpg.tar.xz" -C "$work/extracted" cifar/test
	mkdir -p "$work/cifar"
	mv "$work/extracted/cifar/test" "$work/cifar/test"
	rm -rf "$work/extracted"
fi
go build -o "$work/default" ./scripts/bench/data
turbo=()
if pkg-config --exists libturbojpeg 2>/dev/null && CGO_ENABLED=1 go build -tags turbojpeg -o "$work/turbo" ./scripts/bench/data; then
	turbo=(-turbo "$work/turbo")
else
	echo "data: no libturbojpeg (Debian: libturbojpeg0-dev), so the default build alone" >&2
fi
exec "$work/default" -python "$found" "${turbo[@]}" -photos "$data/photos" -small "$work/cifar/test" "$@"
