#!/usr/bin/env bash
# summary: one training step over the same step in PyTorch, paired in one run; on the CPU, or with --device cuda
#
# Usage: scripts/bench.sh train-step [--quick] [--case NAME] [--rounds N] [--threads N]
#                                    [--device cuda[:N] [--precision fp32|tf32|fp16|bf16]]
# Needs PyTorch, such as Debian's python3-torch with libopenblas0-pthread: for the
# Python named by VICREG_TORCH_PYTHON, else for python3 or the system's python3.
set -euo pipefail
for python in "${VICREG_TORCH_PYTHON:-python3}" /usr/bin/python3; do
	if "$python" -c 'import torch' 2>/dev/null; then
		export VICREG_TORCH_PYTHON=$python
		break
	fi
done
if ! "${VICREG_TORCH_PYTHON:-python3}" -c 'import torch' 2>/dev/null; then
	echo "train-step: no python3 with PyTorch; install it or set VICREG_TORCH_PYTHON" >&2
	exit 1
fi
cuda=()
[[ " $* " != *[\ =]cuda* ]] || cuda=(--cuda)
scripts/get-onnxruntime.sh "${cuda[@]}" >&2
mkdir -p build
go build -o build/trainstep ./scripts/bench/trainstep
exec build/trainstep "$@"
