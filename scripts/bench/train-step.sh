#!/usr/bin/env bash
# summary: one training step on the CPU over the same step in PyTorch, paired in one run
#
# Usage: scripts/bench.sh train-step [--quick] [--case NAME] [--rounds N] [--threads N]
# Needs PyTorch for the python3 named by VICREG_TORCH_PYTHON (default: python3).
set -euo pipefail
scripts/get-onnxruntime.sh >&2
mkdir -p build
go build -o build/trainstep ./scripts/bench/trainstep
exec build/trainstep "$@"
