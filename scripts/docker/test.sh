#!/usr/bin/env bash
# Runs the steps of the Dockerfile without a container engine: scripts/docker/test.sh
# Builds the image's program into a temporary folder, adds the files from the base image and the
# runtime packages, substituting those of this machine, and starts it in that tree alone
# (scripts/docker/cage.sh).
#
# Steps that this machine cannot run are skipped with a message. Exit codes: 0 everything that could
# be tested passed, 1 something failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

skip() { echo "SKIPPED: $*"; }

if [ "$(uname -s)" != Linux ]; then
  skip "the image is for Linux"
  exit 0
fi
if ! pkg-config --exists libturbojpeg 2>/dev/null; then
  skip "pkg-config does not find libturbojpeg, which the image is built with"
  exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp" # other users read it
root=$tmp/root library=usr/local/lib/vicreg

# A library that is already fetched is not fetched again, but its checksum is verified.
mkdir -p "$root/$library"
if fetched=$(scripts/get-onnxruntime.sh --print 2>/dev/null); then
  cp "$fetched" "$root/$library/"
  ln -s "$(basename "$fetched")" "$root/$library/libonnxruntime.so"
fi
scripts/docker/onnxruntime.sh "$root"
scripts/docker/build.sh "$root"

# The same step of the image for NVIDIA GPUs, if that needs no 250 MB download.
if fetched=$(scripts/get-onnxruntime.sh --cuda --print 2>/dev/null); then
  mkdir -p "$tmp/cuda/$library"
  cp -P "$(dirname "$fetched")"/libonnxruntime* "$tmp/cuda/$library/"
  scripts/docker/onnxruntime-cuda.sh "$tmp/cuda" 2>"$tmp/said" || { cat "$tmp/said" >&2; exit 1; }
  rm -r "$tmp/cuda"
else
  skip "the library of the image for NVIDIA GPUs: scripts/get-onnxruntime.sh --cuda has not fetched it"
fi

# needed FILE...: prints the libraries that they load, and the loader.
needed() {
  ldd "$@" >"$tmp/ldd"
  if grep 'not found' "$tmp/ldd" >&2; then return 1; fi
  grep -o '/[^ ]*' "$tmp/ldd" | grep -v -e ':$' | sort -u
}
needed "$root/usr/local/bin/vicreg" "$root/$library/libonnxruntime.so" >"$tmp/needed"
while read -r file; do
  mkdir -p "$root$(dirname "$file")"
  cp -L "$file" "$root$file"
done <"$tmp/needed"

# On the image's Debian release, the packages they belong to must be those that it installs.
packages=" libc6 $(scripts/docker/runtime-packages.sh --list | tr '\n' ' ')"
if [ "$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_CODENAME:-}")" = "debian bookworm" ]; then
  while read -r file; do
    owner=$(dpkg-query --search "$file" 2>/dev/null || dpkg-query --search "$(realpath "$file")")
    case $packages in
      *" ${owner%%:*} "*) ;;
      *) echo "test.sh: $file is of ${owner%%:*}, which runtime-packages.sh does not install" >&2; exit 1 ;;
    esac
  done <"$tmp/needed"
  echo "all libraries are of${packages% }"
else
  skip "which packages the libraries are of; that is asked on Debian bookworm"
fi

export VICREG_ONNXRUNTIME=$root/$library ORT_DISABLE_TELEMETRY=1
vicreg=$root/usr/local/bin/vicreg
go run ./scripts/samples -out "$tmp/samples" -n 40 >/dev/null
"$vicreg" train --data "$tmp/samples" --out "$tmp/run" --image-size 16 --width 4 --expander 8-8 --batch 8 --epochs 1 >/dev/null 2>&1
mkdir -m 755 "$tmp/models"
"$vicreg" export "$tmp/run" -o "$tmp/models/backbone.onnx" >/dev/null 2>&1

if [ "$(id -u)" != 0 ] || ! unshare --mount --net ip link set lo up 2>/dev/null || ! command -v curl >/dev/null; then
  skip "serving from the tree: that needs root, unshare, ip and curl"
  # Only the libraries are taken from the tree here.
  loader=$(grep '/ld-' "$tmp/needed")
  folders=$(sed -n 's|/[^/]*$||p' "$tmp/needed" | sort -u | sed "s|^|$root|" | paste -sd:)
  alone=(env -i VICREG_ONNXRUNTIME="$VICREG_ONNXRUNTIME" ORT_DISABLE_TELEMETRY=1
    "$root$loader" --inhibit-cache --library-path "$folders" "$vicreg")
  "${alone[@]}" version
  "${alone[@]}" doctor
  code=0
  "${alone[@]}" health http://127.0.0.1:1/livez || code=$?
  [ "$code" = 1 ] || { echo "test.sh: vicreg health ends with $code when nothing serves" >&2; exit 1; }
  exit 0
fi
find "$tmp/samples" -name '*-00001.*' | sort | head -n 3 >"$tmp/images"
mapfile -t images <"$tmp/images"
unshare --mount --net scripts/docker/cage.sh "$root" "$tmp/models" "${images[@]}"
