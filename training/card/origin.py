"""What a model was made from: data, configuration, time."""

from __future__ import annotations

from omegaconf import OmegaConf

from serving.manifest import Manifest
from training.card import integers
from training.card.markdown import table

_TOLD_ABOVE = frozenset({"hardware", "seconds", "best_score", "scored_by", "commit"})
"""What stands in the manifest's configuration about the run itself."""


def section(manifest: Manifest) -> str:
    """Data sets and licences, the facts of the training, parity and configuration."""
    training = manifest.training
    rows = [[d.name, f"{d.pictures}", d.licence, d.source] for d in training.datasets]
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
        ["Versions", ", ".join(f"{name} {v}" for name, v in training.versions.items())],
    ]
    record = training.config
    if "hardware" in record:
        facts.append(["Trained on", f"{record['hardware']}"])
    runs = [record, *record.get("averaged_with", [])]
    before = record.get("gone_on_from", [])
    count = sum(len(run.get("checkpoints", [])) for run in runs)
    if count > 1:
        facts.append(["Weights", f"mean of {count} checkpoints, of {len(runs)} runs"])
    start = f"the mean of {len(before)} earlier runs" if before else ""
    if start := start or record.get("gone_on_from_artifact", ""):
        share = record.get("start_share")
        mixed = f"; {share:.0%} of these weights is mixed in again" if share else ""
        facts.append(["Went on from", f"{start}{mixed}"])
    if "seconds" in record:
        seconds = sum(float(run["seconds"]) for run in [*runs, *before])
        behind = ", without that of the model it went on from" * ("gone_on_from_artifact" in record)
        facts.append(["Time of training", f"{_duration(seconds)}{behind}"])
    if "best_score" in record:
        facts.append([f"Best {record['scored_by']}", f"{float(record['best_score']):.3f}"])
    config = {key: value for key, value in record.items() if key not in _TOLD_ABOVE}
    parity = manifest.parity
    return f"""## What it was made from

{table(["data set", "pictures", "licence", "source"], rows)}

The sets' licences bind whoever uses the model, too. The split goes by lesion: no lesion is in two
parts. The test part took no part in training or in any choice.

{table(["", ""], facts)}

Exported and compared with the network it was made from over {parity.pictures} pictures: the largest
difference of a probability was {parity.probability:.1g}, of a heatmap {parity.heatmap:.1g}.

{integers.paragraph(manifest.quantisation)}

<details><summary>The configuration of the training</summary>

```yaml
{OmegaConf.to_yaml(OmegaConf.create(config)).rstrip()}
```

</details>"""


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
