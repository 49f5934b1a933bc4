"""Check model files with the reference implementation of the format.

    python3 scripts/golden/check_onnx.py MODEL.onnx...

A model of standard operators goes through onnx.checker with full, strict shape
inference, and every shape and type that inference finds is compared with the
one the file declares; so is the set of names, since each tensor must be
declared. The reference knows no operators of other domains: a model with such
is checked without shape inference, and its line says so. One line a file; the
exit code is 1 when a file is wrong.
"""

import sys

import onnx

STANDARD = ("", "ai.onnx")


def declared(graph):
    """The declared (type, dimensions) of each tensor, by name."""
    return {v.name: spec(v) for group in (graph.input, graph.value_info, graph.output) for v in group}


def spec(value):
    """Element type, and dimensions as numbers or the names of open ones."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return tensor.elem_type, None
    dims = [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim]
    return tensor.elem_type, dims


def text(s):
    return onnx.TensorProto.DataType.Name(s[0]).lower() + str(s[1])


def bare(model):
    """The model without what it says of its inner tensors and of the shapes of
    its outputs, so that inference cannot repeat what it was told."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for v in copy.graph.output:
        v.type.tensor_type.ClearField("shape")
    return copy


def agree(inferred, says):
    """Inference may leave a dimension open; what it finds must be as declared."""
    if inferred[0] != says[0] or says[1] is None or inferred[1] is None:
        return False
    return len(inferred[1]) == len(says[1]) and all(
        a == b or a == "?" or str(a).startswith("unk__") for a, b in zip(inferred[1], says[1]))


def compare(model):
    """Compare inference with declaration; the number of tensors, and complaints."""
    says, bad = declared(model.graph), []
    found = declared(onnx.shape_inference.infer_shapes(bare(model), check_type=True, strict_mode=True, data_prop=True).graph)
    made = [name for node in model.graph.node for name in node.output if name]
    for name in made:
        if name not in says:
            bad.append(f"{name} is not declared")
        elif name in found and not agree(found[name], says[name]):
            bad.append(f"{name} is {text(found[name])}, declared {text(says[name])}")
        elif name not in found:
            bad.append(f"{name}: nothing inferred")
    return len(made), bad


def check(path):
    """Check one file; what to print about it, and whether it is right."""
    model = onnx.load(path)
    foreign = sorted({n.domain for n in model.graph.node if n.domain not in STANDARD})
    if foreign:
        onnx.checker.check_model(model)
        return f"ok, without shape inference: operators of {', '.join(foreign)}", True
    onnx.checker.check_model(model, full_check=True)
    count, bad = compare(model)
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        return f"wrong: {bad[0]}{more}", False
    return f"ok, {len(model.graph.node)} nodes, {count} tensors as inferred", True


def main(paths):
    if not paths:
        sys.exit("usage: check_onnx.py MODEL.onnx...")
    right = True
    for path in paths:
        try:
            line, ok = check(path)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, OSError, ValueError) as e:
            line, ok = "wrong: " + " ".join(str(e).split()), False
        except Exception as e:  # protobuf's decoder raises on a file that is not a model
            line, ok = f"unreadable: {type(e).__name__}: " + " ".join(str(e).split()), False
        print(f"{path}: {line}")
        right = right and ok
    sys.exit(not right)


if __name__ == "__main__":
    main(sys.argv[1:])
