"""Picture files and what Pillow makes of them, for the decoder in pipeline/imaging.

Writes pipeline/imaging/testdata/decode: the files, cases.json with one row a file,
and expected.bin.gz with the raw RGB bytes the rows point into: the picture turned
upright and converted to RGB. All pictures are synthetic.

Made with Python 3.11, Pillow 9.4.0 (libjpeg-turbo 2.1.5, libwebp 1.2.4), NumPy 1.24
and libturbojpeg 2.1.5, which writes what Pillow cannot: 4:4:0, 4:1:1, YCCK, restart
markers. To make it again, with those installed:

    python3 scripts/golden/decoding.py
"""

import ctypes
import gzip
import io
import json
import os
import pathlib
import shutil
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

OUT = pathlib.Path(__file__).resolve().parents[2] / "pipeline/imaging/testdata/decode"
cases, expected = [], bytearray()


def picture(w, h, seed=1):
    """Gradients, hard edges and some noise."""
    r = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w].astype(float)
    a = np.stack([127 + 120 * np.sin(x / 4 + y / 7), 255 * x / w, 255 * (1 - y / h)], -1)
    a[(x - w / 2) ** 2 + (y - h / 2) ** 2 < (h / 4) ** 2] = (240, 30, 20)
    a[:, w // 5 : w // 4] = (0, 0, 0)
    a += r.normal(0, 4, a.shape)
    return Image.fromarray(a.clip(0, 255).astype(np.uint8), "RGB")


def keep(name, data, pixels=None, orientation=1):
    """A file, and what it should become: Pillow's opinion unless pixels are given."""
    (OUT / name).write_bytes(data)
    if pixels is None:
        im = Image.open(io.BytesIO(data))
        pixels = ImageOps.exif_transpose(im).convert("RGB")
    a = np.asarray(pixels, dtype=np.uint8)
    cases.append(dict(file=name, w=a.shape[1], h=a.shape[0], orientation=orientation, at=len(expected)))
    expected.extend(a.tobytes())


def encoded(im, kind, **options):
    b = io.BytesIO()
    im.save(b, kind, **options)
    return b.getvalue()


def exif(orientation, order="<", kind=3):
    """An EXIF block that names an orientation, amid other tags."""
    value = {1: "B3x", 3: "H2x", 4: "I"}[kind]
    entries = struct.pack(order + "HHI4s", 0x0100, 3, 1, b"\1\1\0\0")
    entries += struct.pack(order + "HHI" + value, 0x0112, kind, 1, orientation)
    entries += struct.pack(order + "HHII", 0x0132, 2, 20, 8 + 2 + 36 + 4)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "H", 3) + entries + bytes(4) + b"2020:02:02 20:20:20\0"


# JPEG


def turbo(im, sampling, cmyk=False, **env):
    """libjpeg-turbo's own encoder. Sampling: 444 422 420 grey 440 411 are 0 to 5."""
    lib = ctypes.CDLL("libturbojpeg.so.0")
    lib.tjInitCompress.restype = ctypes.c_void_p
    for k, v in env.items():
        os.environ[k] = v
    a = np.ascontiguousarray(im)
    out, size = ctypes.c_void_p(), ctypes.c_ulong()
    handle = ctypes.c_void_p(lib.tjInitCompress())
    kind = 11 if cmyk else 0
    rc = lib.tjCompress2(handle, a.ctypes.data_as(ctypes.c_void_p), a.shape[1], 0, a.shape[0], kind,
                         ctypes.byref(out), ctypes.byref(size), sampling, 80, 0)  # fmt: skip
    assert rc == 0
    for k in env:
        del os.environ[k]
    return ctypes.string_at(out, size.value)


def without(data, marker):
    """A JPEG without its first segment of that kind."""
    at = data.index(b"\xff" + bytes([marker]))
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0] :]


def after_start(data, segment):
    return data[:2] + segment + data[2:]


def adobe(transform):
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


