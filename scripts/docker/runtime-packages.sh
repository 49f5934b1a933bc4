#!/usr/bin/env bash
# Installs the runtime dependencies of the program in the image, besides glibc and CUDA, on Debian
# or Ubuntu as root: scripts/docker/runtime-packages.sh. With --list it only prints the packages.
set -euo pipefail

turbojpeg=libturbojpeg0
if [ "$(. /etc/os-release 2>/dev/null && echo "${ID:-}")" = ubuntu ]; then
  turbojpeg=libturbojpeg # its name there
fi
packages=(
  libgcc-s1 libstdc++6 # required by ONNX Runtime
  "$turbojpeg"
)
case ${1:-} in
  --list) printf '%s\n' "${packages[@]}"; exit 0 ;;
  ?*) echo "runtime-packages.sh: unknown argument \"$1\"" >&2; exit 2 ;;
esac
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends "${packages[@]}"
rm -rf /var/lib/apt/lists/*
