"""Small data sets of drawn pictures, laid out as the published ones, and runs over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig

from tests.drawings import draw_lesion, encode
from training.labels import DIAGNOSES

CONF = Path(__file__).parents[2] / "conf"


def draw_ham10000(root: Path, lesions: int = 6) -> Path:
    """A set in HAM10000's layout: `lesions` of each diagnosis, every other one pictured twice."""
    (root / "images").mkdir(parents=True)
    rows = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    number = 0
    for label, malignant in DIAGNOSES.items():
        for lesion in range(lesions):
            for _ in range(1 + lesion % 2):
                number += 1
                picture = draw_lesion(number, 80, 60, redness=0.9 if malignant else 0.1)
                (root / "images" / f"ISIC_{number:07}.jpg").write_bytes(encode(picture))
                rows.append(f"HAM_{label}_{lesion},ISIC_{number:07},{label},histo,50,male,back")
    (root / "HAM10000_metadata.csv").write_text("\n".join(rows) + "\n")
    return root


def draw_folders(root: Path, classes: Sequence[str], pictures: int = 8) -> Path:
    """A set with one folder a class, each class of its own redness."""
    for index, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(pictures):
            redness = index / max(1, len(classes) - 1)
            picture = draw_lesion(100 * index + i, 80, 60, redness=redness)
            (root / name / f"{name}{i}.png").write_bytes(encode(picture, "PNG"))
    return root


def compose(name: str, run: Path, *overrides: str) -> DictConfig:
    """The configuration `conf/NAME.yaml` for a few steps on small pictures, from scratch."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(name, [*quick(run), *overrides])


def quick(run: Path) -> list[str]:
    """What makes a run in the folder `run` one of a few steps on small pictures, from scratch."""
    return [
        f"run_dir={run}",
        f"cache_dir={run.parent / 'cache'}",
        "model.preprocessing.size=64",
        "model.epochs=2",
        "model.batch_size=8",
        "model.weights.file=null",
        "model.weights.url=null",
        "callbacks.averaging.decay=0.5",
        "~callbacks.forecast",
        "trainer.precision=32-true",
        "+trainer.enable_progress_bar=false",
        "~callbacks.progress",
    ]
