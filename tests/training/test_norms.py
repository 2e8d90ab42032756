"""Batch normalisation, estimated anew from the pictures that a network will meet."""

import torch
from torch import nn

from training.norms import renew, restore


def network() -> nn.Sequential:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.9))
    norm = layers[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    nn.init.constant_(norm.running_mean, 7.0)
    return layers.eval()


def test_the_pictures_come_out_of_a_norm_with_mean_zero_and_variance_one() -> None:
    torch.manual_seed(0)
    made = network()
    pictures = torch.randint(0, 256, (8, 12, 12, 3), dtype=torch.uint8)
    renew(made, [pictures])
    with torch.no_grad():
        out = made(pictures.permute(0, 3, 1, 2).float() / 255)
    torch.testing.assert_close(out.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.var(dim=(0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)


def test_each_batch_counts_the_same() -> None:
    torch.manual_seed(0)
    dark = torch.zeros((4, 12, 12, 3), dtype=torch.uint8)
    bright = torch.full((4, 12, 12, 3), 255, dtype=torch.uint8)
    one, other = network(), network()
    other.load_state_dict(one.state_dict())
    renew(one, [dark, bright])
    renew(other, [bright, dark])
    torch.testing.assert_close(one[1].running_mean, other[1].running_mean)


def test_the_network_is_left_as_it_would_be_served() -> None:
    made = network()
    renew(made, [torch.zeros((2, 12, 12, 3), dtype=torch.uint8)])
    assert not any(module.training for module in made.modules())
    assert made[1].momentum == 0.1


def test_norms_that_were_without_effect_get_one_and_the_network_answers_as_before() -> None:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5),
    ]
    made = nn.Sequential(*layers).eval()
    batches = [torch.randint(0, 256, (8, 12, 12, 3), dtype=torch.uint8) for _ in range(2)]
    shown = torch.cat(batches).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        before = made(shown)
        restore(made, batches)
        torch.testing.assert_close(made(shown), before, atol=1e-4, rtol=0)
        # What a norm meets in training is what it was given.
        torch.testing.assert_close(made.train()(shown), before, atol=1e-2, rtol=0)
    assert not made[1]._forward_pre_hooks
