#!/usr/bin/env bash
# Fetches the ONNX Runtime of the image for NVIDIA GPUs: scripts/docker/onnxruntime-cuda.sh
# [PREFIX]. Like scripts/docker/onnxruntime.sh, plus the two CUDA libraries.
set -euo pipefail

exec "$(dirname "${BASH_SOURCE[0]}")/../get-onnxruntime.sh" --cuda --dir "${1:-/out}/usr/local/lib/vicreg"
