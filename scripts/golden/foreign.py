"""Compare an adapted model with the foreign one that it was made from.

    python3 scripts/golden/foreign.py FOLDER

The folder holds foreign.onnx, from normalised float32 [N, 3, H, W] to a vector,
adapted.onnx, made of it by pipeline/encoder, and data.safetensors:
    pixels      uint8 [N, H, W, 3]
    mean, std   float32 [3], of pixels in 0..1
    embedding   float32 [N, D], what Go got from the adapted model
adapted.onnx must pass onnx.checker with shape inference. Python's onnxruntime on
foreign.onnx and pixels normalised here, in float64, and on adapted.onnx and the
pixels as they are must both come within 1e-5 of the embedding (of its largest
element).
"""

import os
import sys

import numpy as np
import onnx
import onnxruntime

from ort_step import error, read_safetensors

BOUND = 1e-5


def run(path, x):
    """The only output of a model for its only input."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def main(folder):
    foreign, adapted = (os.path.join(folder, f"{name}.onnx") for name in ("foreign", "adapted"))
    onnx.checker.check_model(onnx.load(adapted), full_check=True)
    data = read_safetensors(os.path.join(folder, "data.safetensors"))
    normalised = (data["pixels"] / 255 - data["mean"].astype(float)) / data["std"].astype(float)
    vectors = {
        "foreign": run(foreign, normalised.transpose(0, 3, 1, 2).astype(np.float32)),
        "adapted": run(adapted, data["pixels"]),
    }
    want = data["embedding"]
    errors = {name: error(y.reshape(want.shape), want) for name, y in vectors.items()}
    wrong = [f"{name} is off by {e:.1e}" for name, e in errors.items() if not e <= BOUND]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"onnxruntime {onnxruntime.__version__}: {len(want)} vectors off by at most {max(errors.values()):.1e}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: foreign.py FOLDER")
    main(sys.argv[1])
