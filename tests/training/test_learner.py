"""The shared training step: what it learns from, how its rate runs, what it says beforehand."""

import math
import re
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from torch import nn

from tests.training.drawn_sets import CONF, compose, draw_ham10000
from training.inputs import as_input
from training.learner import Learner
from training.train import train


def learner(weight_decay: float = 0.0, mixup: float = 0.0) -> Learner:
    """A learner of one linear layer over the pictures' mean colours."""

    class Colours(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.linear(pictures.mean(dim=(2, 3)))
            return scores

    return Learner(
        Colours(),
        nn.Identity(),
        torch.optim.SGD,
        log_prior=np.log(np.array([0.9, 0.1], np.float32)),
        prior_shift=np.array([-1.0, 1.0], np.float32),
        weight_decay=weight_decay,
        mixup=mixup,
    )


def test_pictures_become_channels_first_in_zero_to_one() -> None:
    pictures = torch.zeros((2, 4, 4, 3), dtype=torch.uint8)
    pictures[0, 1, 2] = torch.tensor([255, 0, 51])
    made = as_input(pictures)
    assert made.shape == (2, 3, 4, 4)
    torch.testing.assert_close(made[0, :, 1, 2], torch.tensor([1.0, 0.0, 0.2]))
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_the_loss_takes_the_samplings_shift_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made = learner()
    monkeypatch.setattr(made, "log", lambda *_, **__: None)
    for parameter in made.network.parameters():
        nn.init.zeros_(parameter)
    batch = (torch.zeros((1, 4, 4, 3), dtype=torch.uint8), torch.tensor([1]))
    shifted = math.log(1 + math.exp(-2))
    assert made.training_step(batch, 0).item() == pytest.approx(shifted, abs=1e-6)


def test_mixup_scores_a_mixed_picture_against_both_labels_by_their_shares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = learner(mixup=0.5)
    monkeypatch.setattr(made, "log", lambda *_, **__: None)
    pictures = torch.zeros((2, 4, 4, 3), dtype=torch.uint8)
    pictures[1] = 255
    labels = torch.tensor([0, 1])
    torch.manual_seed(3)
    loss = made.training_step((pictures, labels), 0)

    torch.manual_seed(3)
    share = torch.distributions.Beta(0.5, 0.5).sample()
    shares = torch.stack([1 - share, share]).view(2, 1, 1, 1)
    mixed = shares.expand(2, 3, 4, 4)
    scores = made.network(mixed) + made.prior_shift
    own = nn.functional.cross_entropy(scores, labels, reduction="none")
    other = nn.functional.cross_entropy(scores, 1 - labels, reduction="none")
    torch.testing.assert_close(loss, (share * own + (1 - share) * other).mean())


def test_weights_decay_but_norms_and_biases_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    made = learner(weight_decay=0.1)

    class Trainer:
        estimated_stepping_batches = 10

    monkeypatch.setattr(made, "_trainer", Trainer())
    configured = made.configure_optimizers()
    decayed, others = configured["optimizer"].param_groups
    assert [p.ndim for p in decayed["params"]] == [2]
    assert [p.ndim for p in others["params"]] == [1]
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)


def test_the_rate_rises_and_then_falls_to_nothing(tmp_path: Path) -> None:
    root = draw_ham10000(tmp_path / "data", lesions=5)
    run = tmp_path / "run"
    overrides = ["model=cnn", "model.epochs=5", "model.warm_up=0.4", "trainer.log_every_n_steps=1"]
    train(compose("train", run, f"data.root={root}", *overrides))
    header, *rows = (run / "logs/csv/version_0/metrics.csv").read_text().splitlines()
    column = next(i for i, name in enumerate(header.split(",")) if name.startswith("lr-"))
    rates = [float(row.split(",")[column]) for row in rows if row.split(",")[column]]
    highest = rates.index(max(rates))
    assert max(rates) == pytest.approx(2e-3)
    assert 0 < highest < len(rates) / 2 + 1
    assert rates[: highest + 1] == sorted(rates[: highest + 1])
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
    assert rates[-1] < 0.1 * max(rates)


def test_the_first_line_says_how_long_an_epoch_will_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = draw_ham10000(tmp_path / "data", lesions=5)
    forecast = "+callbacks.forecast._target_=training.forecast.EpochForecast"
    quick = ["model=cnn", "model.epochs=1", f"data.root={root}"]
    plain = compose("train", tmp_path / "plain", *quick)
    told = compose("train", tmp_path / "told", *quick, forecast)
    train(plain)
    capsys.readouterr()
    train(told)
    first = capsys.readouterr().out.splitlines()[0]
    assert re.match(r"An epoch will take about .+ on this CPU \(\d+ batches of 8, ", first)
    one, other = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("plain", "told")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["standard", "none"])
def test_augmented_pictures_stay_pictures(name: str) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("train", [f"augmentation={name}"])
    augmentation = hydra.utils.instantiate(config.augmentation)
    torch.manual_seed(0)
    pictures = torch.rand(8, 3, 32, 32)
    made = augmentation(pictures)
    assert made.shape == pictures.shape
    assert made.min() >= 0
    assert made.max() <= 1
    assert torch.equal(made, pictures) == (name == "none")