def jpegs(big, small):
    for i, name in enumerate(("444", "422", "420", None, "440", "411")):
        if not name:
            continue
        keep(f"s{name}.jpg", turbo(big, i))
        keep(f"s{name}-progressive.jpg", turbo(big, i, TJ_PROGRESSIVE="1"))
        keep(f"s{name}-restart.jpg", turbo(small, i, TJ_RESTART="1B"))
    keep("restart-progressive444.jpg", turbo(big, 0, TJ_PROGRESSIVE="1", TJ_RESTART="1"))
    keep("restart-progressive420.jpg", turbo(big, 2, TJ_PROGRESSIVE="1", TJ_RESTART="1"))
    keep("mcu.jpg", turbo(picture(48, 32), 2))  # whole blocks only
    for w in (1, 2, 3, 4, 5, 6, 17, 18):
        keep(f"w{w}-422.jpg", turbo(picture(w, 7), 1))
        keep(f"w{w}-420.jpg", turbo(picture(w, 20 - w), 2))
        keep(f"h{w}-440.jpg", turbo(picture(7, w), 4))

    keep("grey.jpg", encoded(small.convert("L"), "JPEG", quality=80))
    keep("grey-progressive.jpg", encoded(big.convert("L"), "JPEG", quality=80, progressive=True))
    # The sampling factors of a single component have no meaning.
    data = bytearray(encoded(small.convert("L"), "JPEG", quality=80))
    data[data.index(b"\xff\xc0") + 11] = 0x22
    keep("grey-factors.jpg", bytes(data))

    inks = np.concatenate([np.asarray(small), np.asarray(small.convert("L"))[..., None] // 2 + 90], -1)
    keep("cmyk.jpg", encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=80))
    keep("cmyk-unnamed.jpg", without(encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=80), 0xEE))
    keep("ycck444.jpg", turbo(inks, 0, cmyk=True))
    keep("ycck420.jpg", turbo(inks, 2, cmyk=True))
    data = turbo(inks, 2, cmyk=True)
    keep("cmyk420.jpg", after_start(without(data, 0xEE), adobe(0)))

    # Three components declared as something else: scrambled, but consistently so.
    for name, i in (("444", 0), ("420", 2)):
        bare = without(turbo(small, i), 0xE0)
        keep(f"rgb{name}.jpg", after_start(bare, adobe(0)))
        keep(f"rgb{name}-jfif.jpg", after_start(turbo(small, i), adobe(0)))
        keep(f"bare{name}.jpg", bare)
    keep("adobe1.jpg", after_start(without(turbo(small, 0), 0xE0), adobe(1)))
    named = bytearray(without(turbo(small, 0), 0xE0))
    for mark, first, step in ((b"\xff\xc0", 10, 3), (b"\xff\xda", 5, 2)):
        at = named.index(mark)
        for i, c in enumerate(b"RGB"):
            named[at + first + step * i] = c
    keep("rgb-named.jpg", bytes(named))

    data = turbo(small, 2)
    keep("trailing.jpg", data + b"what comes after the end" * 9)
    keep("stray.jpg", data[:-2] + b"stray" + data[-2:])
    keep("stuffed.jpg", data[:2] + b"\xff\xff\xff" + data[2:])

    for o in range(1, 9):
        keep(f"turned{o}.jpg", encoded(small, "JPEG", quality=80, exif=b"Exif\0\0" + exif(o, "<>"[o % 2])), orientation=o)
    keep("turned-byte.jpg", encoded(small, "JPEG", quality=80, exif=b"Exif\0\0" + exif(6, ">", 1)))  # not a number
    keep("turned-long.jpg", encoded(small, "JPEG", quality=80, exif=b"Exif\0\0" + exif(8, "<", 4)), orientation=8)
    keep("turned-wrong.jpg", encoded(small, "JPEG", quality=80, exif=b"Exif\0\0" + exif(9)))
    big_exif = b"Exif\0\0" + exif(5) + bytes(range(256)) * 100
    keep("turned-large.jpg", encoded(small, "JPEG", quality=80, exif=big_exif), orientation=5)


# PNG

PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))


def chunk(t, d):
    return struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))


