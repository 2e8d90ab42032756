"""What networks of inverted residuals share: features, global pooling and a linear head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.networks.description import Description, means


class PooledNetwork(nn.Module):
    """A chain of blocks, global pooling, one linear layer: `[N, 3, S, S]` to logits `[N, C]`.

    All maps are float32, of pictures in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        features: Sequence[nn.Module],
        described: tuple[int, int],
        widths: tuple[int, int, int],
        classes: int,
        dropout: float,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        """Puts a network together.

        Args:
            features: The blocks.
            described: Indices of the two that describe a picture: an earlier one, which knows
                texture and colour, and a later one, which knows what makes a lesion.
            widths: Channels that come out of these two and of the last block.
            classes: How many answers.
            dropout: Before the linear layer.
            mean: Of the pictures that its weights were made on, by channel.
            std: Their standard deviations.
        """
        super().__init__()
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(widths[-1], classes))
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self._middle, self._late = described
        self._widths = widths
        self.apply(_initialise)

    @property
    def map_channels(self) -> list[int]:
        """Of each of the `feature_maps`."""
        return list(self._widths)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[N, C] float32` of `pictures` `[N, 3, S, S] float32` in [0, 1]."""
        return self.head(self.feature_maps(pictures)[-1])

    def feature_maps(self, pictures: Tensor) -> list[Tensor]:
        """The maps of the two blocks that describe a picture, and the last, `[N, K, h, w]`."""
        x = (pictures - self.mean) / self.std
        middle: Tensor = self.features[: self._middle + 1](x)
        late: Tensor = self.features[self._middle + 1 : self._late + 1](middle)
        return [middle, late, self.features[self._late + 1 :](late)]

    def describe(self, maps: list[Tensor]) -> Description:
        """The pictures that have these feature maps, in the means of the first and the second."""
        middle, late = means(maps[0]), means(maps[1])
        return Description([middle, late], skin=late)

    def head(self, maps: Tensor) -> Tensor:
        """Logits `[N, C]` from the last feature map `[N, K, h, w]`."""
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


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
