"""The peer of `bench data`: the same views with torchvision on Pillow images, in
one thread.

The operations are those of the authors' augmentations.py: torchvision's for crop,
flip, jitter and greyscale, Pillow's for blur and solarise. Pillow's blur, three
box filters a direction, is also the fastest at hand: torchvision's GaussianBlur
goes through a float tensor and takes several times as long. A picture is decoded
once for its two views. The results go into one uint8 array, N x S x S x 3.

Commands are read from stdin, one a line, "CASE FIRST COUNT": the files from number
FIRST on, modulo their number; each is answered by one line of JSON, {"ms": time of
all}. The cases are views224, views32 and serve. The first line, unasked, names the
versions. The process ends with its input.
"""

import glob
import io
import json
import os
import random
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
sys.dont_write_bytecode = True

import numpy as np
import PIL
import torch
import torchvision
import torchvision.transforms as T
from PIL import Image, ImageFilter, ImageOps

BICUBIC = T.InterpolationMode.BICUBIC


class Blur:
    def __init__(self, p):
        self.p = p

    def __call__(self, im):
        if random.random() < self.p:
            return im.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))
        return im


class Solarise:
    def __init__(self, p):
        self.p = p

    def __call__(self, im):
        return ImageOps.solarize(im) if random.random() < self.p else im


def view(size, smallest, blur, solarise):
    steps = [
        T.RandomResizedCrop(size, scale=(smallest, 1), interpolation=BICUBIC),
        T.RandomHorizontalFlip(),
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
        T.RandomGrayscale(p=0.2),
    ]
    if blur:
        steps.append(Blur(blur))
    if solarise:
        steps.append(Solarise(solarise))
    return T.Compose(steps)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    random.seed(1)
    photos, small = (read(folder) for folder in sys.argv[1:3])
    cases = {
        "views224": (photos, 224, [view(224, 0.08, 1.0, 0), view(224, 0.08, 0.1, 0.2)]),
        "views32": (small, 32, [view(32, 0.2, 0, 0.1)] * 2),
        "serve": (photos, 224, [T.Compose([T.Resize(256, BICUBIC), T.CenterCrop(224)])]),
    }
    say = lambda **answer: print(json.dumps(answer), flush=True)
    say(name=f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}")
    for line in sys.stdin:
        case, first, count = line.split()
        files, size, views = cases[case]
        first, count = int(first), int(count)
        out = np.empty((len(views), count, size, size, 3), np.uint8)
        start = time.perf_counter()
        with torch.no_grad():
            for i in range(count):
                im = Image.open(io.BytesIO(files[(first + i) % len(files)])).convert("RGB")
                for v, make in enumerate(views):
                    out[v, i] = make(im)
        say(ms=1000 * (time.perf_counter() - start))


def read(folder):
    """The files below folder, in the order of their paths."""
    paths = sorted(glob.glob(os.path.join(folder, "**", "*.jpg"), recursive=True))
    step = max(1, len(paths) // 500)
    return [open(p, "rb").read() for p in paths[::step]]


if __name__ == "__main__":
    main()
