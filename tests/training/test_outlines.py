"""The second task: what it learns from, that outlines move with pictures, that runs take it."""

from pathlib import Path

import hydra
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from tests.drawings import encode
from tests.training.drawn_sets import CONF, compose, draw_ham10000
from training.augmentation import Augmentation
from training.finished import load_network
from training.labels import DataError
from training.learner import Learner
from training.outlines import OutlineTask
from training.train import train


def standard() -> Augmentation:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("train", ["augmentation=standard"])
    made: Augmentation = hydra.utils.instantiate(config.augmentation)
    return made


def test_only_known_outlines_count() -> None:
    torch.manual_seed(0)
    task = OutlineTask([4, 6, 8])
    maps = [torch.rand(2, 4, 8, 8), torch.rand(2, 6, 4, 4), torch.rand(2, 8, 4, 4)]
    outlines = torch.zeros(2, 2, 16, 16)
    outlines[0, 0, :, :8] = 1
    outlines[0, 1] = 1
    asked = [(task.first(maps[0]), 8), (task.last(maps[2]), 4)]
    expected = torch.tensor(0.0)
    for logits, side in asked:
        inside = torch.zeros(side, side)
        inside[:, : side // 2] = 1
        expected = expected + F.binary_cross_entropy_with_logits(logits[0, 0], inside)
    torch.testing.assert_close(task(maps, outlines), expected)
    assert task(maps, torch.zeros(2, 2, 16, 16)) == 0


def test_what_is_partly_known_is_learned_as_far_as_it_is_known() -> None:
    # As of a picture that is mixed with one whose outline nobody drew.
    torch.manual_seed(0)
    task = OutlineTask([4, 6])
    maps = [torch.rand(1, 4, 8, 8), torch.rand(1, 6, 4, 4)]
    outlines = torch.ones(1, 2, 16, 16)
    outlines[0, 0, :8] = 0
    torch.testing.assert_close(task(maps, outlines * 0.3), task(maps, outlines))


def test_outlines_move_with_their_pictures_and_are_not_coloured() -> None:
    torch.manual_seed(1)
    lesions = F.interpolate((torch.rand(16, 1, 8, 8) > 0.5).float(), scale_factor=8)
    known = torch.ones(16, 1, 64, 64)
    augmentation = standard()
    # Whose colours say nothing but where the lesion is: what is moved apart from them differs.
    made = augmentation(torch.cat([lesions, lesions, lesions, lesions, known], dim=1))
    assert made.shape == (16, 5, 64, 64)
    agreement = [
        torch.corrcoef(torch.stack([colours.mean(dim=0).flatten(), moved.flatten()]))[0, 1].item()
        for colours, moved in zip(made[:, :3], made[:, 3], strict=True)
    ]
    assert min(agreement) > 0.75
    torch.testing.assert_close(made[:, 4:], known)
    # Pixels are invented between black and white only where a turn interpolates, never by a jitter.
    ends = ((made[:, 3] < 0.01) | (made[:, 3] > 0.99)).float().mean()
    assert ends > 0.8


def test_a_step_adds_the_second_task_by_its_weight() -> None:
    class Network(nn.Module):
        map_channels = (3, 3)

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def feature_maps(self, pictures: torch.Tensor) -> list[torch.Tensor]:
            return [F.avg_pool2d(pictures, 2), F.avg_pool2d(pictures, 4)]

        def head(self, maps: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.linear(maps.mean(dim=(2, 3)))
            return scores

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return self.head(self.feature_maps(pictures)[-1])

    def made(weight: float) -> Learner:
        torch.manual_seed(2)
        prior = torch.zeros(2).numpy()
        return Learner(
            Network(),
            nn.Identity(),
            torch.optim.SGD,
            log_prior=prior,
            prior_shift=prior,
            outline_weight=weight,
        )

    batch = torch.randint(256, (4, 8, 8, 5), dtype=torch.uint8), torch.tensor([0, 1, 1, 0])
    without, half, whole = (each.loss(batch, each.network) for each in map(made, (0, 0.5, 1)))
    assert half > without
    torch.testing.assert_close(whole - without, 2 * (half - without))


@pytest.mark.parametrize("model", ["cnn", "mobilenet"])
def test_a_run_learns_outlines_and_leaves_a_plain_network(tmp_path: Path, model: str) -> None:
    root = draw_ham10000(tmp_path / "data", lesions=5)
    (root / "masks").mkdir()
    overrides = [f"model={model}", f"data.root={root}", "model.outline_weight=0.5"]
    run = tmp_path / "run"
    with pytest.raises(DataError, match="no training picture has one"):
        train(compose("train", run, *overrides))
    for picture in (root / "images").iterdir():
        mask = Image.new("L", (80, 60))
        mask.paste(255, (20, 15, 60, 45))
        (root / "masks" / f"{picture.stem}.png").write_bytes(encode(mask, "PNG"))
    config = compose("train", run, *overrides)
    train(config)
    last = run / "checkpoints/last.ckpt"
    state = torch.load(last, weights_only=True)["state_dict"]
    assert {name for name in state if name.startswith("outlines.")}
    network = load_network(config, [last], 7 if model == "mobilenet" else 2)
    assert not [name for name in network.state_dict() if "outlines" in name]
    # Goes on from where it was, second task and all.
    longer = compose(
        "train", tmp_path / "longer", *overrides, "model.epochs=3", f"ckpt_path={last}"
    )
    train(longer)
