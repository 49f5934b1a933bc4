#!/usr/bin/env bash
# Installs the image's build dependencies, besides Go and a C compiler, on Debian as root:
# scripts/docker/build-packages.sh. With --list it only prints the packages.
set -euo pipefail

packages=(
  libturbojpeg0-dev # the JPEG decoder, found with pkg-config
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
