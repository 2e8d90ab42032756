"""What a model is and is for, and what to know of it before anything else."""

from __future__ import annotations

from serving.manifest import Manifest
from training.card import groups
from training.card.markdown import counted, interval, sentence
from training.labels import MELANOMA
from training.metrics import Evaluation


def head(manifest: Manifest, evaluation: Evaluation) -> str:
    """The first lines: what must not be overlooked."""
    accuracy = evaluation.balanced_accuracy
    lines = [
        f"# {manifest.title} (`{manifest.name}`)",
        "> For teaching and demonstration. **Not a medical device, and never for diagnosis**: "
        "whoever is worried about a spot on their skin should show it to a doctor, whatever a "
        "model says.",
        sentence(manifest.summary) + " " + _seen(evaluation),
    ]
    headline = []
    if accuracy is not None:
        headline.append(f"balanced accuracy **{interval(accuracy)}**")
    malignant = evaluation.malignant
    if malignant is not None and malignant.auc is not None:
        headline.append(f"AUC of malignant against benign **{interval(malignant.auc)}**")
    if malignant is not None and malignant.pictures:
        headline.append(f"**missed {malignant.missed} of {malignant.pictures} malignant**")
        headline += [
            f"of these {each.missed} of {each.pictures} melanomas"
            for each in malignant.diagnoses
            if each.id == MELANOMA
        ]
    if headline:
        lines.append(sentence("; ".join(headline)))
    lines.append(groups.warning(evaluation))
    return "\n\n".join(line for line in lines if line)


def uses(manifest: Manifest) -> str:
    """What it is for, and what it must not be used for."""
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


def _seen(evaluation: Evaluation) -> str:
    count = counted(evaluation.pictures, evaluation.lesions, evaluation.unit)
    return f"Measured on {evaluation.dataset} ({count}):"
