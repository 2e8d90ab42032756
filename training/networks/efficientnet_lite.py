"""EfficientNet-Lite, a larger relative of MobileNetV2: a teacher.

Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
without squeeze-and-excitation and with ReLU6, as its authors' variant for mobile devices has it.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.pooled import PooledNetwork

# expansion, output channels, repeats, stride of the first, kernel: table 1 of the paper
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
MIDDLE_STAGE, LATE_STAGE = 3, 6
"""Stages whose last blocks describe a picture: at a sixteenth and a thirty-second of its side."""

SCALING = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Of channels and of repeats, by version."""

MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
EPSILON = 1e-3
"""Of its norms."""


class EfficientNetLite(PooledNetwork):
    """EfficientNet-Lite: `[N, 3, S, S] float32` in [0, 1] to logits `[N, C] float32`.

    S is a multiple of 32.
    """

    def __init__(
        self, classes: int, version: int = 2, dropout: float = 0.3, depth_dropout: float = 0.1
    ) -> None:
        """Makes the network for `classes` answers, with `dropout` before its linear head.

        Args:
            classes: How many answers.
            version: 0, 1 or 2; the larger, the larger.
            dropout: Of features.
            depth_dropout: Of what the last block adds to its shortcut, picture by picture; of the
                l-th of L blocks l / L of it. Huang et al., "Deep Networks with Stochastic Depth",
                ECCV 2016.

        Raises:
            ValueError: where there is no such version here.
        """
        if version not in SCALING:
            known = ", ".join(map(str, SCALING))
            raise ValueError(f"EfficientNet-Lite{version} is not known here; there are: {known}.")
        width, depth = SCALING[version]
        # The first and the last stage have one block in all versions.
        inner = range(1, len(STAGES) - 1)
        repeats = [math.ceil(s[2] * depth) if i in inner else s[2] for i, s in enumerate(STAGES)]
        layers: list[nn.Module] = [_convolution(3, 32, kernel=3, stride=2)]
        channels, ends = 32, []
        for (expansion, unscaled, _, stride, kernel), count in zip(STAGES, repeats, strict=True):
            out = _eights(unscaled * width)
            for i in range(count):
                dropped = depth_dropout * len(layers) / sum(repeats)
                first = stride if i == 0 else 1
                layers.append(_Block(channels, out, first, expansion, kernel, dropped))
                channels = out
            ends.append((len(layers) - 1, channels))
        layers.append(_convolution(channels, 1280, kernel=1))
        (middle, few), (late, many) = ends[MIDDLE_STAGE], ends[LATE_STAGE]
        super().__init__(layers, (middle, late), (few, many, 1280), classes, dropout, MEAN, STD)

    def renamed(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights as their ports to torch name them (`_blocks.0._depthwise_conv.weight`), renamed.

        Names that are no such port's are left as they are.
        """
        return {self._renamed(name): value for name, value in state.items()}

    def _renamed(self, name: str) -> str:
        last = len(self.features) - 1
        if (block := re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", name)) is None:
            head, _, rest = name.partition(".")
            outer = {
                "_conv_stem": "features.0.0",
                "_bn0": "features.0.1",
                "_conv_head": f"features.{last}.0",
                "_bn1": f"features.{last}.1",
                "_fc": "classifier.1",
            }
            return f"{outer[head]}.{rest}" if head in outer else name
        index = int(block[1]) + 1
        inner = {
            "_expand_conv": "0.0",
            "_bn0": "0.1",
            "_depthwise_conv": "1.0",
            "_bn1": "1.1",
            "_project_conv": "2",
            "_bn2": "3",
        }
        place = inner.get(block[2])
        if place is None:
            return name
        # The first block does not expand.
        place = f"{int(place[0]) - 1}{place[1:]}" if index == 1 else place
        return f"features.{index}.conv.{place}.{block[3]}"


class _Block(nn.Module):
    """Expand, filter each channel, project; with a shortcut where shapes allow."""

    def __init__(
        self, channels: int, out: int, stride: int, expansion: int, kernel: int, dropped: float
    ) -> None:
        super().__init__()
        hidden = channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_convolution(channels, hidden, kernel=1))
        layers.append(_convolution(hidden, hidden, kernel, stride, groups=hidden))
        layers += [nn.Conv2d(hidden, out, 1, bias=False), nn.BatchNorm2d(out, EPSILON)]
        self.conv = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and channels == out
        self._dropped = dropped

    def forward(self, x: Tensor) -> Tensor:
        """`[N, channels, h, w]` to `[N, out, h / stride, w / stride]`."""
        y: Tensor = self.conv(x)
        if not self.has_shortcut:
            return y
        if self.training and self._dropped:
            kept = 1 - self._dropped
            y = y * ((torch.rand(len(y), 1, 1, 1, device=y.device) < kept).to(y.dtype) / kept)
        return x + y


class _Halving(nn.Conv2d):
    """A convolution of stride 2 on even sides, padded as its weights' framework did.

    That is by one less before than behind, where torch's own padding is the same on both sides.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`[N, K, h, w]` to `[N, L, h / 2, w / 2]`."""
        padding = self.kernel_size[0] - 2
        before = padding // 2
        behind = padding - before
        return super().forward(F.pad(input, (before, behind, before, behind)))


def _convolution(
    channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    made = (
        nn.Conv2d(channels, out, kernel, 1, kernel // 2, groups=groups, bias=False)
        if stride == 1
        else _Halving(channels, out, kernel, stride, groups=groups, bias=False)
    )
    return nn.Sequential(made, nn.BatchNorm2d(out, EPSILON), nn.ReLU6(inplace=True))


def _eights(channels: float) -> int:
    """The nearest multiple of eight, at least eight and no more than a tenth below."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
