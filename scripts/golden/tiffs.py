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

# Read: the first three bands are red, green and blue; those of 16 bits are 257 times as large.
write("rgbx.tif", bands(4), photometric="rgb", extrasamples=["unspecified"])
write("rgbx16-big.tif", bands(4, kind=np.uint16, factor=257), photometric="rgb", extrasamples=["unspecified"], byteorder=">")
for name, n, options in [
    ("planar", 3, {}),
    ("planar-strips", 3, dict(rowsperstrip=4, compression="lzw", predictor=True)),
    ("planar-tiles", 3, dict(tile=(16, 16), compression="zlib")),
    ("planar4", 4, dict(rowsperstrip=8, extrasamples=["unassalpha"])),
    ("planar6", 6, dict(extrasamples=["unspecified"] * 3)),
]:
    write(name + ".tif", bands(n, 0), photometric="rgb", planarconfig="separate", **options)
write("planar16-big.tif", bands(3, 0, np.uint16, 257), photometric="rgb", planarconfig="separate", rowsperstrip=5, byteorder=">")
write("pages.tif", np.stack([value(0), 255 - value(0)]), photometric="minisblack")

# Refused.
write("no-big.tif", value(0), bigtiff=True)
for n in (2, 3, 4):
    write(f"no-grey{n}.tif", bands(n), photometric="minisblack", planarconfig="contig")
write("no-rgb5.tif", bands(5), photometric="rgb")
for kind in (np.int16, np.float32, np.uint32):
    write(f"no-{np.dtype(kind)}.tif", value(0).astype(kind))
write("no-cmyk.tif", bands(4), photometric="separated")
write("no-jpeg.tif", value(0), compression="jpeg")
write("no-ycbcr.tif", bands(3), photometric="ycbcr", compression="jpeg")
write("no-zstd.tif", value(0), compression="zstd")
