"""The PyTorch twin of a run of vicreg train: it starts from the same weights and sees
the same views in the same order at the same rates, which come from standard input.

A step on the input is a float32, the learning rate, and two views, uint8
[N,S,S,3] each, in the byte order of the machine. The optimiser is AdamW with weight decay
on parameters of rank > 1 only; --precision is as in train_step_torch.py.

--weights and --out are safetensors files with vicreg's names. At the end of the
input the weights are written, and to --state what it takes to go on from there: if
that file is there at the start, the run goes on. Each answer is a line of JSON:
    {"step": steps taken so far}                 at the start
    {"step": ..., "loss": ..., "taken": ...}     every --every steps and at the end;
                                                 taken is false if the gradient was not finite
"""

import argparse
import json
import os
import struct
import sys

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, "..", "golden")]

import numpy as np
import torch
from torch import nn

import net
from train_step_torch import Amp

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", choices=tuple(net.LAYERS), default="resnet18")
    p.add_argument("--stem", choices=("cifar", "imagenet"), default="cifar")
    p.add_argument("--width", type=int, default=64)
    p.add_argument("--expander", default="2048-2048-2048")
    p.add_argument("--batch", type=int, default=512)
    p.add_argument("--image-size", type=int, default=32)
    p.add_argument("--weight-decay", type=float, default=0.01)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", default="cpu")
    p.add_argument("--precision", choices=("fp32", "tf32", "fp16", "bf16"), default="fp32")
    p.add_argument("--weights", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--state", required=True)
    p.add_argument("--every", type=int, default=50)
    return p.parse_args()


def load(path):
    """The float32 tensors of a safetensors file by name."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    header.pop("__metadata__", None)
    out = {}
    for name, e in header.items():
        begin, end = e["data_offsets"]
        out[name] = torch.from_numpy(np.frombuffer(data[begin:end], "<f4").reshape(e["shape"]).copy())
    return out


def save(path, tensors):
    """Write float32 tensors by name, all or nothing."""
    header, blobs, at = {}, [], 0
    for name in sorted(tensors):
        a = np.ascontiguousarray(tensors[name].detach().cpu().float().contiguous().numpy(), "<f4")
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        blobs.append(a.tobytes())
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".tmp", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    os.replace(path + ".tmp", path)


class Run:
    """Model, optimiser and the steps taken so far."""

    def __init__(self, args):
        self.args, self.device = args, torch.device(args.device)
        backbone = net.ResNet(args.model, args.stem, args.width)
        widths = [int(w) for w in args.expander.split("-")]
        self.model = nn.ModuleDict({"backbone": backbone, "expander": net.expander(backbone.dim, widths)})
        missing, unexpected = self.model.load_state_dict(load(args.weights), strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or unexpected:
            raise SystemExit(f"{args.weights}: missing {missing}, unknown {unexpected}")
        self.model = self.model.train().to(self.device, memory_format=torch.channels_last)
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        vectors = [p for p in self.model.parameters() if p.dim() <= 1]
        groups = [dict(params=matrices, weight_decay=args.weight_decay), dict(params=vectors, weight_decay=0.0)]
        self.optimiser = torch.optim.AdamW(groups, 1e-3)
        self.amp, self.step, self.taken = Amp(self.device, args.precision), 0, True
        if os.path.exists(args.state):
            state = torch.load(args.state, map_location=self.device)
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.amp.scaler.load_state_dict(state["scaler"])
            self.step = state["step"]
        self.mean, self.std = (torch.tensor(v, device=self.device).view(3, 1, 1) for v in (MEAN, STD))

    def pixels(self, view):
        """uint8 [N,S,S,3] to the network's input; a permuted view is channels_last already."""
        x = torch.from_numpy(view).to(self.device).permute(0, 3, 1, 2).float()
        return (x / 255 - self.mean) / self.std

    def take(self, lr, views):
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.zero_grad(set_to_none=True)
        embed = lambda x: self.model["expander"](self.model["backbone"](x))
        loss = self.amp.loss(embed, lambda z1, z2: net.loss(net.terms(z1, z2)), [self.pixels(v) for v in views])
        before = self.amp.scaler.get_scale()
        self.amp.update(loss, self.optimiser)
        self.taken = self.amp.scaler.get_scale() >= before
        self.step += 1
        return loss.item()

    def write(self):
        tensors = {k: v for k, v in self.model.state_dict().items() if not k.endswith("num_batches_tracked")}
        save(self.args.out, tensors)
        torch.save({"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
                    "scaler": self.amp.scaler.state_dict(), "step": self.step}, self.args.state + ".tmp")
        os.replace(self.args.state + ".tmp", self.args.state)


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    run = Run(args)
    say = lambda **answer: print(json.dumps(answer), flush=True)
    say(step=run.step)
    shape, loss = (args.batch, args.image_size, args.image_size, 3), None
    size = int(np.prod(shape))
    while len(data := sys.stdin.buffer.read(4 + 2 * size)) == 4 + 2 * size:
        views = np.frombuffer(data, np.uint8, offset=4).reshape(2, *shape)
        loss = run.take(struct.unpack("=f", data[:4])[0], views.copy())
        if run.step % args.every == 0:
            say(step=run.step, loss=loss, taken=run.taken)
    if data:
        raise SystemExit(f"{len(data)} bytes are no step")
    if loss is not None:
        say(step=run.step, loss=loss, taken=run.taken)
    run.write()


if __name__ == "__main__":
    main()
