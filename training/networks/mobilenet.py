"""MobileNetV2 with the parameter names of torchvision's, so that any file of its weights loads.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.networks.description import Description, means

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


class MobileNetV2(nn.Module):
    """MobileNetV2 1.0: `[N, 3, S, S] float32` in [0, 1] to logits `[N, C] float32`."""

    mean: Tensor
    std: Tensor

    def __init__(self, classes: int, dropout: float = 0.2) -> None:
        """Makes the network for `classes` answers, with `dropout` before its linear head."""
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, 32, kernel=3, stride=2)]
        channels = 32
        for expansion, out, repeats, stride in STAGES:
            for i in range(repeats):
                layers.append(InvertedResidual(channels, out, stride if i == 0 else 1, expansion))
                channels = out
        layers.append(_convolution(channels, 1280, kernel=1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(1280, classes))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.apply(_initialise)

    @property
    def map_channels(self) -> list[int]:
        """Of each of the `feature_maps`."""
        return [64, 320, 1280]

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[N, C] float32` of `pictures` `[N, 3, S, S] float32` in [0, 1]."""
        return self.head(self.feature_maps(pictures)[-1])

    def feature_maps(self, pictures: Tensor) -> list[Tensor]:
        """The maps of the blocks `MIDDLE` and `LATE`, and the last, `[N, 1280, S/32, S/32]`."""
        x = (pictures - self.mean) / self.std
        middle: Tensor = self.features[: MIDDLE + 1](x)
        late: Tensor = self.features[MIDDLE + 1 : LATE + 1](middle)
        return [middle, late, self.features[LATE + 1 :](late)]

    def describe(self, maps: list[Tensor]) -> Description:
        """The pictures that have these feature maps, in 64 and in 320 features."""
        middle, late = means(maps[0]), means(maps[1])
        return Description([middle, late], skin=late)

    def head(self, maps: Tensor) -> Tensor:
        """Logits `[N, C]` from the last feature map `[N, 1280, h, w]`."""
        logits: Tensor = self.classifier(maps.mean(dim=(2, 3)))
        return logits

    def class_activation(self, maps: Tensor) -> Tensor:
        """Each class's evidence over the last feature map, `[N, C, h, w]`, before its ReLU.

        For global pooling and one linear layer the class weights are Grad-CAM's, up to a factor
        that falls out when a map is divided by its maximum. Zhou et al., CVPR 2016; Selvaraju et
        al., ICCV 2017.
        """
        linear = self.classifier[-1]
        assert isinstance(linear, nn.Linear)
        return torch.einsum("ck,nkhw->nchw", linear.weight, maps)


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


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
