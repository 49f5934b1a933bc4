"""The peer of `bench train-step`: the same training step in PyTorch.

One step is two forward passes (BatchNorm statistics per view), the VICReg loss
with its D x D covariance as the authors wrote it, the backward pass and SGD with
momentum. Images are resident float32 tensors, normalised beforehand, in the
memory of the device.

With --precision fp16 or bf16 the forward passes run under autocast and the loss
in float32, with a GradScaler for fp16; --loss autocast puts the loss under
autocast, too. fp32 uses no TensorFloat-32, tf32 wherever it can. On a CUDA device
cuDNN searches for the fastest algorithms, and --compile compiles model and loss.

On the CPU PyTorch is run as fast as it was found to go: OpenMP threads that sleep when idle
(the backward pass has a pool of its own, and OpenBLAS a third: spinning, they
take the two cores from each other), and glibc told to keep freed memory and to
back it by huge pages, where it would return and fault in every large tensor at
each step. The process starts itself anew with that environment; --no-tune leaves
the environment as it is.

Commands are read from stdin, one a line; each is answered by one line of JSON:
    step      {"ms": time of one whole step, "loss": its loss}
    steps N   the same for N steps, which are waited for together: time of one, loss of the
              last, null where it is no number
    mem       {"bytes": peak resident memory of the process so far; on a CUDA device the
              memory that was reserved at most, and "allocated", that in use at most}
    profile N {"rows": [[operator, milliseconds a step, calls a step, shapes], ...]}, the
              longest first, over N steps; on a CUDA device the times of its kernels
    quit      ends the process, as does the end of the input
The first line, unasked, describes what was built.
"""

import argparse
import json
import math
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


def parser():
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
    p.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    p.add_argument("--precision", choices=("fp32", "tf32", "fp16", "bf16"), default="fp32")
    p.add_argument("--loss", choices=("float32", "autocast"), default="float32", help="what the loss computes in")
    p.add_argument("--compile", nargs="?", const="default", metavar="MODE", help="run through torch.compile")
    p.add_argument("--tune", action=argparse.BooleanOptionalAction, default=True)
    return p


def restart(args):
    """Start this program anew when its environment is not the one wanted.

    OpenMP, OpenBLAS and glibc read theirs once, before any line of Python.
    """
    wanted = {"OMP_NUM_THREADS": str(args.threads), **(TUNED if args.tune else {})}
    if any(os.environ.get(k) != v for k, v in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})


def scaler(precision, first=2.0 ** 16):
    """The GradScaler of fp16, that begins with a scale; for the others one that does nothing."""
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler("cuda", first, enabled=precision == "fp16")
    return torch.cuda.amp.GradScaler(first, enabled=precision == "fp16")


def set_precision(precision):
    """What float32 products and convolutions on a CUDA device compute in."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


class Amp:
    """A step's forward, backward and update, in the precision that was asked for."""

    def __init__(self, device, precision, loss="float32", first=2.0 ** 16):
        if device.type == "cpu" and precision != "fp32":
            raise SystemExit(f"--precision {precision} is for CUDA devices")
        self.device, self.within, self.scaler = device, loss == "autocast", scaler(precision, first)
        self.dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)
        set_precision(precision)

    def loss(self, model, loss, views):
        """The loss of two views, not yet waited for."""
        with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None):
            z1, z2 = (model(v) for v in views)
            if self.within:
                return loss(z1, z2)
        return loss(z1.float(), z2.float())

    def update(self, loss, optimiser):
        self.scaler.scale(loss).backward()
        self.scaler.step(optimiser)
        self.scaler.update()


