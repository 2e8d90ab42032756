"""What a model was made from: data, configuration, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from serving.manifest import Manifest
from training import sizes
from training.card import integers
from training.card.markdown import DASH, pixels, table
from training.data import splits
from training.labels import Unit
from training.metrics import Evaluation
from training.sizes import PictureSize

_TOLD_ABOVE = frozenset(
    {"hardware", "seconds", "best_score", "scored_by", "commit", sizes.KEY, splits.KEY}
)
"""What stands in the manifest's configuration about the run itself."""


def section(manifest: Manifest, evaluation: Evaluation | None = None) -> str:
    """Data sets and licences, the facts of the training, parity and configuration.

    Whether the split knows lesions is told by an `evaluation` of its test part.
    """
    training = manifest.training
    shown = sizes.learned_from(training.config)
    header = ["data set", "pictures", *["pixels"] * bool(shown), "licence", "source"]
    rows = [
        [d.name, f"{d.pictures}", *_size(shown, d.name), d.licence, d.source]
        for d in training.datasets
    ]
    facts = [
        ["Network", manifest.architecture],
        [
            "Input",
            f"{manifest.preprocessing.size} x {manifest.preprocessing.size} pixels, "
            f"{manifest.preprocessing.fit}{_trained_at(manifest)}",
        ],
        ["Graph (SHA-256)", f"`{manifest.digest}`"],
        ["Split (SHA-256)", f"`{training.split_digest}`"],
        ["Seed", f"{training.seed}"],
        ["Commit", f"`{training.commit}`"],
        *_fitted(training.config.get("fitted")),
        ["Versions", ", ".join(f"{name} {v}" for name, v in training.versions.items())],
    ]
    record = training.config
    if "hardware" in record:
        facts.append(["Trained on", f"{record['hardware']}"])
    runs = [record, *record.get("averaged_with", [])]
    before = record.get("gone_on_from", [])
    chosen = [name for run in runs for name in run.get("checkpoints", [])]
    if len(chosen) > 1:
        facts.append(["Weights", f"mean of {len(chosen)} checkpoints, of {len(runs)} runs"])
    if start := _start(before) or record.get("gone_on_from_artifact", ""):
        share = record.get("start_share")
        mixed = f"; {share:.0%} of these weights is mixed in again" if share else ""
        facts.append(["Went on from", f"{start}{mixed}"])
    if taught := _teachers(record):
        facts.append(["Learned from", f"{taught}, beside the labels"])
    if "seconds" in record:
        every = _with_those_before(runs)
        seconds = sum(float(run["seconds"]) for run in every)
        others = ["the model it went on from"] * any("gone_on_from_artifact" in r for r in every)
        others += ["what it learned from"] * any(map(_teachers, every))
        without = f", without that of {' and of '.join(others)}" if others else ""
        facts.append(["Time of training", f"{_duration(seconds)}{without}"])
    # The score is one checkpoint's; a mean, or half a start, has another.
    if "best_score" in record and chosen == ["best"] and not record.get("start_share"):
        facts.append([f"Best {record['scored_by']}", f"{float(record['best_score']):.3f}"])
    config = {key: value for key, value in record.items() if key not in _TOLD_ABOVE}
    parity = manifest.parity
    unit = _unit(record, evaluation)
    told = _split(evaluation, unit)
    return f"""## What it was made from

{table(header, rows)}

The sets' licences bind whoever uses the model, too. {told} The test part took no part
in training, nor in anything that was fitted.

{table(["", ""], facts)}

Exported and compared with the network it was made from over {parity.pictures} pictures: the largest
difference of a probability was {parity.probability:.1g}, of a heatmap {parity.heatmap:.1g}.

{integers.paragraph(manifest.quantisation, unit, fitted_anew=_was_fitted_anew(manifest))}

<details><summary>The configuration of the training</summary>

```yaml
{OmegaConf.to_yaml(OmegaConf.create(config)).rstrip()}
```

</details>"""


def _unit(config: Mapping[str, Any], evaluation: Evaluation | None) -> Unit:
    """What the split goes by: its test part tells, or else the manifest's configuration."""
    if evaluation is None or evaluation.split_digest is None:
        return splits.goes_by(config)
    return evaluation.unit


def _split(evaluation: Evaluation | None, unit: Unit) -> str:
    """Whether a lesion, or what else the `unit` is, may be in two parts of the split."""
    measured = None if evaluation is None or evaluation.split_digest is None else evaluation
    if unit != "lesion" or (measured is not None and measured.knows_lesions):
        return f"The split goes by {unit}: no {unit} is in two parts."
    if measured is None:
        return "The split goes by lesion, where the data tell which one a picture shows."
    return (
        "Which lesion a picture shows is not known: each counts as its own, and pictures of one "
        "lesion may be in two parts."
    )


def _start(before: Sequence[Mapping[str, Any]]) -> str:
    if not before:
        return ""
    return "an earlier run" if len(before) == 1 else f"the mean of {len(before)} earlier runs"


def _with_those_before(runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What made `runs`, and those that they went on from, and those before these; each once."""
    found: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        for each in (run, *_with_those_before(run.get("gone_on_from", []))):
            # Several may have gone on from other checkpoints of one run.
            told = {key: value for key, value in each.items() if key != "checkpoints"}
            found.setdefault(repr(told), each)
    return list(found.values())


def _teachers(run: Mapping[str, Any]) -> Any:
    """What is written down about the networks that taught a run; None where there were none."""
    return OmegaConf.select(OmegaConf.create(dict(run)), "model.teacher.networks")


def _size(shown: Mapping[str, PictureSize], name: str) -> list[str]:
    """The size that a set's pictures had, where that of any set is known."""
    if not shown:
        return []
    return [pixels(shown[name]) if name in shown else DASH]


def _fitted(fitted: Mapping[str, Any] | None) -> list[list[str]]:
    """With what commit it was fitted, where the manifest tells."""
    if not fitted:
        return []
    anew = ", anew around weights that were there" * bool(fitted["anew"])
    return [["Fitted after training", f"commit `{fitted['commit']}`{anew}"]]


def _was_fitted_anew(manifest: Manifest) -> bool:
    return bool(manifest.training.config.get("fitted", {}).get("anew"))


def _trained_at(manifest: Manifest) -> str:
    """The size that it was trained at, where that is another."""
    # What a manifest tells of its training is anyone's own.
    trained = OmegaConf.select(
        OmegaConf.create(manifest.training.config), "model.preprocessing.size"
    )
    differs = trained is not None and trained != manifest.preprocessing.size
    return f" (trained at {trained} x {trained})" if differs else ""


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
