#!/usr/bin/env bash
# Fetches the ONNX Runtime of the image: scripts/docker/onnxruntime.sh [PREFIX]
# It goes to PREFIX/usr/local/lib/vicreg, where the image's VICREG_ONNXRUNTIME
# points; PREFIX is /out when none is given. A library that is there and whose
# checksum is right stays, without network.
set -euo pipefail

exec "$(dirname "${BASH_SOURCE[0]}")/../get-onnxruntime.sh" --dir "${1:-/out}/usr/local/lib/vicreg"
