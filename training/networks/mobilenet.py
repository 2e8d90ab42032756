"""MobileNetV2 with the parameter names of torchvision's, so that any file of its weights loads.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
"""

from __future__ import annotations

from torch import Tensor, nn

from training.networks.pooled import PooledNetwork

# expansion, output channels, repeats, stride of the first: table 2 of the paper
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures, by which its weights expect theirs normalised."""

MIDDLE, LATE = 10, 17
"""Indices in `features` of the blocks that describe a picture: 64 channels at a sixteenth of its
side, which know texture and colour, and 320 at a thirty-second, which know what makes a lesion."""


class MobileNetV2(PooledNetwork):
    """MobileNetV2 1.0: `[N, 3, S, S] float32` in [0, 1] to logits `[N, C] float32`."""

    def __init__(self, classes: int, dropout: float = 0.2) -> None:
        """Makes the network for `classes` answers, with `dropout` before its linear head."""
        layers: list[nn.Module] = [_convolution(3, 32, kernel=3, stride=2)]
        channels = 32
        for expansion, out, repeats, stride in STAGES:
            for i in range(repeats):
                layers.append(InvertedResidual(channels, out, stride if i == 0 else 1, expansion))
                channels = out
        layers.append(_convolution(channels, 1280, kernel=1))
        super().__init__(layers, (MIDDLE, LATE), (64, 320, 1280), classes, dropout, MEAN, STD)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; with a shortcut where shapes allow."""

    def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_convolution(channels, hidden, kernel=1))
        layers.append(_convolution(hidden, hidden, kernel=3, stride=stride, groups=hidden))
        layers += [nn.Conv2d(hidden, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.conv = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """`[N, channels, h, w]` to `[N, out, h / stride, w / stride]`."""
        y: Tensor = self.conv(x)
        return x + y if self.has_shortcut else y


def _convolution(
    channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU6(inplace=True),
    )
