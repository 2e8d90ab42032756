"""What a model should not be trusted with, and how its report is made again."""

from __future__ import annotations

from collections.abc import Sequence

from serving.manifest import Manifest
from training import sizes
from training.card.markdown import either, percent, pixels
from training.measures import FEW
from training.metrics import Evaluation

_PEOPLE = {
    "HAM10000": (
        "HAM10000 comes from a university clinic in Vienna and a skin cancer practice in "
        "Queensland: almost all of its patients were light-skinned Europeans and Australians, "
        "and they were there because someone was worried enough to send them."
    ),
    "ISIC 2017": (
        "The pictures of ISIC 2017 come from several clinics in Europe, Australia and the United "
        "States, again of almost only light-skinned patients who were referred to specialists."
    ),
}
"""Who is on the pictures of a known set."""

_PUBLISHED = {"HAM10000": (600, 450)}
"""Width and height, in pixels, that the pictures of a known set were published with."""


def section(manifest: Manifest, evaluation: Evaluation) -> str:
    """Who is on the pictures, and what follows from that."""
    known = [_PEOPLE[d.name] for d in manifest.training.datasets if d.name in _PEOPLE]
    unknown = [d.name for d in manifest.training.datasets if d.name not in _PEOPLE]
    limits = [*known]
    if unknown:
        limits.append(
            f"Who is on the pictures of {either(unknown, 'and')}, this report does not know; the "
            "model's answers hold for such people, cameras and reasons to take a picture only."
        )
    if known:
        limits.append(
            "How often each diagnosis occurs here is a specialist's waiting room, not a street: "
            f"probabilities and verdicts hold for such rates of disease. {_alarms(evaluation)}"
            "Dark skin has hardly been seen at all."
        )
    limits += [
        "It has seen only dermoscopic pictures, and knows no diagnosis but its "
        f"{len(manifest.classes)} classes: anything else is given one of these, or refused.",
        *_size(manifest, evaluation),
        "Another camera, light or gel can cost much accuracy. Figures from the clinics that the "
        "model was trained on are the best case.",
        "The heatmap shows which regions raised a score. It is no outline of a disease and no "
        "proof of a reason.",
    ]
    few = [c.id for c in evaluation.classes if c.pictures < FEW]
    if few:
        limits.append(
            f"About {either(few, 'and')} there are too few pictures here (below {FEW}) to say much."
        )
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _size(manifest: Manifest, evaluation: Evaluation) -> list[str]:
    """How large the pictures were, and whether that is smaller than they are published."""
    measured = evaluation.picture_size
    if measured is None:
        return []
    said = f"It was measured on pictures of {pixels(measured)} pixels"
    if shown := sizes.learned_from(manifest.training.config).values():
        learned = either(list(dict.fromkeys(map(pixels, shown))), "and")
        said = f"It learned from pictures of {learned} pixels, and was{said.removeprefix('It was')}"
    # A test split is of the first set.
    first = manifest.training.datasets[0].name if manifest.training.datasets else None
    if evaluation.split_digest is not None and first in _PUBLISHED:
        width, height = _PUBLISHED[first]
        if measured.width * measured.height < width * height:
            said += f": smaller copies of {first}'s, which are published with {width} x {height}"
    return [f"{said}. Pictures with finer detail, or with less, would give other figures."]


def _alarms(evaluation: Evaluation) -> str:
    """How much of what is called suspicious is harmless."""
    figures = evaluation.malignant
    if figures is None:
        return ""
    suspicious = figures.pictures - figures.missed + figures.alarmed
    if not suspicious:
        return ""
    share = percent(figures.alarmed / suspicious)
    return f"Of what is called suspicious here {share} is harmless; elsewhere it would be more. "


def again(evaluation: Evaluation, command: Sequence[str]) -> str:
    """The lines that make the report again."""
    lines = "\n".join(command)
    return f"""## How to make this report again

```
{lines}
```

The same artifact, pictures and seed ({evaluation.seed}) give the same figures.
[metrics.json](metrics.json) holds every one of them in full.{_travelled(evaluation)}"""


def _travelled(evaluation: Evaluation) -> str:
    if not evaluation.travel:
        return ""
    names = either([each.name for each in evaluation.travel], "and")
    return f"\nThe pictures of {names} lie where conf/travel says."
