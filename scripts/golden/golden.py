"""Values that Go and Python make alike, and a writer of safetensors files.

The reference fixtures hold what PyTorch computed. What it was fed (weights,
images) is made from a name by u(), so that a test regenerates it bit for bit
instead of reading megabytes:

    seed  = FNV-1a, 64 bits, over the UTF-8 bytes of the name
    h(i)  = mix(seed + (i+1) * 0x9E3779B97F4A7C15)            (mod 2^64)
    mix   = z ^= z>>30; z *= 0xBF58476D1CE4E5B9
            z ^= z>>27; z *= 0x94D049BB133111EB; z ^= z>>31   (SplitMix64)
    u(i)  = float32(h(i) >> 40) / 2^23 - 1                    24 bits, exact, in [-1, 1)
    fill  = float32(offset + scale * u)    in float64: the product rounded, then the
                                           sum rounded, then once more to float32
    pixel = h(i) >> 56                                        uint8

Elements are numbered in row-major order. Run as a script, it writes
fixtures/u.safetensors, the first values for a few names.
"""

import json
import os
import platform
import struct
import sys

import numpy as np

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
GAMMA = 0x9E3779B97F4A7C15
TYPES = {"float32": "F32", "float64": "F64", "int64": "I64", "uint8": "U8"}


def fnv1a(name):
    """64-bit FNV-1a of the UTF-8 bytes of name."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def hashes(name, count):
    """The first count values of h for this name, as uint64."""
    z = np.uint64(fnv1a(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def u(name, count):
    """The first count values of u for this name: float32 in [-1, 1)."""
    return (hashes(name, count) >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)


def fill(name, shape, scale=1.0, offset=0.0):
    """A float32 array of offset + scale*u."""
    values = float(offset) + float(scale) * u(name, int(np.prod(shape))).astype(np.float64)
    return values.astype(np.float32).reshape(shape)


def pixels(name, shape):
    """A uint8 array, every value as likely as any other."""
    return (hashes(name, int(np.prod(shape))) >> np.uint64(56)).astype(np.uint8).reshape(shape)


def save(filename, tensors, **metadata):
    """Write arrays by name as FIXTURES/filename in safetensors format.

    Values of metadata that are not strings are stored as JSON. The versions of
    the libraries (Debian's PyTorch 1.13.1 calls itself 1.13.0a0) and the command
    that remakes the file are added.
    """
    script = os.path.basename(sys.argv[0])
    header = {"__metadata__": {
        "generator": "scripts/golden/" + script,
        "remake": "OMP_NUM_THREADS=2 python3 scripts/golden/" + script,
        "python": platform.python_version(),
        "numpy": np.__version__,
        **({"torch": sys.modules["torch"].__version__} if "torch" in sys.modules else {}),
        **{k: v if isinstance(v, str) else json.dumps(v, sort_keys=True) for k, v in metadata.items()},
    }}
    blobs, at = [], 0
    for name in sorted(tensors, key=lambda n: (-np.asarray(tensors[n]).itemsize, n)):
        a = np.asarray(tensors[name], order="C")
        blobs.append(a.astype(a.dtype.newbyteorder("<")).tobytes())
        header[name] = {"dtype": TYPES[a.dtype.name], "shape": list(a.shape),
                        "data_offsets": [at, at + len(blobs[-1])]}
        at += len(blobs[-1])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = os.path.join(FIXTURES, filename)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    print(f"{filename}: {len(tensors)} tensors, {os.path.getsize(path)} bytes")


def main():
    names = ["", "a", "view1", "backbone.conv1.weight", "step19/view2", "naïve"]
    out = {}
    for name in names:
        out[f"u/{name}"] = u(name, 8)
        out[f"pixels/{name}"] = pixels(name, (8,))
        out[f"fill/{name}"] = fill(name, (8,), np.sqrt(3 / 27), 0.1)
    save("u.safetensors", out, fill="scale sqrt(3/27), offset 0.1")


if __name__ == "__main__":
    main()
