"""Twenty optimiser steps of the GELU twin of twin.py, in float64 and float32.

Step t (from 0) sees the images golden.pixels("step{t}/view1") and "/view2",
uint8 [N,16,16,3]; the initial parameters are the twin's. For each optimiser o:
    o/lr         F64 [T], the learning rate of each step
    o/loss       F64 [T], the loss before each step, computed in float64
    o/f32_loss   F64 [T], the same by PyTorch in float32
    o/norm       F64 [P], the Euclidean norm of each parameter and each running
                 statistic after the last step, in the order of metadata `names`
    o/dot        F64 [P], its dot product with golden.u("dot/" + name)
    o/f32_error  F64 [P], ||p32-p64||/||p64|| of PyTorch's float32

With d the gradient g plus wd*p, and m and v zero at the start:
    sgd    m = 0.9 m + d; p -= lr m                     wd 0.1 on every parameter
    lars   the same, but parameters of rank 1 have d = g and the others
           d *= 0.001 ||p||/||d||                       wd 0.1
    adamw  p *= 1 - lr wd; then Adam of g, with bias correction (b1 0.9, b2 0.999,
           eps 1e-8 outside the root)                   wd 0.05 on every parameter
sgd_matrices and adamw_matrices have weight decay on parameters of rank > 1 only.

The bias of a Linear before a BatchNorm has no gradient but rounding noise, which
Adam blows up to full steps; the loss does not feel it. Under adamw these biases
and the running means behind them are not comparable: metadata `adamw_noise`.
Learning rates are exact in float32. They are small, because a float32 run must
stay near the float64 one; the decays are large, so that one left out shows.
"""

import numpy as np
import torch
from torch import nn

import golden
import net
import twin

STEPS, SGD_LR, LARS_LR = 20, 5e-5, 0.01


class LARS(torch.optim.Optimizer):
    """The authors' LARS: no decay and no trust ratio for parameters of rank 1."""

    def __init__(self, params, lr, momentum, trust, weight_decay):
        super().__init__(params, dict(lr=lr, momentum=momentum, trust=trust, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                d = p.grad
                if p.dim() > 1:
                    d = d + group["weight_decay"] * p
                    if p.norm() > 0 and d.norm() > 0:
                        d = d * (group["trust"] * p.norm() / d.norm())
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.mul_(group["momentum"]).add_(d)
                p.sub_(group["lr"] * m)


def by_rank(model, decay):
    """Parameter groups with weight decay on those of rank > 1 only."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    return [dict(params=matrices, weight_decay=decay), dict(params=vectors, weight_decay=0)]


def warm(peak, steps=5):
    """Linear from peak/steps to peak, then half a cosine towards zero."""
    cosine = [peak * 0.5 * (1 + np.cos(np.pi * t / (STEPS - steps))) for t in range(STEPS - steps)]
    return [peak * (t + 1) / steps for t in range(steps)] + cosine


def optimisers():
    """For each name: the optimiser of a model, and its learning rate step by step."""
    constant = lambda lr: [lr] * STEPS
    return {
        "sgd": (lambda m: torch.optim.SGD(m.parameters(), 1, 0.9, weight_decay=0.1), constant(SGD_LR)),
        "sgd_matrices": (lambda m: torch.optim.SGD(by_rank(m, 0.1), 1, 0.9), constant(SGD_LR)),
        "lars": (lambda m: LARS(m.parameters(), 1, 0.9, 0.001, 0.1), warm(LARS_LR)),
        "adamw": (lambda m: torch.optim.AdamW(m.parameters(), 1, weight_decay=0.05), constant(1e-3)),
        "adamw_matrices": (lambda m: torch.optim.AdamW(by_rank(m, 0.05), 1), constant(1e-3)),
    }


def train(make_optimiser, rates, dtype):
    """Losses, and the parameters and running statistics at the end, as float64."""
    model = twin.Twin(nn.GELU, 8).to(dtype)
    optimiser, losses = make_optimiser(model), []
    for t, lr in enumerate(rates):
        for group in optimiser.param_groups:
            group["lr"] = lr
        z1, z2 = (model(v)[1] for v in twin.batch(f"step{t}/", twin.BATCH))
        total = net.loss(net.terms(z1, z2))
        model.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(total.item())
    state = [(k, v.detach().double()) for k, v in model.state_dict().items() if "num_batches" not in k]
    return np.array(losses), dict(state)


def main():
    out, names = {}, []
    for name, (make_optimiser, rates) in optimisers().items():
        rates = np.array(rates, np.float32).astype(np.float64)
        losses, state = train(make_optimiser, rates, torch.float64)
        low_losses, low = train(make_optimiser, rates, torch.float32)
        names = list(state)
        error = [((low[k] - p).norm() / p.norm()).item() for k, p in state.items()]
        dots = [np.dot(p.numpy().ravel(), golden.u("dot/" + k, p.numel()).astype(np.float64))
                for k, p in state.items()]
        out.update({f"{name}/lr": rates, f"{name}/loss": losses, f"{name}/f32_loss": low_losses,
                    f"{name}/norm": np.array([p.norm().item() for p in state.values()]),
                    f"{name}/dot": np.array(dots), f"{name}/f32_error": np.array(error)})
        print(f"{name}: loss {' '.join(f'{x:.3f}' for x in losses)}; float32 off by",
              f"{np.abs(low_losses / losses - 1).max():.1e}, weights by {np.median(error):.1e}, {max(error):.1e}")
    golden.save("steps.safetensors", out, names=names, width=8, batch=twin.BATCH, activation="gelu",
                adamw_noise=twin.SHIFTS + ["expander.1.running_mean", "expander.4.running_mean"])


if __name__ == "__main__":
    main()
