"""The two networks are what the design says: their shapes, their parts, their parameter names."""

import pytest
import torch
from torch import nn

from training.networks import CNN, MobileNetV2


def test_mobilenet_has_the_published_parameters() -> None:
    # 3,504,872 with torchvision's 1000 classes: 3.4 million is table 4 of the paper.
    assert sum(p.numel() for p in MobileNetV2(1000).parameters()) == 3_504_872


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("features.0.0.weight", (32, 3, 3, 3)),
        ("features.1.conv.0.0.weight", (32, 1, 3, 3)),
        ("features.1.conv.1.weight", (16, 32, 1, 1)),
        ("features.2.conv.0.0.weight", (96, 16, 1, 1)),
        ("features.17.conv.2.weight", (320, 960, 1, 1)),
        ("features.17.conv.3.running_mean", (320,)),
        ("features.18.0.weight", (1280, 320, 1, 1)),
        ("classifier.1.weight", (7, 1280)),
    ],
)
def test_mobilenet_names_its_parameters_as_torchvision_does(
    name: str, shape: tuple[int, ...]
) -> None:
    assert tuple(MobileNetV2(7).state_dict()[name].shape) == shape


def test_mobilenet_describes_a_picture_at_an_eighth_and_a_thirty_second() -> None:
    net = MobileNetV2(7).eval()
    middle, last = net.feature_maps(torch.rand(2, 3, 96, 96))
    assert middle.shape == (2, 32, 12, 12)
    assert last.shape == (2, 1280, 3, 3)
    assert net(torch.rand(2, 3, 96, 96)).shape == (2, 7)


def test_the_cnn_has_three_convolutions_and_six_linear_layers_and_stays_small() -> None:
    net = CNN(2, 128)
    kinds = [type(m) for m in net.modules()]
    assert kinds.count(nn.Conv2d) == 3
    assert kinds.count(nn.MaxPool2d) == 3
    assert kinds.count(nn.Linear) == 6
    assert kinds.count(nn.LogSoftmax) == 1
    assert 4 * sum(p.numel() for p in net.parameters()) < 6_000_000


def test_the_cnn_answers_with_log_probabilities() -> None:
    scores = CNN(2, 64).eval()(torch.rand(3, 3, 64, 64))
    torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(3))


def test_a_size_that_the_pools_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="not divisible by 16"):
        CNN(2, 100)
