#!/usr/bin/env bash
# summary: one training step by two processes over the same step by one, and the same of PyTorch's DistributedDataParallel
#
# Usage: scripts/bench.sh collectives [--quick] [--case NAME] [--rounds N] [--threads N] [--processes N] [--sync-batchnorm=false]
# The processes share the statistics of BatchNorm, as those of vicreg train do unless they are
# told otherwise; PyTorch's do not, as its SyncBatchNorm is for GPUs.
# Needs an MPI with mpicc and mpirun, such as Debian's openmpi-bin with libopenmpi-dev. The peer
# needs a PyTorch with gloo, such as Debian's python3-torch: of the Python named by
# VICREG_TORCH_PYTHON, else of python3 or the system's python3; without one there is no peer.
set -euo pipefail
for tool in mpicc mpirun; do
	if ! command -v "$tool" >/dev/null; then
		echo "collectives: no $tool; install an MPI" >&2
		exit 1
	fi
done
peer=()
for python in "${VICREG_TORCH_PYTHON:-python3}" /usr/bin/python3; do
	if "$python" -c 'import torch.distributed as d; assert d.is_available() and d.is_gloo_available()' 2>/dev/null; then
		peer=(-python "$python")
		break
	fi
done
[ ${#peer[@]} != 0 ] || echo "collectives: no PyTorch with gloo, so no peer" >&2
scripts/get-onnxruntime.sh >&2
mkdir -p build
mpicc -O2 -shared -fPIC -I models/ort -o build/libvicreg_mpi.so scripts/collectives/mpi.c
go build -o build/collectives ./scripts/bench/collectives
if [ "$(id -u)" = 0 ]; then # Open MPI refuses to run as root otherwise
	export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
exec build/collectives -bridge "$PWD/build/libvicreg_mpi.so" "${peer[@]}" "$@"
