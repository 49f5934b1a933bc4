"""Do one training step with Python's onnxruntime and compare it with Go's.

    python3 scripts/golden/ort_step.py FOLDER

The folder holds training_model.onnx and optimizer_model.onnx, as a run has them,
and three safetensors files of float32 and uint8 tensors:
    state     parameters, running statistics and the optimiser's tensors before
              the step, by the name of the graph input
    batch     view1, view2, lr, loss_scale
    expected  loss, and NAME.next for each tensor of the state after the step
The models run unchanged: first training_model, then optimizer_model on its
gradients. The loss and each tensor must be within 1e-5 of the expected (of its
largest element), and each must differ from the one before the step.
"""

import json
import os
import sys

import numpy as np
import onnxruntime

BOUND = 1e-5


def read_safetensors(path):
    """The tensors of a safetensors file, by name."""
    with open(path, "rb") as f:
        data = f.read()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    types = {"F32": "<f4", "U8": "u1"}
    out = {}
    for name, entry in header.items():
        a, b = entry["data_offsets"]
        out[name] = np.frombuffer(data[start + a:start + b], types[entry["dtype"]]).reshape(entry["shape"])
    return out


def run(path, *given):
    """All outputs of a model; each input comes from the first dict that has it."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {v.name: next(d[v.name] for d in given if v.name in d) for v in session.get_inputs()}
    names = [v.name for v in session.get_outputs()]
    return dict(zip(names, session.run(names, feed)))


def error(got, want):
    """The largest difference relative to the largest element."""
    return float(np.abs(got - want).max() / np.abs(want).max())


def main(folder):
    state, batch, expected = (read_safetensors(os.path.join(folder, f"{f}.safetensors"))
                              for f in ("state", "batch", "expected"))
    out = run(os.path.join(folder, "training_model.onnx"), state, batch)
    out.update(run(os.path.join(folder, "optimizer_model.onnx"), state, batch, out))
    missing = [name for name in state if name + ".next" not in expected] or [n for n in expected if n not in out]
    if missing or "loss" not in expected:
        sys.exit(f"not compared: {missing or 'loss'}")
    errors = {name: error(out[name], want) for name, want in expected.items()}
    still = [name for name, old in state.items() if np.array_equal(out[name + ".next"], old)]
    wrong = [f"{name} is off by {e:.1e}" for name, e in errors.items() if not e <= BOUND]
    wrong += [f"{name} does not change" for name in still]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"onnxruntime {onnxruntime.__version__}: loss {out['loss'][0]:.6f} off by {errors.pop('loss'):.1e},",
          f"{len(errors)} new tensors by at most {max(errors.values()):.1e}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: ort_step.py FOLDER")
    main(sys.argv[1])
