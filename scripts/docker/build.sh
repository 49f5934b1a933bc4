#!/usr/bin/env bash
# Builds the program of the image: scripts/docker/build.sh [PREFIX]
# It is installed as PREFIX/usr/local/bin/vicreg; PREFIX is /out by default. Needs Go, a C compiler,
# pkg-config and libturbojpeg, with which JPEG decodes three times as fast.
set -euo pipefail

bin=${1:-/out}/usr/local/bin
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# vicreg version reports the revision if the sources come with their history.
vcs=false
if git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then vcs=true; fi

CGO_ENABLED=1 go build -tags turbojpeg -buildvcs="$vcs" -ldflags '-s -w' -o "$bin/vicreg" .
