"""Single operators and small blocks: outputs and gradients, for 1e-5 gates.

For each case `c` the file holds the inputs c/x, c/w..., the output c/y, the
cotangent c/dy, and for each input k the gradient c/dk of sum(y*dy). Inputs are
exact in float32; everything is computed in float64 and rounded once. BatchNorm
is in training mode (momentum 0.1, eps 1e-5); running statistics after the pass
have the suffix _out. The attributes of each case are in the metadata `cases`.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import golden
import net

out, cases, kinks = {}, {}, []


def tensor(case, key, shape, scale=1.0, offset=0.0):
    """Make an input, store it and return it as a float64 leaf."""
    a = golden.fill(f"{case}/{key}", shape, scale, offset)
    out[f"{case}/{key}"] = a
    return torch.tensor(a.astype(np.float64), requires_grad=True)


def put(case, key, value):
    out[f"{case}/{key}"] = value.detach().numpy().astype(np.float32)


def finish(case, y, leaves, **attributes):
    """Draw the cotangent, differentiate and store."""
    cases[case] = attributes
    put(case, "y", y)
    dy = tensor(case, "dy", tuple(y.shape)).detach()
    for (key, _), g in zip(leaves.items(), torch.autograd.grad(y, leaves.values(), dy)):
        assert g.abs().max() > 1e-9, f"{case}/d{key} is all zero"
        put(case, "d" + key, g)


def relu(x):
    """ReLU that remembers how near to its kink it was evaluated."""
    kinks.append(x.detach().abs().min().item())
    return torch.relu(x)


class WatchedReLU(nn.Module):
    def forward(self, x):
        return relu(x)


def conv(case, n, c, h, w, m, k, stride=1):
    x = tensor(case, "x", (n, c, h, w))
    weight = tensor(case, "w", (m, c, k, k), np.sqrt(3 / (c * k * k)))
    finish(case, F.conv2d(x, weight, None, stride, k // 2), {"x": x, "w": weight},
           op="conv", kernel=k, stride=stride, pad=k // 2)


def batchnorm(case, shape, activate=False):
    c = shape[1]
    x = tensor(case, "x", shape, 1.5, 0.3)
    gamma, beta = tensor(case, "gamma", (c,), 0.5, 1), tensor(case, "beta", (c,), 0.3)
    mean, var = tensor(case, "running_mean", (c,), 0.2), tensor(case, "running_var", (c,), 0.4, 1)
    mean, var = mean.detach(), var.detach()
    y = F.batch_norm(x, mean, var, gamma, beta, True, 0.1, 1e-5)
    put(case, "running_mean_out", mean)
    put(case, "running_var_out", var)
    finish(case, relu(y) if activate else y, {"x": x, "gamma": gamma, "beta": beta},
           op="batchnorm_relu" if activate else "batchnorm", momentum=0.1, eps=1e-5)


def unary(case, shape, f, scale=1.0):
    x = tensor(case, "x", shape, scale)
    finish(case, f(x), {"x": x}, op=case)


def linear(case, bias):
    x, w = tensor(case, "x", (6, 24)), tensor(case, "w", (16, 24), np.sqrt(3 / 24))
    leaves = {"x": x, "w": w}
    if bias:
        leaves["b"] = tensor(case, "b", (16,), 0.1)
    finish(case, F.linear(*leaves.values()), leaves, op="linear")


def module(case, m, shape, **attributes):
    """A module of net.py: gradients of x and of every parameter, by its name."""
    m = m.double().train()
    x = tensor(case, "x", shape)
    leaves = {"x": x}
    for name, p in m.named_parameters():
        if p.dim() > 1:
            a = tensor(case, name, tuple(p.shape), np.sqrt(3 / p[0].numel()))
        elif name.endswith("weight"):
            a = tensor(case, name, tuple(p.shape), 0.5, 1)
        else:
            a = tensor(case, name, tuple(p.shape), 0.3)
        p.data = a.data
        leaves[name] = p
    y = m(x)
    for name, b in m.named_buffers():
        if "running" in name:
            put(case, name + "_out", b)
    zero = [k for k in leaves if case == "expander" and k in ("0.bias", "3.bias")]
    for k in zero:
        leaves.pop(k)
    finish(case, y, leaves, zero_grad=zero, **attributes)


def main():
    torch.manual_seed(0)
    conv("conv3x3s1", 2, 4, 6, 5, 6, 3)
    conv("conv3x3s2_even", 2, 4, 8, 6, 6, 3, 2)
    conv("conv3x3s2_odd", 2, 4, 7, 5, 6, 3, 2)
    conv("conv3x3s2_mixed", 2, 4, 8, 5, 6, 3, 2)
    conv("conv1x1s1", 2, 6, 5, 4, 8, 1)
    conv("conv1x1s2_even", 2, 6, 8, 6, 8, 1, 2)
    conv("conv1x1s2_odd", 2, 6, 7, 5, 8, 1, 2)
    conv("conv7x7s2_even", 2, 3, 14, 12, 8, 7, 2)
    conv("conv7x7s2_odd", 2, 3, 13, 11, 8, 7, 2)
    conv("conv3x3s1_c16m32", 2, 16, 5, 4, 32, 3)
    conv("conv3x3s1_c3m16", 2, 3, 6, 5, 16, 3)
    conv("conv3x3s2_c16m32", 2, 16, 6, 4, 32, 3, 2)
    conv("conv1x1s1_c16m64", 2, 16, 4, 3, 64, 1)
    conv("conv1x1s2_c16m32", 2, 16, 6, 4, 32, 1, 2)
    linear("linear", True)
    linear("linear_nobias", False)
    batchnorm("batchnorm2d", (3, 5, 4, 6))
    batchnorm("batchnorm1d", (8, 12))
    batchnorm("batchnorm2d_c16", (2, 16, 4, 3))
    batchnorm("batchnorm_relu", (3, 16, 4, 3), True)
    unary("relu", (2, 3, 4, 5), torch.relu)
    unary("gelu", (2, 3, 4, 5), F.gelu, 4)
    unary("maxpool", (2, 4, 8, 6), lambda x: F.max_pool2d(x, 3, 2, 1))
    unary("maxpool_odd", (2, 4, 7, 5), lambda x: F.max_pool2d(x, 3, 2, 1))
    unary("global_average_pool", (3, 8, 4, 5), lambda x: x.mean((2, 3)))
    module("basic_s1", net.Basic(8, 8, 1, WatchedReLU), (2, 8, 5, 4), op="basic", stride=1)
    module("basic_s2", net.Basic(8, 16, 2, WatchedReLU), (2, 8, 6, 4), op="basic", stride=2)
    module("bottleneck_s1", net.Bottleneck(16, 8, 1, WatchedReLU), (2, 16, 5, 4), op="bottleneck", stride=1)
    module("bottleneck_s2", net.Bottleneck(16, 8, 2, WatchedReLU), (2, 16, 6, 4), op="bottleneck", stride=2)
    module("expander", net.expander(12, (16, 16, 8), WatchedReLU), (8, 12), op="expander")
    nearest = min(kinks)
    assert nearest > 2e-5, f"a ReLU sits {nearest:.1e} from its kink: float32 may take the other side"
    golden.save("ops.safetensors", out, cases=cases, nearest_kink=f"{nearest:.1e}")


if __name__ == "__main__":
    main()
