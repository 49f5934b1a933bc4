"""The networks and the loss in plain PyTorch, as the reference and as the peer
of the benchmark: torchvision's ResNet (v1.5) with its parameter names, but with
a choice of stem, width and activation; the Expander and the loss of the
authors' main_vicreg.py.
"""

import torch
from torch import nn

LAYERS = {"resnet18": ("basic", (2, 2, 2, 2)), "resnet34": ("basic", (3, 4, 6, 3)),
          "resnet50": ("bottleneck", (3, 4, 6, 3))}


def conv(c, m, k, stride=1):
    return nn.Conv2d(c, m, k, stride, k // 2, bias=False)


class Basic(nn.Module):
    """Two 3x3 convolutions: [N,C,H,W] to [N,M,H/stride,W/stride]."""

    expansion = 1

    def __init__(self, c, m, stride, act):
        super().__init__()
        self.conv1, self.bn1 = conv(c, m, 3, stride), nn.BatchNorm2d(m)
        self.conv2, self.bn2 = conv(m, m, 3), nn.BatchNorm2d(m)
        self.downsample = shortcut(c, m, stride)
        self.act = act()

    def forward(self, x):
        y = self.act(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.act(y)


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 to four times as many channels."""

    expansion = 4

    def __init__(self, c, m, stride, act):
        super().__init__()
        self.conv1, self.bn1 = conv(c, m, 1), nn.BatchNorm2d(m)
        self.conv2, self.bn2 = conv(m, m, 3, stride), nn.BatchNorm2d(m)
        self.conv3, self.bn3 = conv(m, 4 * m, 1), nn.BatchNorm2d(4 * m)
        self.downsample = shortcut(c, 4 * m, stride)
        self.act = act()

    def forward(self, x):
        y = self.act(self.bn1(self.conv1(x)))
        y = self.act(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.act(y)


def shortcut(c, m, stride):
    if c == m and stride == 1:
        return None
    return nn.Sequential(conv(c, m, 1, stride), nn.BatchNorm2d(m))


class ResNet(nn.Module):
    """[N,3,S,S] to representations [N,D]; width is that of the first stage."""

    def __init__(self, model="resnet18", stem="cifar", width=64, act=nn.ReLU):
        super().__init__()
        kind, counts = LAYERS[model]
        block = {"basic": Basic, "bottleneck": Bottleneck}[kind]
        self.conv1 = conv(3, width, 3) if stem == "cifar" else conv(3, width, 7, 2)
        self.bn1, self.act = nn.BatchNorm2d(width), act()
        self.maxpool = nn.Identity() if stem == "cifar" else nn.MaxPool2d(3, 2, 1)
        c = width
        for i, count in enumerate(counts):
            stage = []
            for j in range(count):
                stage.append(block(c, width << i, 2 if i > 0 and j == 0 else 1, act))
                c = (width << i) * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.dim = c

    def forward(self, x):
        x = self.maxpool(self.act(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1)


def expander(d, widths, act=nn.ReLU):
    """nn.Sequential of Linear, BatchNorm, activation; the last Linear has no bias."""
    layers = []
    for m in widths[:-1]:
        layers += [nn.Linear(d, m), nn.BatchNorm1d(m), act()]
        d = m
    return nn.Sequential(*layers, nn.Linear(d, widths[-1], bias=False))


def terms(z1, z2):
    """Invariance, variance and covariance of embeddings [N,D], not yet weighted."""
    n, d = z1.shape
    invariance = nn.functional.mse_loss(z1, z2)
    z1, z2 = z1 - z1.mean(0), z2 - z2.mean(0)
    variance = sum(torch.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean() / 2 for z in (z1, z2))
    covariance = sum(off_diagonal(z.T @ z / (n - 1)).pow(2).sum() / d for z in (z1, z2))
    return invariance, variance, covariance


def off_diagonal(c):
    """The elements of a square matrix that are not on its diagonal, as a view."""
    n = c.shape[0]
    return c.flatten()[:-1].view(n - 1, n + 1)[:, 1:].flatten()


def loss(parts, weights=(25, 25, 1)):
    return sum(w * p for w, p in zip(weights, parts))


def check():
    """Compare names, shapes and one forward pass with torchvision's own networks."""
    import torchvision
    for model in LAYERS:
        ours, theirs = ResNet(model, "imagenet"), getattr(torchvision.models, model)()
        theirs.fc = nn.Identity()
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(2, 3, 64, 64)
        assert torch.allclose(ours(x), theirs(x), atol=1e-5), model
    print("net.py agrees with torchvision", torchvision.__version__)


if __name__ == "__main__":
    check()
