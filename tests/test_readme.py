"""What the README says of settings and models is what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from serving.settings import CHECKOUT, PREFIX, Settings

README = (CHECKOUT / "README.md").read_text("utf-8")
MODELS = ("mobilenet", "cnn")
_DASH = "\N{EN DASH}"


def test_every_setting_stands_in_the_table_in_its_order() -> None:
    rows = re.findall(rf"^\| `{PREFIX}(\w+)` \|", README, re.MULTILINE)
    assert rows == [name.upper() for name in Settings.__struct_fields__]


def test_numbers_in_the_table_are_the_defaults() -> None:
    defaults = Settings()
    rows = re.findall(rf"^\| `{PREFIX}(\w+)` \| `(\d+)`", README, re.MULTILINE)
    assert len(rows) > 10
    for name, value in rows:
        assert getattr(defaults, name.lower()) == float(value), name


def test_the_table_of_results_is_that_of_the_reports() -> None:
    told = [dict(_rows(_report(name))) for name in MODELS]
    assert f"on {_report(MODELS[0])['pictures']:,} test pictures" in README
    for row in told[0]:
        assert f"| {row} | {' | '.join(each[row] for each in told)} |" in README


def _report(name: str) -> Any:
    return msgspec.json.decode((CHECKOUT / f"artifacts/{name}/report/metrics.json").read_bytes())


def _rows(found: Any) -> Iterator[tuple[str, str]]:
    """Each row of the table of results, as it should stand there."""
    verdict, calibration, sets = found["malignant"], found["calibration"], found["conformal"]
    melanoma = next((each for each in verdict["diagnoses"] if each["id"] == "mel"), None)
    lesions, seen = found["per_lesion"], found["heatmaps"]
    (away,) = found["travel"]
    travelled = {each["measure"]: each["away"] for each in away["figures"]}
    yield "balanced accuracy of `prediction`", _interval(found["balanced_accuracy"])
    yield "accuracy", _interval(found["accuracy"])
    yield "truth among the three likeliest", _interval(found.get("top3_accuracy"))
    yield "AUC, malignant against benign", _interval(verdict["auc"])
    yield "sensitivity of the verdict", _interval(verdict["sensitivity"])
    yield "specificity of the verdict", _interval(verdict["specificity"])
    yield "malignant pictures missed", f"{verdict['missed']} of {verdict['pictures']}"
    missed = _DASH if melanoma is None else f"{melanoma['missed']} of {melanoma['pictures']}"
    yield "melanomas missed", missed
    for name, error in (("likeliest class", "error"), ("malignant", "malignant_error")):
        chance = calibration[f"{error}_by_chance"]
        figure = f"{_interval(calibration[error])}, {chance:.3f}"
        yield f"calibration error, {name}; the most that chance explains", figure
    yield "Brier score", _interval(calibration["brier"])
    yield "truth in the prediction set (aim 0.90)", _interval(sets["coverage"])
    yield "classes in the prediction set, mean", _interval(sets["mean_size"], 2)
    yield "refused as unlike any lesion", _interval(found["refused"])
    yield (
        "share of the heatmap inside the lesion, minus that of a guess at the middle",
        _interval(seen["inside"]["over_centre"]),
    )
    yield "each lesion once: balanced accuracy", _interval(lesions["balanced_accuracy"])
    yield "each lesion once: accuracy", _interval(lesions["accuracy"])
    yield "each lesion once: AUC", _interval(lesions["malignant_auc"])
    yield "other clinics: AUC, melanoma against all else", _interval(travelled["melanoma_auc"])
    yield "other clinics: refused", _interval(travelled["refused"])


def _interval(figure: Any, digits: int = 3) -> str:
    if figure is None:
        return _DASH
    value, low, high = (f"{figure[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low}{_DASH}{high})".replace("-", "\N{MINUS SIGN}")
