"""The peer of `bench collectives`: the step of train_step_torch.py by several processes of this
machine, joined by DistributedDataParallel over gloo.

--batch is that of all, --threads those of each process. As in the authors' code the embeddings of all
processes are gathered for the loss, in a layer that the gradient passes; DDP, which
averages gradients, sees one forward pass with both views. BatchNorm is each process's own, as
its synchronised kind is for CUDA alone. Buckets have DDP's default size, of which gradients are
views, which saves a copy.

The process that is started is the first, starts the others, and answers as
train_step_torch.py does.
"""

import os
import subprocess
import sys
import tempfile
import warnings

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import train_step_torch


class Gather(torch.autograd.Function):
    """The rows of all processes, by rank; the gradient of one's own is the sum of what each has for them."""

    @staticmethod
    def forward(ctx, x):
        rows = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(rows, x.contiguous())
        return torch.cat(rows)

    @staticmethod
    def backward(ctx, dy):
        dy = dy.contiguous()
        dist.all_reduce(dy)
        return dy.chunk(dist.get_world_size())[dist.get_rank()]


class Both(nn.Module):
    """Two views to the loss over all processes."""

    def __init__(self, model, loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, views):
        return self.loss(*(Gather.apply(self.model(v)) for v in views))


class Step(train_step_torch.Step):
    def __init__(self, args):
        super().__init__(args)
        both = DistributedDataParallel(Both(self.model, self.loss), gradient_as_bucket_view=True)
        self.loss_of = lambda: both(self.views)

    def __call__(self):
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss_of()
        loss.backward()
        self.optimiser.step()
        return loss.detach()


def relayed(lines, others):
    """Lines that the others are told, too."""
    for line in lines:
        for p in others:
            p.stdin.write(line)
            p.stdin.flush()
        yield line


def others(args):
    """Start the processes behind the first, with the same arguments."""
    args.store = args.store or os.path.join(tempfile.mkdtemp(prefix="ddp"), "store")
    return [subprocess.Popen([sys.executable, *sys.argv, "--rank", str(rank), "--store", args.store],
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
            for rank in range(1, args.processes)]


def main():
    # For 1x1 convolutions, whose two layouts are identical in memory.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    p = train_step_torch.parser()
    p.add_argument("--processes", type=int, default=2)
    p.add_argument("--rank", type=int, default=0, help="of a process that another has started")
    p.add_argument("--store", default="", help="the file by which processes find each other")
    args = p.parse_args()
    train_step_torch.prepare(args)
    started = others(args) if args.rank == 0 else []
    args.batch //= args.processes
    dist.init_process_group("gloo", init_method="file://" + args.store, rank=args.rank, world_size=args.processes)
    train_step_torch.answer(Step(args), args, relayed(sys.stdin, started))
    for p in started:
        p.stdin.close()
        p.wait()


if __name__ == "__main__":
    main()
