"""Reference pictures for the tests of pipeline/imaging.

Writes pipeline/imaging/testdata: input files (PNG), cases.json with one row a
case, and expected.bin.gz with the raw RGB bytes the rows point into. Decoding has
files and a script of its own, decoding.py.

Made with Python 3.11, Pillow 9.4.0 (libjpeg-turbo 2.1.5), torchvision 0.14.1,
torch 1.13, numpy 1.24. To make it again, with those installed:

    python3 scripts/golden/imaging.py
"""

import gzip
import io
import json
import pathlib
import zlib

import numpy as np
import torch
import torchvision.transforms as T
import torchvision.transforms.functional as F
from PIL import Image, ImageOps

OUT = pathlib.Path(__file__).resolve().parents[2] / "pipeline/imaging/testdata"
BICUBIC, BILINEAR = T.InterpolationMode.BICUBIC, T.InterpolationMode.BILINEAR
cases, expected = [], bytearray()


def add(name, op, image, **fields):
    """One case whose result is the picture image (PIL, or an array of RGB)."""
    a = np.asarray(image if isinstance(image, np.ndarray) else image.convert("RGB"), dtype=np.uint8)
    cases.append(dict(name=name, op=op, w=a.shape[1], h=a.shape[0], at=len(expected), **fields))
    expected.extend(a.tobytes())


