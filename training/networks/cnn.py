"""A small network of the classic kind: three convolutions, six fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.networks.description import Description, means_and_deviations

MEAN, STD = (0.7635, 0.5461, 0.5705), (0.1409, 0.1526, 0.1697)
"""Of HAM10000's pictures."""


class CNN(nn.Module):
    """Three convolutions, each with a max-pool, flatten, six linear layers, LogSoftmax.

    `[N, 3, S, S] float32` in [0, 1] to log-probabilities `[N, C] float32`. Batch normalisation
    stands between the layers. S must be divisible by the product of `pools`.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        classes: int,
        size: int,
        channels: Sequence[int] = (32, 64, 128),
        pools: Sequence[int] = (2, 2, 4),
        hidden: Sequence[int] = (128, 128, 64, 64, 32),
        dropout: float = 0.3,
    ) -> None:
        """Makes the network for `classes` answers and pictures of `size` x `size` pixels.

        Args:
            classes: Number of answers.
            size: Side of the input in pixels.
            channels: Of the three convolutions.
            pools: Sides of the three max-pools in pixels.
            hidden: Widths of the five hidden linear layers.
            dropout: Before each linear layer but the last.

        Raises:
            ValueError: where there are not three convolutions and five hidden layers, or `size`
                does not divide.
        """
        super().__init__()
        shrink = pools[0] * pools[1] * pools[2] if len(pools) == 3 else 0
        if len(channels) != 3 or len(hidden) != 5 or shrink == 0:
            raise ValueError("the CNN has three convolutions, three pools and five hidden layers")
        if size % shrink:
            raise ValueError(f"size {size} is not divisible by {shrink}, the product of the pools")
        self._channels = list(channels)
        cells = (size // shrink) ** 2
        self.convolutions = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            )
            for before, after in zip((3, *channels), channels, strict=False)
        )
        self.pools = nn.ModuleList(nn.MaxPool2d(side) for side in pools)
        widths = (channels[2] * cells, *hidden)
        self.hidden = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(dropout), nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()
            )
            for before, after in zip(widths, hidden, strict=False)
        )
        self.last = nn.Linear(hidden[-1], classes)
        self.log_softmax = nn.LogSoftmax(dim=1)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    @property
    def map_channels(self) -> list[int]:
        """Of each of the `feature_maps`."""
        return self._channels[1:]

    def forward(self, pictures: Tensor) -> Tensor:
        """Log-probabilities `[N, C] float32` of `pictures` `[N, 3, S, S] float32` in [0, 1]."""
        log_probability: Tensor = self.log_softmax(self.head(self.feature_maps(pictures)[-1]))
        return log_probability

    def feature_maps(self, pictures: Tensor) -> list[Tensor]:
        """What the second and the third convolution see, each before its max-pool."""
        x = (pictures - self.mean) / self.std
        maps: list[Tensor] = []
        for index, convolution in enumerate(self.convolutions):
            x = convolution(x if index == 0 else self.pools[index - 1](x))
            maps.append(x)
        return maps[1:]

    def describe(self, maps: list[Tensor]) -> Description:
        """The pictures that have these feature maps, in 128 and in 256 features.

        So early in a network a mean says little; how much a map varies says what is to be seen.
        """
        second, third = (means_and_deviations(each) for each in maps)
        return Description([second, third], skin=third)

    def head(self, maps: Tensor) -> Tensor:
        """Logits `[N, C]`, before LogSoftmax, from the third convolution's map `[N, K, h, w]`."""
        x = self.pools[2](maps).flatten(1)
        for layer in self.hidden:
            x = layer(x)
        logits: Tensor = self.last(x)
        return logits

    def class_activation(self, maps: Tensor) -> Tensor:
        """Grad-CAM of each class's logit over the third convolution, `[N, C, h, w]`, before ReLU.

        Selvaraju et al., "Grad-CAM", ICCV 2017. The gradient is written out, so that an exported
        graph can hold it: each linear layer passes it back through its weights, each ReLU where it
        was active, batch normalisation as a factor (the network must be in evaluation mode), and
        the max-pool hands each cell's gradient to one pixel, so that the mean over pixels is the
        sum over cells up to a factor that falls out when a map is divided by its maximum.
        """
        active: list[Tensor] = []
        x = self.pools[2](maps).flatten(1)
        for layer in self.hidden:
            x = layer(x)
            active.append((x > 0).to(x.dtype))
        gradient = self.last.weight.unsqueeze(0)
        for index in (4, 3, 2, 1, 0):
            layer = self.hidden[index]
            assert isinstance(layer, nn.Sequential)
            linear, norm = layer[1], layer[2]
            assert isinstance(linear, nn.Linear)
            assert isinstance(norm, nn.BatchNorm1d)
            assert norm.running_var is not None
            factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            weight = linear.weight
            if index == 0:
                weight = weight.reshape(weight.shape[0], maps.shape[1], -1).sum(dim=2)
            gradient = (gradient * (active[index] * factor).unsqueeze(1)) @ weight
        return torch.einsum("nck,nkhw->nchw", gradient, maps)
