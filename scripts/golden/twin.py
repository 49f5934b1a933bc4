"""One training step of a small ResNet-18 + expander + VICReg, in float64.

CIFAR stem, stage widths W, 2W, 4W, 8W, expander 32-32-32, N images of 16x16 a
view, every activation (backbone and expander) replaced by GELU or the identity
so that no float32 rounding can flip a sign; one twin keeps ReLU.

Parameters, images and the order of things are all a test needs to rebuild it:
    pixels  golden.pixels("view1"), ("view2"): uint8 [N,16,16,3]; the network is
            fed (pixels/255 - mean)/std with the CIFAR mean and std, as NCHW
    conv and linear weights   golden.fill(name, shape, sqrt(3/fan_in))
    BatchNorm weight          golden.fill(name, shape, 0.5, 1)
    BatchNorm bias            golden.fill(name, shape, 0.3)
    linear bias               golden.fill(name, shape, 0.1)
    running mean 0 and variance 1 before the step
    view 1 passes first, then view 2, each with its own batch statistics
Names are torchvision's after "backbone.", and those of the authors' Sequential
after "expander.": 0.weight 0.bias 1.weight 1.bias 3.weight 3.bias 4.weight
4.bias 6.weight.

Stored: loss and its terms (F64, [1]); y1 y2 (representations), z1 z2
(embeddings); running/NAME after the step; grad/NAME, computed in float64;
f32_error/NAME, ||g32-g64||/||g64|| of PyTorch's own float32. A shift that a
BatchNorm takes out again (the bias of a Linear before one; in the twins without
activation also the last bias of the backbone and those of the expander) has no gradient: those names are
in the metadata `zero_grad` and have no f32_error.
"""

import numpy as np
import torch
from torch import nn

import golden
import net

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
SIZE, WIDTHS, BATCH = 16, (32, 32, 32), 16
SHIFTS = ["expander.0.bias", "expander.3.bias"]


class Twin(nn.ModuleDict):
    """Backbone and expander with parameters drawn by name."""

    def __init__(self, act, width):
        backbone = net.ResNet("resnet18", "cifar", width, act)
        super().__init__({"backbone": backbone, "expander": net.expander(backbone.dim, WIDTHS, act)})
        for name, p in self.named_parameters():
            p.data = torch.tensor(golden.fill(name, tuple(p.shape), *self.range_of(name, p)))

    def range_of(self, name, p):
        """Scale and offset of the values of a parameter."""
        if p.dim() > 1:
            return np.sqrt(3 / p[0].numel()), 0
        if isinstance(self.get_submodule(name.rpartition(".")[0]), nn.Linear):
            return 0.1, 0
        return (0.5, 1) if name.endswith("weight") else (0.3, 0)

    def forward(self, view):
        """Representations and embeddings of uint8 [N,S,S,3]."""
        dtype = next(self.parameters()).dtype
        x = torch.tensor(view).permute(0, 3, 1, 2).to(dtype)
        mean, std = (torch.tensor(v, dtype=dtype).view(3, 1, 1) for v in (MEAN, STD))
        y = self["backbone"](((x / 255 - mean) / std).contiguous())
        return y, self["expander"](y)


def batch(prefix, n):
    """The two views of a batch: uint8 [N,S,S,3] each."""
    return [golden.pixels(prefix + view, (n, SIZE, SIZE, 3)) for view in ("view1", "view2")]


def step(model, n):
    """Forward and backward; returns what is stored, gradients left on the model."""
    (y1, z1), (y2, z2) = (model(v) for v in batch("", n))
    parts = net.terms(z1, z2)
    total = net.loss(parts)
    model.zero_grad()
    total.backward()
    scalars = dict(zip(("invariance", "variance", "covariance", "loss"), (*parts, total)))
    std = torch.cat([torch.sqrt(z.var(0) + 1e-4) for z in (z1, z2)])
    assert (std < 1).any() and (std - 1).abs().min() > 1e-4, "the hinge is off, or too near its corner"
    return scalars, {"y1": y1, "y2": y2, "z1": z1, "z2": z2}


def make(suffix, act, width, zero_grad, n=BATCH):
    model = Twin(act, width).double()
    scalars, vectors = step(model, n)
    low = Twin(act, width)
    low_scalars, _ = step(low, n)
    out = {k: np.array([v.item()]) for k, v in scalars.items()}
    out.update({k: v.detach().numpy().astype(np.float32) for k, v in vectors.items()})
    for name, b in model.named_buffers():
        if "running" in name:
            out["running/" + name] = b.numpy().astype(np.float32)
    errors = {}
    for (name, p), q in zip(model.named_parameters(), low.parameters()):
        size = p.grad.norm().item()
        assert (size < 1e-12) == (name in zero_grad), f"gradient of {name} has norm {size}"
        out["grad/" + name] = p.grad.numpy().astype(np.float32)
        if name not in zero_grad:
            errors[name] = (q.grad.double() - p.grad).norm().item() / size
            out["f32_error/" + name] = np.array([errors[name]], np.float32)
    worst = max(errors, key=errors.get)
    loss_error = abs(low_scalars["loss"].item() / scalars["loss"].item() - 1)
    print({k: round(v.item(), 4) for k, v in scalars.items()}, f"float32: loss {loss_error:.1e},",
          f"gradients median {np.median(list(errors.values())):.1e} worst {errors[worst]:.1e} ({worst})")
    golden.save(f"twin_{suffix}.safetensors", out, zero_grad=zero_grad, activation=suffix.split("_")[-1],
                width=width, batch=n, image_size=SIZE, expander="32-32-32", mean=MEAN, std=STD,
                f32_loss_error=f"{loss_error:.1e}")


def main():
    identity_shifts = ["backbone.layer4.1.bn2.bias", "expander.1.bias", "expander.4.bias", *SHIFTS]
    make("gelu", nn.GELU, 8, SHIFTS)
    make("identity", nn.Identity, 8, identity_shifts)
    make("relu", nn.ReLU, 8, SHIFTS)
    make("wide_identity", nn.Identity, 16, identity_shifts)


if __name__ == "__main__":
    main()
