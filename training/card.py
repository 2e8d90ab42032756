"""The model card: what a model is, what it was trained on and how far to trust it, in words.

Every figure comes from the manifest and the evaluation; none is typed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from omegaconf import OmegaConf

from serving.manifest import Manifest
from training.bootstrap import Figure
from training.metrics import FEW, ClassFigures, Evaluation
from training.plots import Plot

_PEOPLE = {
    "HAM10000": (
        "HAM10000 comes from a university clinic in Vienna and a skin cancer practice in "
        "Queensland: almost all of its patients were light-skinned, and they were there because "
        "someone was worried."
    ),
    "ISIC 2017": (
        "The pictures of ISIC 2017 come from several clinics, again of almost only light-skinned "
        "patients who were referred to specialists."
    ),
}
"""Who is on the pictures of a known set."""

_TOLD_ABOVE = frozenset({"hardware", "seconds", "best_score", "scored_by"})
"""What stands in the manifest's configuration about the run itself."""


def write(
    manifest: Manifest,
    evaluation: Evaluation,
    plots: Mapping[str, Plot],
    command: Sequence[str],
) -> str:
    """The card in Markdown; `command` are the lines that make this report again."""
    parts = [
        _head(manifest, evaluation),
        _uses(manifest),
        _origin(manifest),
        _results(evaluation),
        _classes(manifest, evaluation, plots),
        _verdict(manifest, evaluation, plots),
        _calibration(manifest, evaluation, plots),
        _sets(evaluation),
        _refusals(manifest, evaluation, plots),
        _limits(manifest, evaluation),
        _again(evaluation, command),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(manifest: Manifest, evaluation: Evaluation) -> str:
    accuracy = evaluation.balanced_accuracy
    lines = [
        f"# {manifest.title} (`{manifest.name}`)",
        "> For teaching and demonstration. **Not a medical device, and never for diagnosis**: "
        "whoever is worried about a spot on their skin should show it to a doctor, whatever a "
        "model says.",
        _sentence(manifest.summary) + " " + _seen(evaluation),
    ]
    headline = []
    if accuracy is not None:
        headline.append(f"balanced accuracy **{_interval(accuracy)}**")
    malignant = evaluation.malignant
    if malignant is not None and malignant.auc is not None:
        headline.append(f"AUC of malignant against benign **{_interval(malignant.auc)}**")
    if malignant is not None and malignant.pictures:
        headline.append(f"**missed {malignant.missed} of {malignant.pictures} malignant**")
    if headline:
        lines.append(_sentence("; ".join(headline)))
    return "\n\n".join(lines)


def _uses(manifest: Manifest) -> str:
    return f"""## What it is for

To learn and to show how such a model works, where it errs, and how it says so. It takes one
dermoscopic picture (taken through a dermatoscope, of one lesion) and gives {_answer(manifest)}.

It must not be used

- to diagnose, to rule out a disease, or to decide for or against seeing a doctor or treating;
- on pictures taken without a dermatoscope, or of mucosa, nails, or anything that is no lesion;
- to judge several lesions in one picture, or to follow one over time;
- on people and in places unlike those of its training pictures (see [limits](#limits)) as if the
  figures here held for them."""


def _answer(manifest: Manifest) -> str:
    count = len(manifest.classes)
    verdict = " and a verdict, suspicious or not" if manifest.malignant_ids else ""
    return f"a calibrated probability for each of {count} classes{verdict}"


def _origin(manifest: Manifest) -> str:
    training = manifest.training
    rows = [[d.name, f"{d.pictures}", d.licence, d.source] for d in training.datasets]
    facts = [
        ["Network", manifest.architecture],
        [
            "Input",
            f"{manifest.preprocessing.size} x {manifest.preprocessing.size} pixels, "
            f"{manifest.preprocessing.fit}",
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
    if "seconds" in record:
        facts.append(["Time of training", _duration(float(record["seconds"]))])
    if "best_score" in record:
        facts.append([f"Best {record['scored_by']}", f"{float(record['best_score']):.3f}"])
    config = {key: value for key, value in record.items() if key not in _TOLD_ABOVE}
    parity = manifest.parity
    return f"""## What it was made from

{_table(["data set", "pictures", "licence", "source"], rows)}

The sets' licences bind whoever uses the model, too. The split goes by lesion: no lesion is in two
parts. The test part took no part in training or in any choice.

{_table(["", ""], facts)}

Exported and compared with the network it was made from over {parity.pictures} pictures: the largest
difference of a probability was {parity.probability:.1g}, of a heatmap {parity.heatmap:.1g}.

<details><summary>The configuration of the training</summary>

```yaml
{OmegaConf.to_yaml(OmegaConf.create(config)).rstrip()}
```

</details>"""


def _results(evaluation: Evaluation) -> str:
    malignant = evaluation.malignant
    rows = _rows(
        [
            ("Balanced accuracy", evaluation.balanced_accuracy),
            ("Accuracy", evaluation.accuracy),
            ("Truth among the three likeliest", evaluation.top3_accuracy),
            ("Malignant: AUC", malignant.auc if malignant else None),
            ("Malignant: sensitivity of the verdict", malignant.sensitivity if malignant else None),
            ("Malignant: specificity of the verdict", malignant.specificity if malignant else None),
            ("Calibration error", evaluation.calibration.error),
            ("Truth in the prediction set", evaluation.conformal.coverage),
            ("Refused as unlike the training pictures", evaluation.refused),
        ]
    )
    absent = [c.id for c in evaluation.classes if not c.pictures]
    lines = [
        "## Results",
        f"Measured on **{evaluation.dataset}**: {evaluation.pictures} pictures of "
        f"{evaluation.lesions} lesions, run from their files through the code that serves. "
        f"Intervals hold 95 %; they are drawn {evaluation.resamples} times over lesions, because "
        "two pictures of one lesion are not two cases.",
    ]
    if evaluation.left_out:
        lines.append(
            f"Left out: {evaluation.left_out} rows without a readable picture or with a label that "
            "is none of the model's classes."
        )
    if absent:
        lines.append(
            f"No picture here is {_either(absent)}: the balanced accuracy is the mean over the "
            f"other {len(evaluation.classes) - len(absent)} classes, and nothing can be said about "
            "these."
        )
    lines.append(_table(["", "value", "95 % interval", "pictures"], rows))
    return "\n\n".join(lines)


def _classes(manifest: Manifest, evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    rows = [_class_row(c) for c in evaluation.classes if c.pictures]
    header = ["class", "pictures", "lesions", "sensitivity", "specificity", "AUC"]
    few = [c.id for c in evaluation.classes if 0 < c.pictures < FEW]
    offsets = ", ".join(f"{id} {manifest.decision_offsets[id]:.2f}" for id in manifest.class_ids)
    lines = [
        "### Each class against the others",
        "The predicted class is the one with the largest probability times its offset, so that "
        f"rare classes get their due: {offsets}. Sensitivity and specificity are of that class.",
        _table(header, rows),
    ]
    if few:
        lines.append(
            f"† Fewer than {FEW} pictures ({', '.join(few)}): such a figure says little, as its "
            "interval shows."
        )
    return "\n\n".join([*lines, *_images(plots, "confusion", "roc", "confidence")])


def _class_row(figures: ClassFigures) -> list[str]:
    mark = " †" if figures.pictures < FEW else ""
    malignant = " (malignant)" if figures.malignant and figures.id != "malignant" else ""
    return [
        f"{figures.name}, `{figures.id}`{malignant}{mark}",
        f"{figures.pictures}",
        f"{figures.lesions}",
        *(_interval(each) for each in (figures.sensitivity, figures.specificity, figures.auc)),
    ]


def _verdict(manifest: Manifest, evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    figures = evaluation.malignant
    if figures is None:
        return ""
    point = manifest.operating_points[0]
    low, high = point.interval
    lines = [
        "## The verdict",
        "A picture is called suspicious from a malignant probability of "
        f"{_percent(figures.threshold, 1)} on. The threshold was chosen on other pictures, to miss "
        "few malignant lesions at the price of false alarms; there it reached a sensitivity of "
        f"{point.sensitivity:.3f} ({low:.3f} to {high:.3f}, {point.n} malignant pictures) and a "
        f"specificity of {point.specificity:.3f}.",
    ]
    said = []
    if figures.pictures:
        said.append(
            f"Of {figures.pictures} malignant pictures it **missed {figures.missed}** "
            f"(sensitivity {_interval(figures.sensitivity, brackets=False)})."
        )
    if figures.benign:
        said.append(
            f"Of {figures.benign} benign pictures it called {figures.alarmed} suspicious "
            f"(specificity {_interval(figures.specificity, brackets=False)})."
        )
    lines.append(" ".join(said))
    if len(figures.diagnoses) > 1:
        rows = [
            [
                f"{each.name}, `{each.id}`{' †' if each.pictures < FEW else ''}",
                f"{each.pictures}",
                f"{each.missed}",
                _interval(each.sensitivity),
            ]
            for each in figures.diagnoses
        ]
        lines.append(_table(["malignant diagnosis", "pictures", "missed", "sensitivity"], rows))
    return "\n\n".join([*lines, *_images(plots, "operating_point")])


def _calibration(manifest: Manifest, evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    before, after = evaluation.uncalibrated, evaluation.calibration
    compared = [
        ("Calibration error, likeliest class", before.error, after.error),
        ("Calibration error, malignant probability", before.malignant_error, after.malignant_error),
        ("Brier score (0 best, 2 worst)", before.brier, after.brier),
        ("Log-loss (nats)", before.log_loss, after.log_loss),
    ]
    rows = [[name, _interval(b), _interval(a)] for name, b, a in compared if a is not None]
    lines = [
        "## Calibration",
        "Whether a probability means what it says. One temperature, "
        f"{manifest.temperature:.3f}, fitted on other pictures, divides the logits. The error is "
        "the mean gap, over 15 bins, between the probability given and the share that turned out "
        "so.",
        _table(["", "before", "after"], rows),
    ]
    return "\n\n".join([*lines, *_images(plots, "reliability")])


def _sets(evaluation: Evaluation) -> str:
    figures = evaluation.conformal
    if figures.coverage is None:
        return ""
    rows = [
        [
            f"{c.name}, `{c.id}`{' †' if c.pictures < FEW else ''}",
            f"{c.pictures}",
            _interval(c.coverage),
        ]
        for c in evaluation.classes
        if c.pictures
    ]
    return "\n\n".join(
        [
            "## Prediction sets",
            f"The set should hold the truth in {_percent(1 - figures.alpha)} of pictures like "
            f"these. Here it held it in {_interval(figures.coverage)}, with "
            f"{_interval(figures.mean_size, 2)} classes on average and a single one in "
            f"{_interval(figures.single)}.",
            _table(["true class", "pictures", "share with the truth in the set"], rows),
        ]
    )


def _refusals(manifest: Manifest, evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    lines = [
        "## What it refuses",
        f"A picture whose novelty is above {manifest.novelty_threshold:.4g} is unlike the training "
        "pictures, and the page shows no diagnosis for it. Of these pictures a share of "
        f"{_interval(evaluation.refused)} was refused. All other figures here count refused "
        "pictures as answered.",
    ]
    if evaluation.warnings:
        rows = [[f"`{kind}`", _interval(f)] for kind, f in sorted(evaluation.warnings.items())]
        lines += ["Warnings beside an answer:", _table(["warning", "share"], rows)]
    return "\n\n".join([*lines, *_images(plots, "novelty")])


def _limits(manifest: Manifest, evaluation: Evaluation) -> str:
    known = [_PEOPLE[d.name] for d in manifest.training.datasets if d.name in _PEOPLE]
    unknown = [d.name for d in manifest.training.datasets if d.name not in _PEOPLE]
    limits = [*known]
    if unknown:
        limits.append(
            f"Who is on the pictures of {_either(unknown, 'and')}, this report does not know; the "
            "model's answers hold for such people, cameras and reasons to take a picture only."
        )
    if known:
        limits.append(
            "How often each diagnosis occurs here is a specialist's waiting room, not a street: "
            "elsewhere, most of what is called suspicious would be harmless, and dark skin has "
            "hardly been seen at all."
        )
    limits += [
        "It has seen only dermoscopic pictures, and knows no diagnosis but its "
        f"{len(manifest.classes)} classes: anything else is given one of these, or refused.",
        "Another camera, light or gel can cost much accuracy. Figures from the clinics that the "
        "model was trained on are the best case.",
        "The heatmap shows which regions raised a score. It is no outline of a disease and no "
        "proof of a reason.",
    ]
    few = [c.id for c in evaluation.classes if c.pictures < FEW]
    if few:
        limits.append(
            f"About {_either(few, 'and')} there are too few pictures here (below {FEW}) to say "
            "much."
        )
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _again(evaluation: Evaluation, command: Sequence[str]) -> str:
    lines = "\n".join(command)
    return f"""## How to make this report again

```
{lines}
```

The same artifact, pictures and seed ({evaluation.seed}) give the same figures.
[metrics.json](metrics.json) holds every one of them in full."""


def _seen(evaluation: Evaluation) -> str:
    return (
        f"Measured on {evaluation.dataset} ({evaluation.pictures} pictures of "
        f"{evaluation.lesions} lesions):"
    )


def _rows(figures: Sequence[tuple[str, Figure | None]]) -> list[list[str]]:
    return [
        [name, f"{f.value:.3f}", f"{f.low:.3f} to {f.high:.3f}", f"{f.n}"]
        for name, f in figures
        if f is not None
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _images(plots: Mapping[str, Plot], *names: str) -> list[str]:
    return [
        f"![{plots[name].alt}]({plots[name].file})\n\n*{plots[name].caption}*"
        for name in names
        if name in plots
    ]


def _interval(figure: Figure | None, digits: int = 3, *, brackets: bool = True) -> str:
    if figure is None:
        return "unknown"
    interval = f"{figure.low:.{digits}f} to {figure.high:.{digits}f}"
    return f"{figure.value:.{digits}f}" + (f" ({interval})" if brackets else f", {interval}")


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _either(names: Sequence[str], word: str = "or") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
