"""The moving average of weights."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from training.averaging import ExponentialAveraging


def averaged(decay: float, values: list[float]) -> float:
    """What a weight that takes `values` one after another is averaged to."""
    layer = nn.Linear(1, 1, bias=False)
    average = AveragedModel(layer, multi_avg_fn=ExponentialAveraging(decay)._average)
    for value in values:
        nn.init.constant_(layer.weight, value)
        average.update_parameters(layer)
    weight = average.module.state_dict()["weight"]
    return float(weight.item())


def test_after_many_steps_the_average_moves_by_the_decay() -> None:
    settled = averaged(0.9, [1.0] * 200)
    assert settled == pytest.approx(1.0)
    assert averaged(0.9, [1.0] * 200 + [0.0]) == pytest.approx(0.9, abs=1e-6)


def test_a_short_run_forgets_where_it_started() -> None:
    torch.manual_seed(0)
    assert averaged(0.999, [100.0] + [1.0] * 15) < 1.01


def test_the_average_is_kept_where_the_network_trains() -> None:
    averaging, trainer = ExponentialAveraging(0.9), pl.Trainer(accelerator="cpu", logger=False)
    module = pl.LightningModule()
    module.layer = nn.Linear(1, 1)
    averaging.setup(trainer, module, "fit")
    module.to("meta")
    averaging.on_fit_start(trainer, module)
    assert averaging._average_model is not None
    assert {each.device.type for each in averaging._average_model.parameters()} == {"meta"}
