"""Small TIFF files of the kinds that the decoder in pipeline/imaging reads or refuses.

Writes pipeline/imaging/testdata/tiff. The pictures are formulas, which the test has,
too: value(x, y, c) and black(x, y) below.

Made with Pillow 13.0 (libtiff 4.7), tifffile 2026.3.3 and imagecodecs. To make it
again, with those installed:

    python3 scripts/golden/tiffs.py
"""

import pathlib

import numpy as np
import tifffile
from PIL import Image

OUT = pathlib.Path(__file__).resolve().parents[2] / "pipeline/imaging/testdata/tiff"
W, H = 37, 23
y, x = np.mgrid[0:H, 0:W]


def value(c):
    return ((7 * x + 13 * y + x * y + 50 * c) % 256).astype(np.uint8)


def bands(n, axis=-1, kind=np.uint8, factor=1):
    return np.stack([value(c) for c in range(n)], axis).astype(kind) * kind(factor)


def write(name, pixels, **options):
    tifffile.imwrite(OUT / name, pixels, metadata=None, software=False, **options)


OUT.mkdir(parents=True, exist_ok=True)
bits = Image.fromarray(np.where((x * x + 3 * y) % 7 < 3, 0, 255).astype(np.uint8)).convert("1")
for method in ["group3", "group4"]:
    bits.save(OUT / f"fax-{method}.tif", compression=method)