def picture(w, h, seed):
    """Gradients, hard edges and noise."""
    r = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w].astype(float)
    a = np.stack([127 + 120 * np.sin(x / 7 + y / 11), 255 * x / w, 255 * (1 - y / h)], -1)
    a[(x - w / 2) ** 2 + (y - h / 2) ** 2 < (h / 4) ** 2] = (240, 30, 20)
    a[:, w // 5 : w // 4] = (0, 0, 0)
    a[h // 6 : h // 5, :] = (255, 255, 255)
    a += r.normal(0, 12, a.shape)
    return Image.fromarray(a.clip(0, 255).astype(np.uint8), "RGB")


def encoded(im, kind, **options):
    b = io.BytesIO()
    im.save(b, kind, **options)
    return b.getvalue()


def resizing(big):
    pil = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    for name, size, box in (
        ("bicubic", (32, 32), None), ("bicubic", (97, 80), None), ("bicubic", (61, 20), None),
        ("bicubic", (33, 47), None), ("bicubic", (5, 4), None), ("bicubic", (24, 25), (10.3, 5.7, 50.2, 40.9)),
        ("bicubic", (40, 40), (0.5, 0.25, 11.75, 9)), ("bicubic", (61, 47), (0, 0, 61, 47)),
        ("bilinear", (20, 15), None), ("bilinear", (90, 60), None), ("bilinear", (24, 25), (10.3, 5.7, 50.2, 40.9)),
        ("bilinear", (3, 90), (20, 0, 61, 46.5)),
    ):  # fmt: skip
        box = box or (0, 0, *big.size)
        resized("big.png", big, name, pil[name], size, box)
    # Sources of one pixel or one line, a long one, and black-and-white noise, for which the bicubic
    # filter leaves 0..255 everywhere.
    noise = np.random.default_rng(4).integers(0, 2, (17, 23, 3)).astype(np.uint8) * 255
    for file, im in (
        ("noise.png", Image.fromarray(noise, "RGB")), ("pixel.png", picture(1, 1, 11)), ("row.png", picture(9, 1, 12)),
        ("column.png", picture(1, 9, 13)), ("long.png", picture(700, 3, 14)),
    ):  # fmt: skip
        (OUT / file).write_bytes(encoded(im, "PNG"))
        w, h = im.size
        for name in pil:
            for size in ((40, 31), (5, 4), (1, 1), (24, 2)):
                resized(file, im, name, pil[name], size, (0, 0, w, h))
            resized(file, im, name, pil[name], (8, 7), (0.3 * w, 0.45 * h, 0.85 * w, 0.9 * h))


def resized(file, im, name, filter, size, box):
    out = im.resize(size, filter, box=box)
    add(f"resize {file} {name} {size} {box}", "resize", out, file=file, filter=name, box=list(box))


OPS = {
    "brightness": F.adjust_brightness, "contrast": F.adjust_contrast, "saturation": F.adjust_saturation,
    "hue": F.adjust_hue, "grey": lambda im, _: F.to_grayscale(im, 3), "solarise": lambda im, t: ImageOps.solarize(im, t),
}  # fmt: skip
VALUES = {
    "brightness": (0.6, 1.37), "contrast": (0.63, 1.4), "saturation": (0.0, 0.81, 1.2, 0.9999999),
    "hue": (-0.1, -0.5, 0.07, 0.0, 0.033), "grey": (0,), "solarise": (128, 40),
}  # fmt: skip


def colours(small):
    for op, values in VALUES.items():
        for v in values:
            add(f"{op} {v}", op, OPS[op](small, v), value=v)
    # Every third level of each channel, 86^3 colours, kept as a checksum.
    level = np.arange(0, 256, 3, dtype=np.uint8)
    cube = np.stack(np.meshgrid(level, level, level, indexing="ij"), -1).reshape(86 * 86, 86, 3)
    cube = Image.fromarray(cube, "RGB")
    for op, values in VALUES.items():
        for v in values:
            crc = zlib.crc32(np.asarray(OPS[op](cube, v)).tobytes())
            cases.append(dict(name=f"cube {op} {v}", op="cube " + op, value=v, crc=crc))


def blurring(small):
    """A Gaussian in float64, edges repeated, cut off at 12 sigma."""
    for sigma in (0.1, 0.4, 1.0, 2.0):
        n = int(np.ceil(12 * sigma))
        k = np.exp(-0.5 * (np.arange(-n, n + 1) / sigma) ** 2)
        k /= k.sum()
        a = np.asarray(small).astype(float)
        for axis in (0, 1):
            width = [(n, n) if i == axis else (0, 0) for i in range(3)]
            a = np.apply_along_axis(lambda v: np.convolve(v, k, "valid"), axis, np.pad(a, width, "edge"))
        add(f"blur {sigma}", "blur", np.rint(a).astype(np.uint8), value=sigma)


def evaluating(big):
    tall = big.transpose(Image.Transpose.ROTATE_90)
    for name, im in (("wide", big), ("tall", tall)):
        for resize, crop, mode in ((40, 33, BICUBIC), (30, 30, BILINEAR), (24, 32, BICUBIC), (70, 36, BICUBIC)):
            out = F.center_crop(F.resize(im, resize, mode), crop)
            add(f"evaluate {name} {resize} {crop}", "evaluate", out, file=name, resize=resize, crop=crop, filter=mode.value)


def fitting(big):
    """Both ways to a square in which nothing is cut off."""
    tall, line = big.transpose(Image.Transpose.ROTATE_90), big.crop((0, 9, 61, 13))
    pil = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    for name, im in (("wide", big), ("tall", tall), ("line", line)):
        for mode, filter in pil.items():
            for crop in (12, 17, 30) if name != "line" else (16, 61, 64):
                padded = ImageOps.pad(im, (crop, crop), filter, color=(124, 116, 104))
                add(f"pad {name} {crop} {mode}", "pad", padded, file=name, crop=crop, filter=mode)
                add(f"squash {name} {crop} {mode}", "squash", im.resize((crop, crop), filter), file=name, crop=crop, filter=mode)


def cropped(u, size):
    """torchvision's own choice of crop, fed with given random numbers."""
    u = iter(u)

    def uniform(self, lo, hi):
        return torch.tensor([float(lo) + (float(hi) - float(lo)) * next(u)], dtype=torch.float64)

    def randint(lo, hi, size):
        return torch.tensor([int(lo + next(u) * (hi - lo))])

    keep = torch.Tensor.uniform_, torch.randint
    torch.Tensor.uniform_, torch.randint = uniform, randint
    try:
        return T.RandomResizedCrop.get_params(Image.new("RGB", size), [0.08, 1], [3 / 4, 4 / 3])
    finally:
        torch.Tensor.uniform_, torch.randint = keep


def cropping():
    r = np.random.default_rng(9)
    for size in ((500, 375), (375, 500), (32, 32), (1000, 60), (60, 1000), (3, 2)):
        for _ in range(6):
            tries = r.random((10, 4)).round(6)
            used, u = [], tries.flatten().tolist()
            # A try that does not fit consumes only two numbers: feed it a row at a time.
            for row in tries.tolist():
                used.append(row)
                i, j, h, w = cropped_rows(used, size)
                if i is not None:
                    break
            else:
                i, j, h, w = fallback(tries, size)
            cases.append(dict(name=f"crop of {size}", op="crop", box=[*size], tries=u, want=[j, i, w, h]))


def cropped_rows(rows, size):
    """The crop if the last of rows is the first to fit, else Nones."""
    u = [x for row in rows[:-1] for x in row[:2]] + rows[-1]
    try:
        return cropped(u, size)
    except StopIteration:
        return None, None, None, None


def fallback(tries, size):
    return cropped([x for row in tries.tolist() for x in row[:2]], size)


def applying(big):
    """A whole view without the blur, which differs on purpose."""
    for n, (order, flip) in enumerate((((0, 1, 2, 3), True), ((3, 2, 1, 0), False))):
        u = [0.37 + 0.2 * n, 0.61, 0.25, 0.7]
        i, j, h, w = cropped(u, big.size)
        im = F.resized_crop(big, i, j, h, w, [32, 32], BICUBIC)
        if flip:
            im = F.hflip(im)
        value = (0.8 + 0.5 * n, 1.3, 0.85, -0.06)
        for o in order:
            im = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)[o](im, value[o])
        im = ImageOps.solarize(im, 128) if flip else im
        add(f"apply {n}", "apply", im, tries=u, flip=flip, order=[o + 1 for o in order], values=value)


OUT.mkdir(parents=True, exist_ok=True)
big, small = picture(61, 47, 1), picture(37, 29, 2)
(OUT / "rgb.png").write_bytes(encoded(small, "PNG"))
(OUT / "big.png").write_bytes(encoded(big, "PNG", optimize=True))
resizing(big)
colours(small)
blurring(small)
evaluating(big)
cropping()
applying(big)
fitting(big)
(OUT / "cases.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
(OUT / "expected.bin.gz").write_bytes(gzip.compress(bytes(expected), mtime=0))