class Step:
    """A network, an optimiser and one resident batch."""

    def __init__(self, args):
        torch.manual_seed(0)
        device = torch.device(args.device)
        widths = [int(w) for w in args.expander.split("-")]
        relu = lambda: nn.ReLU(inplace=True)
        if args.model == "none":
            self.backbone, dim, shape = nn.Identity(), args.dim, (args.batch, args.dim)
        else:
            self.backbone = net.ResNet(args.model, args.stem, args.width, relu)
            dim, shape = self.backbone.dim, (args.batch, 3, args.image_size, args.image_size)
        self.model = nn.Sequential(self.backbone, net.expander(dim, widths, relu)).train().to(device)
        self.views = [torch.randn(shape, device=device) for _ in range(2)]
        if args.layout == "channels_last" and args.model != "none":
            self.model = self.model.to(memory_format=torch.channels_last)
            self.views = [v.contiguous(memory_format=torch.channels_last) for v in self.views]
        how = {"fused": True} if device.type == "cuda" else {"foreach": True}
        self.optimiser = torch.optim.SGD(self.model.parameters(), args.lr, momentum=0.9, **how)
        # The fused SGD of PyTorch 2.11 leaves the momentum unwritten if the first step has to be
        # skipped, so the initial scale is one at which it is not.
        self.amp, self.cuda = Amp(device, args.precision, args.loss, 2.0 ** 8), device.type == "cuda"
        self.forward, self.loss = self.model, lambda z1, z2: net.loss(net.terms(z1, z2))
        if args.compile:
            self.forward = torch.compile(self.model, mode=args.compile)
            self.loss = torch.compile(self.loss, mode=args.compile)

    def __call__(self):
        """One step; its loss, which on a device may not be there yet."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.amp.loss(self.forward, self.loss, self.views)
        self.amp.update(loss, self.optimiser)
        return loss.detach()

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()

    def timed(self, count):
        """Milliseconds a step of count steps that are waited for together, and the last loss."""
        self.wait()
        start = time.perf_counter()
        for _ in range(count):
            loss = self()
        loss = loss.item()
        self.wait()
        return {"ms": 1000 * (time.perf_counter() - start) / count, "loss": loss if math.isfinite(loss) else None}

    def memory(self):
        if self.cuda:
            return {"bytes": torch.cuda.max_memory_reserved(), "allocated": torch.cuda.max_memory_allocated()}
        return {"bytes": peak()}

    def profile(self, count):
        """The operators with the time of their own kernels, the longest first."""
        kinds = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * self.cuda
        with torch.profiler.profile(activities=kinds, record_shapes=True) as p:
            self.timed(count)
        rows = []
        for e in p.key_averages(group_by_input_shape=True):
            us = own_time(e, self.cuda)
            if us > 0:
                rows.append([e.key, us / 1000 / count, e.count / count, str(e.input_shapes)])
        return {"rows": sorted(rows, key=lambda r: -r[1])[:60]}


def own_time(event, cuda):
    """Microseconds of an operator without those it called; PyTorch has renamed them.

    On a device an operator has the time of the kernels that it launched; the rows of
    the kernels themselves, which have the same time once more, count as nothing.
    """
    if not cuda:
        return event.self_cpu_time_total
    if event.device_type.name != "CPU":
        return 0
    return getattr(event, "self_device_time_total", None) or getattr(event, "self_cuda_time_total", 0)


def peak():
    """VmHWM of this process in bytes (Linux)."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def prepare(args):
    if args.device == "cpu":
        restart(args)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)


def answer(step, args, lines):
    """Answer commands until the lines end."""
    parameters = sum(p.numel() for p in step.model.parameters())
    say = lambda **answer: print(json.dumps(answer), flush=True)
    say(torch=torch.__version__, threads=torch.get_num_threads(), layout=args.layout, parameters=parameters)
    for line in lines:
        command, _, count = line.strip().partition(" ")
        if command in ("step", "steps"):
            say(**step.timed(int(count or 1)))
        elif command == "mem":
            say(**step.memory())
        elif command == "profile":
            say(**step.profile(int(count or 1)))
        elif command == "quit":
            return
        else:
            say(error=f"unknown command {command!r}; want step, steps, mem, profile or quit")


def main():
    args = parser().parse_args()
    prepare(args)
    answer(Step(args), args, sys.stdin)


if __name__ == "__main__":
    main()
