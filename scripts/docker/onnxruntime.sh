#!/usr/bin/env bash
# Fetches the ONNX Runtime of the image: scripts/docker/onnxruntime.sh [PREFIX]
# It is installed in PREFIX/usr/local/lib/vicreg, where the image's VICREG_ONNXRUNTIME points;
# PREFIX is /out by default. An existing library with the right checksum is kept, without network
# access.
set -euo pipefail

exec "$(dirname "${BASH_SOURCE[0]}")/../get-onnxruntime.sh" --dir "${1:-/out}/usr/local/lib/vicreg"
