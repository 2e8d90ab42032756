"""The networks are what the design and their papers say: shapes, parts and parameter names."""

import pytest
import torch
from torch import nn

from training.networks import CNN, EfficientNetLite, MobileNetV2
from training.networks.description import means_and_deviations


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


@pytest.mark.parametrize(
    ("kind", "widths"), [(MobileNetV2, [64, 320, 1280]), (EfficientNetLite, [88, 352, 1280])]
)
def test_a_picture_is_seen_at_a_sixteenth_and_twice_at_a_thirty_second(
    kind: type[MobileNetV2 | EfficientNetLite], widths: list[int]
) -> None:
    net = kind(7).eval()
    maps = net.feature_maps(torch.rand(2, 3, 96, 96))
    sides = [6, 3, 3]
    assert [each.shape for each in maps] == [
        (2, width, side, side) for width, side in zip(widths, sides, strict=True)
    ]
    assert net(torch.rand(2, 3, 96, 96)).shape == (2, 7)


# Of the published weights: 4.65, 5.42 and 6.09 million with ImageNet's 1000 classes.
@pytest.mark.parametrize(("version", "count"), [(0, 4_652_008), (1, 5_416_680), (2, 6_092_072)])
def test_efficientnet_lite_has_the_published_parameters(version: int, count: int) -> None:
    assert sum(p.numel() for p in EfficientNetLite(1000, version).parameters()) == count


def test_efficientnet_lite_pads_less_before_than_behind() -> None:
    net = EfficientNetLite(7, version=0)
    stem = net.get_submodule("features.0.0")
    assert isinstance(stem, nn.Conv2d)
    with torch.no_grad():
        stem.weight.zero_()
        stem.weight[:, :, 0, 0] = 1
    picture = torch.zeros(1, 3, 8, 8)
    picture[..., 0, 0] = 1
    # The first corner of the first window is the picture's own corner, not one of its margin.
    assert stem(picture)[0, 0].nonzero().tolist() == [[0, 0]]


def test_stochastic_depth_leaves_shortcuts_and_is_for_training_only() -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 64, 64)
    always = EfficientNetLite(7, version=0, depth_dropout=0.0, dropout=0.0)
    block = always.features[3]
    sometimes = EfficientNetLite(7, version=0, depth_dropout=0.5, dropout=0.0)
    other = sometimes.features[3]
    other.load_state_dict(block.state_dict())
    with torch.no_grad():
        x = always.features[:3](picture)
        assert torch.equal(block.eval()(x), other.eval()(x))
        for each in (block, other):
            each.train()
        added = block(x) - x
        ways = [other(x) - x for _ in range(40)]
    dropped = [way for way in ways if not way.any()]
    kept = [way for way in ways if way.any()]
    assert dropped
    assert kept
    # What stays is raised, so that the mean is that of all.
    factor = 1 / (1 - 0.5 * 3 / 16)
    torch.testing.assert_close(kept[0], added * factor, rtol=1e-3, atol=1e-5)


def test_networks_say_how_wide_their_maps_are() -> None:
    pictures = torch.rand(2, 3, 64, 64)
    for net in (MobileNetV2(7).eval(), EfficientNetLite(7).eval(), CNN(2, 64).eval()):
        assert [maps.shape[1] for maps in net.feature_maps(pictures)] == net.map_channels


def test_a_description_does_not_know_where_in_the_picture_things_are() -> None:
    pictures = torch.rand(2, 3, 64, 64)
    for net in (MobileNetV2(7).eval(), EfficientNetLite(7).eval(), CNN(2, 64).eval()):
        maps = net.feature_maps(pictures)
        before = net.describe(maps)
        after = net.describe([torch.roll(each, (1, 1), (2, 3)) for each in maps])
        for one, other in zip(
            [*before.layers, before.skin], [*after.layers, after.skin], strict=True
        ):
            assert one.shape == (2, one.shape[1])
            torch.testing.assert_close(one, other)


def test_deviations_are_those_over_the_picture() -> None:
    maps = torch.rand(2, 5, 4, 6)
    found = means_and_deviations(maps)
    torch.testing.assert_close(found[:, :5], maps.flatten(2).mean(dim=2))
    torch.testing.assert_close(found[:, 5:], maps.flatten(2).std(dim=2, correction=0))


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
