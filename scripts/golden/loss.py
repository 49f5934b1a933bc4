"""The VICReg loss on random embeddings, in float64.

For each case: z1, z2 [N,D] (float32 values stored as F64), the unweighted terms
invariance, variance, covariance, the loss with coefficients 25, 25, 1, and its
gradients dz1, dz2. Columns of z have spreads from well under 1 to well over 1,
so the hinge of the variance term is on in some and off in others.
"""

import numpy as np
import torch

import golden
import net


def main():
    out, hinges = {}, {}
    for n, d in [(8, 32), (32, 8), (16, 16), (2, 4), (48, 96)]:
        case = f"n{n}d{d}"
        spread = golden.fill(case + "/spread", (d,), 1.4, 1.7).astype(np.float64)
        shift = golden.fill(case + "/shift", (d,), 0.5).astype(np.float64)
        z = []
        for key in ("z1", "z2"):
            values = golden.fill(f"{case}/{key}", (n, d)).astype(np.float64) * spread + shift
            z.append(torch.tensor(values.astype(np.float32).astype(np.float64), requires_grad=True))
        parts = net.terms(*z)
        total = net.loss(parts)
        grads = torch.autograd.grad(total, z)
        names = ("invariance", "variance", "covariance", "loss", "z1", "z2", "dz1", "dz2")
        for name, value in zip(names, (*parts, total, *z, *grads)):
            out[f"{case}/{name}"] = np.atleast_1d(value.detach().numpy())
        std = torch.cat([torch.sqrt(x.var(0) + 1e-4) for x in z]).detach()
        hinges[case] = f"{int((std < 1).sum())} of {2 * d} columns below 1, nearest {(std - 1).abs().min():.1e} away"
        assert (std < 1).any() and (std > 1).any() and (std - 1).abs().min() > 1e-4, hinges
    golden.save("loss.safetensors", out, hinge=hinges)


if __name__ == "__main__":
    main()
