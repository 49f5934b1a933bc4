#!/usr/bin/env bash
# Installs what the image is built with, besides Go and a C compiler, on Debian as
# root: scripts/docker/build-packages.sh. With --list it prints the packages only.
set -euo pipefail

packages=(
  libturbojpeg0-dev # the decoder of JPEG, found with pkg-config
  pkg-config
  python3-pip # fetches ONNX Runtime
)
case ${1:-} in
  --list) printf '%s\n' "${packages[@]}"; exit 0 ;;
  ?*) echo "build-packages.sh: unknown argument \"$1\"" >&2; exit 2 ;;
esac
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends "${packages[@]}"
rm -rf /var/lib/apt/lists/*
