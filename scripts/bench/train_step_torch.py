"""The peer of `bench train-step`: the same training step in PyTorch on the CPU.

One step is two forward passes (BatchNorm statistics per view), the VICReg loss
with its D x D covariance as the authors wrote it, the backward pass and SGD with
momentum. Images are resident float32 tensors, normalised beforehand.

PyTorch is run as fast as it was found to go: OpenMP threads that sleep when idle
(the backward pass has a pool of its own, and OpenBLAS a third: spinning, they
take the two cores from each other), and glibc told to keep freed memory and to
back it by huge pages, where it would return and fault in every large tensor at
each step. The process starts itself anew with that environment; --no-tune leaves
the environment as it is.

Commands are read from stdin, one a line; each is answered by one line of JSON:
    step    {"ms": time of one whole step, "loss": its loss}
    mem     {"bytes": peak resident memory of the process so far}
    quit    ends the process, as does the end of the input
The first line, unasked, describes what was built.
"""

import argparse
import json
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))

import torch
from torch import nn

import net


TUNED = {"OMP_WAIT_POLICY": "passive", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
         "MALLOC_TOP_PAD_": str(1 << 26), "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", choices=("resnet18", "resnet34", "resnet50", "none"), default="resnet18",
                   help="none: the expander and the loss alone, on random representations")
    p.add_argument("--stem", choices=("cifar", "imagenet"), default="cifar")
    p.add_argument("--width", type=int, default=64, help="channels of the first stage")
    p.add_argument("--dim", type=int, default=512, help="representation width for --model none")
    p.add_argument("--image-size", type=int, default=32)
    p.add_argument("--batch", type=int, default=128, help="images per view")
    p.add_argument("--expander", default="2048-2048-2048")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--layout", choices=("contiguous", "channels_last"), default="channels_last")
    p.add_argument("--optimizer", choices=("sgd",), default="sgd")
    p.add_argument("--lr", type=float, default=0.01)
    p.add_argument("--tune", action=argparse.BooleanOptionalAction, default=True)
    return p.parse_args()


def restart(args):
    """Start this program anew when its environment is not the one wanted.

    OpenMP, OpenBLAS and glibc read theirs once, before any line of Python.
    """
    wanted = {"OMP_NUM_THREADS": str(args.threads), **(TUNED if args.tune else {})}
    if any(os.environ.get(k) != v for k, v in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})


class Step:
    """A network, an optimiser and one resident batch."""

    def __init__(self, args):
        torch.manual_seed(0)
        widths = [int(w) for w in args.expander.split("-")]
        relu = lambda: nn.ReLU(inplace=True)
        if args.model == "none":
            self.backbone, dim, shape = nn.Identity(), args.dim, (args.batch, args.dim)
        else:
            self.backbone = net.ResNet(args.model, args.stem, args.width, relu)
            dim, shape = self.backbone.dim, (args.batch, 3, args.image_size, args.image_size)
        self.model = nn.Sequential(self.backbone, net.expander(dim, widths, relu)).train()
        self.views = [torch.randn(shape) for _ in range(2)]
        if args.layout == "channels_last" and args.model != "none":
            self.model = self.model.to(memory_format=torch.channels_last)
            self.views = [v.contiguous(memory_format=torch.channels_last) for v in self.views]
        self.optimiser = torch.optim.SGD(self.model.parameters(), args.lr, momentum=0.9, foreach=True)

    def __call__(self):
        self.optimiser.zero_grad(set_to_none=True)
        z1, z2 = (self.model(v) for v in self.views)
        loss = net.loss(net.terms(z1, z2))
        loss.backward()
        self.optimiser.step()
        return loss.item()


def peak():
    """VmHWM of this process in bytes (Linux)."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def main():
    args = arguments()
    restart(args)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    step = Step(args)
    parameters = sum(p.numel() for p in step.model.parameters())
    say = lambda **answer: print(json.dumps(answer), flush=True)
    say(torch=torch.__version__, threads=torch.get_num_threads(), layout=args.layout, parameters=parameters)
    for line in sys.stdin:
        command = line.strip()
        if command == "step":
            start = time.perf_counter()
            loss = step()
            say(ms=1000 * (time.perf_counter() - start), loss=loss)
        elif command == "mem":
            say(bytes=peak())
        elif command == "quit":
            return
        else:
            say(error=f"unknown command {command!r}; want step, mem or quit")


if __name__ == "__main__":
    main()