def png(a, depth, kind, *between, interlaced=False):
    """a: rows, columns, samples; whole bytes a pixel."""
    a = a.reshape(a.shape[0], a.shape[1], -1)
    parts = [a[y::dy, x::dx] for y, dy, x, dx in PASSES] if interlaced else [a]
    raw = b"".join(b"\0" + r.tobytes() for p in parts if p.size for r in p)
    head = struct.pack(">IIBBBBB", a.shape[1], a.shape[0], depth, kind, 0, 0, interlaced)
    body = b"".join((chunk(b"IHDR", head), *between, chunk(b"IDAT", zlib.compress(raw, 9)), chunk(b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + body


def pngs(small):
    rgb, grey = np.asarray(small), np.asarray(small.convert("L"))
    keep("rgb.png", encoded(small, "PNG"))
    keep("rgb-interlaced.png", png(rgb, 8, 2, interlaced=True))
    keep("rgb-trns.png", png(rgb, 8, 2, chunk(b"tRNS", struct.pack(">HHH", *map(int, rgb[3, 3])))))
    keep("grey.png", encoded(small.convert("L"), "PNG"))
    keep("grey-trns.png", png(grey, 8, 0, chunk(b"tRNS", struct.pack(">H", grey[3, 3]))))
    alpha = small.copy()
    alpha.putalpha(small.convert("L"))
    keep("rgba.png", encoded(alpha, "PNG"))
    keep("greyalpha.png", encoded(alpha.convert("LA"), "PNG"))
    keep("bit.png", encoded(small.convert("1"), "PNG"))
    for depth in (1, 2, 4):
        rows = np.random.default_rng(depth).integers(0, 256, (9, 3), dtype=np.uint8)
        data = bytearray(png(rows, depth, 0))
        data[16:20] = struct.pack(">I", 24 // depth - 1)  # the width, and then its checksum
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        keep(f"grey{depth}.png", bytes(data))
    for colours in (2, 4, 13, 200):
        keep(f"palette{colours}.png", encoded(small.quantize(colours), "PNG"))
    keep("palette-trns.png", encoded(small.quantize(20), "PNG", transparency=bytes(range(0, 200, 10))))
    keep("palette-trns1.png", encoded(small.quantize(20), "PNG", transparency=3))
    r = np.random.default_rng(5)
    for name, kind, n in (("rgb16", 2, 3), ("greyalpha16", 4, 2), ("rgba16", 6, 4)):
        keep(f"{name}.png", png(r.integers(0, 65536, (9, 7, n)).astype(">u2"), 16, kind))
    # Pillow clips 16-bit grey at 255; this project keeps the high byte on purpose.
    deep = r.integers(0, 65536, (9, 7)).astype(">u2")
    keep("grey16.png", png(deep, 16, 0), np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, -1))
    for o in (3, 6):
        keep(f"turned{o}.png", encoded(small, "PNG", exif=exif(o)), orientation=o)


# WebP


def riff(*chunks):
    body = b"WEBP" + b"".join(t + struct.pack("<I", len(d)) + d + b"\0" * (len(d) % 2) for t, d in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def u24(v):
    return struct.pack("<I", v)[:3]


def webps(big, small):
    alpha = small.copy()
    alpha.putalpha(small.convert("L"))
    for name, im in (("", big), ("-even", picture(48, 34)), ("1", picture(1, 1)), ("2", picture(2, 3)), ("3", picture(3, 2))):
        keep(f"lossy{name}.webp", encoded(im, "WEBP", quality=75))
    keep("lossy-rough.webp", encoded(big, "WEBP", quality=5))
    keep("lossy-alpha.webp", encoded(alpha, "WEBP", quality=75))
    keep("lossless1.webp", encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "WEBP", lossless=True))
    keep("lossless.webp", encoded(small, "WEBP", lossless=True))
    keep("lossless-alpha.webp", encoded(alpha, "WEBP", lossless=True, exact=True))
    keep("lossless-palette.webp", encoded(small.quantize(9).convert("RGB"), "WEBP", lossless=True))
    keep("turned6.webp", encoded(small, "WEBP", quality=75, exif=exif(6)), orientation=6)
    # With JPEG's prefix, which some writers copy.
    data = encoded(small, "WEBP", lossless=True)
    extended = (b"VP8X", b"\x08\0\0\0" + u24(18) + u24(12))
    prefixed = riff(extended, (b"VP8L", data[20 : 20 + struct.unpack("<I", data[16:20])[0]]), (b"EXIF", b"Exif\0\0" + exif(7)))
    keep("turned7-prefix.webp", prefixed, orientation=7)
    keep("animated.webp", encoded(small, "WEBP", save_all=True, append_images=[small.rotate(90)], duration=50))
    # A first frame smaller than the canvas, at an offset.
    for kind, name, lossless in ((b"VP8L", "lossless", True), (b"VP8 ", "lossy", False)):
        data = encoded(picture(9, 7), "WEBP", lossless=lossless)
        assert data[12:16] == kind
        place = u24(2) + u24(3) + u24(8) + u24(6) + u24(100) + b"\0"
        keep(f"animated-part-{name}.webp", riff(
            (b"VP8X", b"\x02\0\0\0" + u24(19) + u24(16)), (b"ANIM", bytes(6)), (b"ANMF", place + data[12:])))  # fmt: skip


# GIF


def lzw(pixels, bits):
    """Uncompressed: a clear code before each table gets full."""
    codes, clear = [], 1 << bits
    for i, p in enumerate(pixels):
        if i % (clear - 2) == 0:
            codes.append(clear)
        codes.append(int(p))
    codes.append(clear + 1)
    n = sum(c << (i * (bits + 1)) for i, c in enumerate(codes))
    data = n.to_bytes((len(codes) * (bits + 1) + 7) // 8, "little")
    blocks = [data[i : i + 255] for i in range(0, len(data), 255)]
    return bytes([bits]) + b"".join(bytes([len(b)]) + b for b in blocks) + b"\0"


def gif(screen, frame, colours=None, own=None, transparent=None):
    """A GIF of one frame at frame[:2] of its screen; tables have eight colours."""
    r = np.random.default_rng(8)
    x, y, w, h = frame
    data = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x82 if colours else 0, 5, 0) + (colours or b"")
    if transparent is not None:
        data += b"!\xf9\4" + struct.pack("<BHB", 1, 0, transparent) + b"\0"
    data += b"!\xfe\5hello\0," + struct.pack("<HHHHB", x, y, w, h, 0x82 if own else 0) + (own or b"")
    return data + lzw(r.integers(0, 8, w * h), 3) + b";"


def gifs(small):
    keep("plain.gif", encoded(small.quantize(50), "GIF", interlace=0))
    keep("interlaced.gif", encoded(small.quantize(50), "GIF", interlace=1))
    keep("grey.gif", encoded(small.convert("L"), "GIF"))
    keep("transparent.gif", encoded(small.quantize(50), "GIF", transparency=4))
    frames = [small.rotate(a).quantize(30) for a in (90, 180)]
    keep("animated.gif", encoded(small.quantize(50), "GIF", save_all=True, append_images=frames, duration=50))
    r = np.random.default_rng(7)
    one, two = r.integers(0, 256, 24, dtype=np.uint8).tobytes(), r.integers(0, 256, 24, dtype=np.uint8).tobytes()
    keep("whole.gif", gif((11, 9), (0, 0, 11, 9), one))
    keep("part.gif", gif((11, 9), (2, 3, 7, 5), one))
    keep("part-own.gif", gif((11, 9), (2, 3, 7, 5), one, two))
    keep("part-transparent.gif", gif((11, 9), (4, 0, 7, 5), one, transparent=3))
    keep("part-own-transparent.gif", gif((11, 9), (4, 0, 7, 9), None, two, transparent=6))


# TIFF


def tiffs(small):
    alpha = small.copy()
    alpha.putalpha(small.convert("L"))
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        keep(f"rgb-{compression}.tif", encoded(small, "TIFF", compression=compression))
    keep("grey.tif", encoded(small.convert("L"), "TIFF"))
    keep("bit.tif", encoded(small.convert("1"), "TIFF"))
    keep("palette.tif", encoded(small.quantize(40), "TIFF"))
    keep("rgba.tif", encoded(alpha, "TIFF"))
    # The same, declared as premultiplied: an extra sample of type 1.
    alpha.putalpha(Image.fromarray(np.asarray(small).max(2)))
    data, plain = encoded(alpha, "TIFF"), struct.pack("<HHIH", 338, 3, 1, 2)
    assert data.count(plain) == 1
    keep("rgba-multiplied.tif", data.replace(plain, struct.pack("<HHIH", 338, 3, 1, 1)))
    deep = np.random.default_rng(9).integers(0, 65536, (9, 7)).astype("<u2")
    keep("grey16.tif", encoded(Image.fromarray(deep), "TIFF"), np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, -1))
    for o in (2, 8):
        data = encoded(small, "TIFF", tiffinfo={274: o})
        # Pillow orients a TIFF when loading it, and exif_transpose would do it again.
        keep(f"turned{o}.tif", data, Image.open(io.BytesIO(data)).convert("RGB"), orientation=o)


shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir(parents=True)
big, small = picture(45, 27), picture(19, 13, 2)
jpegs(big, small)
pngs(small)
webps(big, small)
gifs(small)
tiffs(small)
(OUT / "cases.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
(OUT / "expected.bin.gz").write_bytes(gzip.compress(bytes(expected), mtime=0))
