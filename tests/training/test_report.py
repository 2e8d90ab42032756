"""Card and plots: what they say is what was measured."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from serving.manifest import Dataset, GateFigure, Manifest, Quantisation
from tests.artifact_factory import SEVEN, TWO, make_artifact
from tests.training.answered import calibrated_predictions
from training import card, groups, plots
from training.bootstrap import Bootstrap, Figure
from training.cameras import CameraFigures, Cameras, CameraSettings
from training.comparison import Comparison, RecipeFigures
from training.data import splits
from training.data.sets import TravelSet
from training.groups import GroupSettings
from training.heatmaps import Guessed, HeatmapFigures, HeatmapSettings
from training.labels import Background, Unit
from training.metrics import Evaluation, evaluate
from training.plots.canvas import Plot
from training.predictions import Predictions
from training.refusals import RefusalFigures, Refused
from training.sizes import PictureSize
from training.travel import compare

LIKE_THE_MIDDLE = Figure(value=0.0, low=-0.01, high=0.01, n=900)
ABOVE = Figure(value=0.1, low=0.08, high=0.12, n=900)
BELOW = Figure(value=-0.1, low=-0.12, high=-0.08, n=900)


CAMERAS = CameraSettings(scales=[2], saved_at=92, qualities=[30], turns=[], lights=[], blurs=[0.01])


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    """Of men and women; the verdict on women's pictures is always suspicious."""
    drawn = calibrated_predictions(900, pictures_per_lesion=2)
    female = np.arange(900) % 4 < 2
    assert drawn.suspicious is not None
    return msgspec.structs.replace(
        drawn,
        backgrounds=[Background(sex="female" if each else "male") for each in female],
        suspicious=drawn.suspicious | female,
    )


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_artifact(tmp_path_factory.mktemp("artifact"), temperature=1.5)


@pytest.fixture(scope="module")
def evaluation(predictions: Predictions, manifest: Manifest) -> Evaluation:
    bootstrap = Bootstrap(predictions.groups, 200)
    elsewhere = TravelSet(
        name="elsewhere",
        root="data",
        licence="none",
        source="drawn",
        remark="Drawn with other pens.",
        akin=["Drawings"],
    )
    return msgspec.structs.replace(
        evaluate(predictions, manifest, "the drawn set", resamples=200),
        groups=groups.measure(
            predictions, GroupSettings(age_bands=[50], least_of_class=10), bootstrap
        ),
        heatmaps=looked(BELOW, LIKE_THE_MIDDLE),
        travel=[
            compare(elsewhere, calibrated_predictions(200, seed=3), predictions, [], 200, seed=0)
        ],
        refusals=RefusalFigures(
            strangers=[Refused(name="skin", share=Figure(value=0.97, low=0.93, high=0.99, n=150))],
            photographs=Figure(value=0.88, low=0.81, high=0.94, n=70),
        ),
        cameras=Cameras(
            settings=CAMERAS,
            changes=[
                CameraFigures(
                    name="enlarged x2",
                    refused=Figure(value=0.06, low=0.04, high=0.08, n=900),
                    balanced_accuracy=Figure(value=0.61, low=0.55, high=0.66, n=900),
                    balanced_accuracy_gained=LIKE_THE_MIDDLE,
                ),
                CameraFigures(
                    name="blurred by 1 %",
                    refused=Figure(value=0.07, low=0.05, high=0.09, n=900),
                    balanced_accuracy=Figure(value=0.51, low=0.45, high=0.56, n=900),
                    balanced_accuracy_gained=BELOW,
                    malignant_auc=Figure(value=0.81, low=0.75, high=0.86, n=900),
                    malignant_auc_gained=BELOW,
                ),
                CameraFigures(
                    name="JPEG quality 30",
                    refused=Figure(value=0.07, low=0.05, high=0.09, n=900),
                    balanced_accuracy_gained=BELOW,
                ),
            ],
        ),
    )


def looked(inside: Figure | None, drop: Figure) -> HeatmapFigures:
    """Made-up figures of heatmaps with these differences to a guess at the middle."""

    def guessed(over_centre: Figure) -> Guessed:
        shares = [Figure(value=v, low=v - 0.02, high=v + 0.02, n=900) for v in (0.5, 0.4, 0.3)]
        heatmap, centre, chance = shares
        return Guessed(
            heatmap=heatmap,
            centre=centre,
            chance=chance,
            over_centre=over_centre,
            over_chance=ABOVE,
        )

    return HeatmapFigures(
        settings=HeatmapSettings(centre=0.25, hottest=0.2, blur=0.1),
        pictures=900,
        blank=3,
        inside=None if inside is None else guessed(inside),
        drop=guessed(drop),
        drop_everything=Figure(value=0.6, low=0.5, high=0.7, n=900),
    )


@pytest.fixture(scope="module")
def drawn(
    predictions: Predictions,
    evaluation: Evaluation,
    manifest: Manifest,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Plot]]:
    folder = tmp_path_factory.mktemp("report")
    return folder, plots.draw(predictions, evaluation, manifest, folder)


@pytest.fixture(scope="module")
def text(manifest: Manifest, evaluation: Evaluation, drawn: tuple[Path, dict[str, Plot]]) -> str:
    return card.write(manifest, evaluation, drawn[1], ["make evaluate MODEL=mobilenet"])


def told(figure: Figure | None) -> str:
    assert figure is not None
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def test_the_card_says_what_calibrates_the_probabilities(
    text: str, manifest: Manifest, evaluation: Evaluation
) -> None:
    alone = f"A temperature of {manifest.temperature:.3f} divides the logits; it was fitted"
    assert alone in text
    biases = dict.fromkeys(manifest.class_ids, 0.0) | {manifest.class_ids[0]: -0.25}
    biased = msgspec.structs.replace(manifest, logit_biases=biases)
    told = card.write(biased, evaluation, {}, ["again"])
    assert alone not in told
    assert (
        f"a bias is added for each class: {manifest.class_ids[0]} \N{MINUS SIGN}0.25 (the" in told
    )


def test_changes_that_cost_accuracy_are_named(text: str) -> None:
    section = text.split("## Any camera")[1].split("\n## ")[0]
    assert (
        "**Balanced accuracy is lower in these rows: blurred by 1 % and JPEG quality 30.** "
        f"Balanced accuracy was not shown to be lower in the others, and may be by up to "
        f"{-LIKE_THE_MIDDLE.low:.3f} (enlarged x2)."
    ) in section
    assert "**The AUC is lower in these rows: blurred by 1 %.**" in section
    assert "saved as JPEG of quality 92" in section
    row = next(line for line in section.splitlines() if line.startswith("| enlarged x2 "))
    assert "0.610 (0.550 to 0.660)" in row
    # Refused pictures are told where all that is refused is.
    assert "the same, blurred by 1 %" in text


def test_limits_on_what_a_change_may_cost_are_judged_row_by_row(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    assert "may lose" not in card.write(manifest, evaluation, {}, ["again"])
    gained = {
        "enlarged x2": (Figure(value=-1e-16, low=0.0, high=0.0, n=900), 0.0, "0.000 | yes"),
        "enlarged x4": (LIKE_THE_MIDDLE, 0.0, "0.000 | yes, not beyond doubt"),
        "JPEG quality 30": (BELOW, 0.03, "0.030 | **no**"),
        "JPEG quality 75": (
            Figure(value=-0.04, low=-0.06, high=-0.02, n=900),
            0.03,
            "0.030 | no, not beyond doubt",
        ),
        "brightness x0.8": (ABOVE, None, "- | -"),
    }
    tried = Cameras(
        settings=msgspec.structs.replace(
            CAMERAS,
            # What was not tried has no row.
            may_lose={
                **{name: limit for name, (_, limit, _) in gained.items() if limit is not None},
                "turned by 90 degrees": 0.0,
            },
        ),
        changes=[
            CameraFigures(
                name=name,
                refused=LIKE_THE_MIDDLE,
                balanced_accuracy=LIKE_THE_MIDDLE,
                balanced_accuracy_gained=figure,
            )
            for name, (figure, _, _) in gained.items()
        ],
    )
    text = card.write(manifest, msgspec.structs.replace(evaluation, cameras=tried), {}, ["again"])
    section = text.split("## Any camera")[1].split("\n## ")[0]
    for name, (_, _, said) in gained.items():
        row = next(line for line in section.splitlines() if line.startswith(f"| {name} "))
        assert f") | {said} | - |" in row
    assert (
        "set beforehand for 4 of these changes. By its value it keeps to that in 2 of them, in 1 "
        "beyond doubt, which means by the whole interval. **It loses more in these rows: JPEG "
        "quality 30.** By its value alone it loses more in these: JPEG quality 75."
    ) in section


def test_the_plots_are_small_pictures_with_something_on_them(
    drawn: tuple[Path, dict[str, Plot]],
) -> None:
    folder, by_name = drawn
    assert set(by_name) == {
        "confusion",
        "roc",
        "reliability",
        "confidence",
        "novelty",
        "operating_point",
        "sets",
        "heatmaps",
        "groups",
        "cameras",
    }
    for plot in by_name.values():
        path = folder / plot.file
        assert path.stat().st_size < 80_000
        with Image.open(path) as image:
            assert min(image.size) > 300
            assert len(image.convert("RGB").getcolors(100_000) or []) > 8


def test_a_plot_is_the_same_bytes_for_the_same_figures(
    predictions: Predictions,
    evaluation: Evaluation,
    manifest: Manifest,
    drawn: tuple[Path, dict[str, Plot]],
    tmp_path: Path,
) -> None:
    plots.draw(predictions, evaluation, manifest, tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (drawn[0] / path.name).read_bytes()


def test_the_card_says_what_was_measured(text: str, evaluation: Evaluation) -> None:
    malignant = evaluation.malignant
    assert malignant is not None
    assert f"balanced accuracy **{told(evaluation.balanced_accuracy)}**".lower() in text.lower()
    assert f"missed {malignant.missed} of {malignant.pictures} malignant" in text
    assert f"called {malignant.alarmed} suspicious" in text
    assert told(evaluation.calibration.error) in text
    assert told(evaluation.uncalibrated.error) in text
    for figures in evaluation.classes:
        row = next(line for line in text.splitlines() if f"`{figures.id}`" in line)
        assert f"| {figures.pictures} | {figures.lesions} |" in row
        assert told(figures.sensitivity) in row
        assert told(figures.auc) in row
    assert f"{evaluation.pictures} pictures of {evaluation.lesions} lesions" in text


def test_lesions_are_told_only_where_they_are_known(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    known = msgspec.structs.replace(evaluation, split_digest="0" * 64)
    text = card.write(manifest, known, {}, ["again"])
    assert "no lesion is in two parts" in text
    assert "two pictures of one lesion are not two cases" in text
    assert "or an AUC has fewer than 5 lesions on a side" in text
    unknown = msgspec.structs.replace(known, lesions=known.pictures)
    text = card.write(manifest, unknown, {}, ["again"])
    head, _, rest = text.partition("## What it is for")
    for part in (head, rest.split("## Results")[1]):
        assert f"{known.pictures} pictures, each counted as another lesion" in part
    assert "Which lesion a picture shows is not known: each counts as its own" in rest
    assert "on other pictures than the network learned from" in rest
    for claim in (f"of {known.pictures} lesions", "no lesion is in", "are not two cases"):
        assert claim not in text
    # A table of other pictures says nothing of the split.
    assert "no lesion is in" not in card.write(manifest, evaluation, {}, ["again"])


UNITS: tuple[Unit, ...] = ("lesion", "patient", "group")


@pytest.mark.parametrize(
    ("unit", "once", "shared"),
    [
        (
            "lesion",
            "Of 450 lesions some were photographed several times, the doubtful ones more often. "
            "With each lesion counting once, however many pictures show it:",
            "in which the pictures of a lesion share what is drawn).",
        ),
        (
            "patient",
            "Of 450 patients some have several pictures. With each patient counting once, however "
            "many these are:",
            "in which the pictures of a patient share what is drawn, if no patient has pictures of "
            "two classes).",
        ),
        (
            "group",
            "Of 450 groups some have several pictures. With each group counting once, however "
            "many these are:",
            "in which the pictures of a group share what is drawn, if no group has pictures of two "
            "classes).",
        ),
    ],
    ids=UNITS,
)
def test_the_card_calls_lesions_patients_and_groups_what_they_are(
    manifest: Manifest, evaluation: Evaluation, unit: Unit, once: str, shared: str
) -> None:
    (travel,) = evaluation.travel
    known = msgspec.structs.replace(
        evaluation,
        unit=unit,
        split_digest="0" * 64,
        travel=[msgspec.structs.replace(travel, lesions=100, unit=unit)],
    )
    recipe = RecipeFigures(name="plain", changed=[], hours=1.0, figures=[])
    tried = Comparison(
        split_digest="0" * 64, tilt=0.5, pictures=90, lesions=40, unit=unit, recipes=[recipe]
    )
    made = msgspec.structs.replace(manifest, quantisation=quantisation(passed=True))
    text = card.write(made, known, {}, ["again"], tried)
    for said in (
        f"Measured on the drawn set (900 pictures of 450 {unit}s):",
        f"Measured on **the drawn set**: 900 pictures of 450 {unit}s, run from their files",
        f"The split goes by {unit}: no {unit} is in two parts. The test part",
        f"turned\nand mirrored; the intervals are drawn over {unit}s.\n",
        f"drawn 200 times over {unit}s, because two pictures of one {unit} are not two cases.",
        f"or an AUC has fewer than 5 {unit}s on a side",
        f"| class | pictures | {unit}s | sensitivity | specificity | AUC |",
        f"the other thresholds: on other {unit}s than the network learned from",
        f"its 95 % interval is over the same {unit}s drawn again, and wide enough to hold for all",
        f"200 pictures of 100 {unit}s: akiec",
        f"on the validation split (90 pictures of 40 {unit}s), not on the test split.",
        f"\n\n{once}\n\n",
        shared,
    ):
        assert said in text
    others = "|".join({*UNITS} - {unit})
    counts = rf"pictures of \d+ ({others})s|\| ({others})s"
    words = rf"(over|same|by|each|other) ({others})|({others})s? is in"
    assert not re.search(f"{counts}|{words}", text)


def test_patients_with_one_picture_each_are_known(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    single = msgspec.structs.replace(
        evaluation, unit="patient", split_digest="0" * 64, lesions=900, per_lesion=None
    )
    text = card.write(manifest, single, {}, ["again"])
    assert "900 pictures of 900 patients" in text
    assert "The split goes by patient: no patient is in two parts." in text
    assert "is not known" not in text.split("## For whom")[0]


@pytest.mark.parametrize(
    ("told", "said", "drawn_over"),
    [
        ({}, "by lesion, where the data tell which one a picture shows.", "lesions"),
        ({splits.KEY: "lesion"}, "by lesion, where the data tell which one", "lesions"),
        ({splits.KEY: "patient"}, "by patient: no patient is in two parts.", "patients"),
        ({splits.KEY: ["luck"]}, "by lesion, where the data tell which one", "lesions"),
    ],
)
def test_over_another_table_the_manifest_tells_what_the_split_went_by(
    manifest: Manifest, evaluation: Evaluation, told: dict[str, object], said: str, drawn_over: str
) -> None:
    training = msgspec.structs.replace(manifest.training, config=told)
    made = msgspec.structs.replace(
        manifest, training=training, quantisation=quantisation(passed=True)
    )
    table = msgspec.structs.replace(evaluation, unit="group")
    text = card.write(made, table, {}, ["again"])
    assert f"The split goes {said}" in text
    assert f"the intervals are drawn over {drawn_over}." in text
    assert "900 pictures of 450 groups" in text
    assert splits.KEY not in text


def test_a_calibration_error_is_said_to_be_chance_or_more(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    figures = evaluation.calibration
    assert figures.error is not None
    for limit, said in (
        (figures.error.value + 0.01, "no higher than chance explains"),
        (figures.error.value - 0.001, "more than chance explains"),
    ):
        judged = msgspec.structs.replace(
            evaluation,
            calibration=msgspec.structs.replace(figures, error_by_chance=limit),
        )
        text = card.write(manifest, judged, {}, ["again"])
        assert (
            f"The error of the likeliest class, {figures.error.value:.4f}, is **{said}** "
            f"({limit:.4f})."
        ) in text


def test_melanomas_are_counted_and_the_thresholds_split_is_named(
    text: str, evaluation: Evaluation
) -> None:
    assert evaluation.malignant is not None
    melanoma = next(each for each in evaluation.malignant.diagnoses if each.id == "mel")
    first, _, _ = text.partition("## What it is for")
    assert f"of these {melanoma.missed} of {melanoma.pictures} melanomas" in first
    assert f"Of {melanoma.pictures} pictures of melanoma it **missed {melanoma.missed}**" in text
    assert "fitted on the calibration split" in text


def test_only_of_a_test_split_the_card_says_that_its_lesions_are_others(
    text: str, manifest: Manifest, evaluation: Evaluation
) -> None:
    fitted = "fitted on the calibration split, like the calibration, the offsets, the prediction "
    assert f"{fitted}sets and the other thresholds. There" in text
    assert evaluation.split_digest is None
    split = msgspec.structs.replace(evaluation, split_digest="0" * 64)
    said = "the other thresholds: on other lesions than the network learned from or are counted"
    assert said in card.write(manifest, split, {}, ["again"])


def test_a_promise_that_the_sets_do_not_keep_is_said(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    for low, high, said in (
        (0.85, 0.95, "as promised"),
        (0.95, 0.99, "more often than promised"),
        (0.8, 0.89, "**less often than promised**"),
    ):
        coverage = Figure(value=(low + high) / 2, low=low, high=high, n=900)
        changed = msgspec.structs.replace(
            evaluation, conformal=msgspec.structs.replace(evaluation.conformal, coverage=coverage)
        )
        text = card.write(manifest, changed, {}, ["again"])
        assert f"{told(coverage)} of 900, {said}" in text


def test_who_is_worse_off_stands_in_the_first_lines(text: str, evaluation: Evaluation) -> None:
    assert evaluation.groups is not None
    female = evaluation.groups.groups[0]
    assert female.specificity is not None
    first, _, _ = text.partition("## What it is for")
    assert (
        f"- sex, female: specificity of the verdict {told(female.specificity.own)} of "
        f"{female.specificity.own.n} pictures, against {told(female.specificity.others)}"
    ) in first
    assert "male: specificity" not in first.replace("female", "")
    row = next(line for line in text.splitlines() if line.startswith("| female | "))
    assert f"{told(female.specificity.own)}, {female.specificity.own.n}, **worse**" in row


def test_where_nobody_is_worse_off_the_first_lines_are_silent(
    manifest: Manifest, predictions: Predictions, evaluation: Evaluation
) -> None:
    female = np.random.default_rng(1).random(900) < 0.5
    fair = msgspec.structs.replace(
        calibrated_predictions(900),
        backgrounds=[Background(sex="female" if each else "male") for each in female],
    )
    measured = groups.measure(
        fair, GroupSettings(age_bands=[50], least_of_class=10), Bootstrap(fair.groups, 200)
    )
    text = card.write(manifest, msgspec.structs.replace(evaluation, groups=measured), {}, ["again"])
    assert "Clearly worse" not in text
    assert "No group stands out." in text
    unknown = msgspec.structs.replace(evaluation, groups=None)
    assert "nothing can be said about sex" in card.write(manifest, unknown, {}, ["again"])


@pytest.mark.parametrize(
    ("inside", "drop", "said", "warned"),
    [
        (
            ABOVE,
            ABOVE,
            "is better than a guess at the middle, by what the model loses it is better",
            0,
        ),
        (
            BELOW,
            ABOVE,
            "is worse than a guess at the middle, by what the model loses it is better",
            1,
        ),
        (LIKE_THE_MIDDLE, BELOW, "is no better than a guess at the middle, by what", 1),
        (
            None,
            ABOVE,
            "by what the model loses, the heatmap is better than a guess at the middle.",
            0,
        ),
    ],
)
def test_the_card_says_whether_the_heatmaps_beat_a_guess(
    manifest: Manifest,
    evaluation: Evaluation,
    inside: Figure | None,
    drop: Figure,
    said: str,
    warned: int,
) -> None:
    changed = msgspec.structs.replace(evaluation, heatmaps=looked(inside, drop))
    text = card.write(manifest, changed, {}, ["again"])
    assert said in text
    assert text.count("Do not take it for where the lesion is.") == warned


@pytest.mark.parametrize(
    ("blank", "said"),
    [
        (0, None),
        (3, "3 of 900 maps (less than 1 %) have no evidence at all:"),
        (450, "**450 of 900 maps (50 %) have no evidence at all**:"),
    ],
)
def test_maps_without_evidence_are_told_in_bold_where_they_are_many(
    manifest: Manifest, evaluation: Evaluation, blank: int, said: str | None
) -> None:
    figures = msgspec.structs.replace(looked(BELOW, LIKE_THE_MIDDLE), blank=blank)
    text = card.write(manifest, msgspec.structs.replace(evaluation, heatmaps=figures), {}, [""])
    if said is None:
        assert "no evidence at all" not in text
    else:
        assert f"\n{said}" in text


def test_other_clinics_have_a_table_beside_the_test_split(
    text: str, manifest: Manifest, evaluation: Evaluation
) -> None:
    (travel,) = evaluation.travel
    assert "Drawn with other pens." in text
    rows = [line for line in text.splitlines() if line.startswith("| AUC, melanoma against")]
    figure = travel.figures[0]
    assert len(rows) == 1
    assert f"{told(figure.away)}, 200" in rows[0]
    assert figure.at_home is not None
    assert f"{told(figure.at_home)}, {figure.at_home.n}" in rows[0]
    assert "learned from" not in text.partition("## On pictures of other clinics")[2]
    alone = card.write(manifest, msgspec.structs.replace(evaluation, travel=[]), {}, ["again"])
    assert "## On pictures of other clinics" not in alone


def test_the_card_says_where_the_model_comes_from(text: str, manifest: Manifest) -> None:
    for said in (
        manifest.digest,
        manifest.training.split_digest,
        manifest.training.commit,
        manifest.training.datasets[0].licence,
        "never for diagnosis",
        "make evaluate MODEL=mobilenet",
    ):
        assert said in text


def test_the_card_says_what_trained_it_and_for_how_long(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    config = {"hardware": "a drawn card", "seconds": 7500.0, "best_score": 0.8125}
    config |= {"scored_by": "val/auroc", "epochs": 30, "checkpoints": ["best"]}
    training = msgspec.structs.replace(manifest.training, config=config)
    told_of = msgspec.structs.replace(manifest, training=training)
    text = card.write(told_of, evaluation, {}, ["again"])
    for row in (
        "Trained on | a drawn card",
        "Time of training | 2 h 5 min",
        "Best val/auroc | 0.812",
    ):
        assert row in text
    assert "epochs: 30" in text
    halved = msgspec.structs.replace(training, config={**config, "start_share": 0.5})
    of_another = msgspec.structs.replace(manifest, training=halved)
    assert "Best val/auroc" not in card.write(of_another, evaluation, {}, ["again"])


def test_the_card_says_whom_the_model_learned_from(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    def told(config: dict[str, object]) -> str:
        training = msgspec.structs.replace(manifest.training, config={"seconds": 60.0, **config})
        told_of = msgspec.structs.replace(manifest, training=training)
        return card.write(told_of, evaluation, {}, ["again"])

    taught: dict[str, object] = {"model": {"teacher": {"networks": "drawn, seven", "share": 0.7}}}
    text = told(taught)
    assert "Learned from | drawn, seven, beside the labels" in text
    assert "Time of training | 1 min, without that of what it learned from |" in text
    text = told({**taught, "gone_on_from_artifact": "drawn"})
    assert "1 min, without that of the model it went on from and of what it learned from |" in text
    assert "Learned from |" not in told({"model": {"teacher": None}})


def test_the_time_of_training_is_that_of_all_runs_that_went_in(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    def told(config: dict[str, object]) -> str:
        training = msgspec.structs.replace(manifest.training, config=config)
        told_of = msgspec.structs.replace(manifest, training=training)
        return card.write(told_of, evaluation, {}, ["again"])

    first: dict[str, object] = {"commit": "a", "seconds": 600.0}
    second = [
        {"commit": name, "seconds": 1200.0, "gone_on_from": [{**first, "checkpoints": [name]}]}
        for name in ("best", "last")
    ]
    text = told({"commit": "d", "seconds": 60.0, "gone_on_from": second})
    assert "Went on from | the mean of 2 earlier runs |" in text
    assert "Time of training | 51 min |" in text
    start = {**first, "gone_on_from_artifact": "drawn", "model": {"teacher": {"networks": "one"}}}
    text = told({"commit": "d", "seconds": 60.0, "gone_on_from": [start]})
    assert "Went on from | an earlier run |" in text
    assert "11 min, without that of the model it went on from and of what it learned from |" in text


def test_classes_with_few_pictures_are_marked(text: str, evaluation: Evaluation) -> None:
    few = [c for c in evaluation.classes if c.pictures < 30]
    many = [c for c in evaluation.classes if c.pictures >= 30]
    assert few
    assert many
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for figures in few:
        assert all("†" in row for row in rows if f"`{figures.id}`" in row)
    for figures in many:
        assert not any("†" in row for row in rows if f"`{figures.id}`" in row)


def test_every_section_with_a_mark_says_what_it_means(text: str) -> None:
    for section in text.split("\n## "):
        assert section.count("† Fewer") + section.count("† Over fewer") == ("†" in section)


def test_every_picture_of_the_card_is_there_and_described(
    text: str, drawn: tuple[Path, dict[str, Plot]]
) -> None:
    shown = re.findall(r"!\[(.+?)\]\((.+?)\)", text)
    assert sorted(file for _, file in shown) == sorted(p.name for p in drawn[0].glob("*.png"))
    assert all(alt for alt, _ in shown)


def test_the_card_tells_who_is_on_the_pictures_of_a_known_set(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    ham = Dataset(name="HAM10000", licence="CC BY-NC 4.0", source="published", pictures=10015)
    training = msgspec.structs.replace(manifest.training, datasets=[ham])
    known = msgspec.structs.replace(manifest, training=training)
    assert "light-skinned" in card.write(known, evaluation, {}, ["again"])
    assert "light-skinned" not in card.write(manifest, evaluation, {}, ["again"])


def test_the_card_tells_the_size_of_the_pictures(
    text: str, manifest: Manifest, evaluation: Evaluation
) -> None:
    assert " pixels." not in text.split("## Limits")[1]
    small = PictureSize(width=200, height=150, share=1.0)
    sized = msgspec.structs.replace(evaluation, picture_size=small)
    limit = "was measured on pictures of 200 x 150 pixels"
    told = card.write(manifest, sized, {}, ["again"])
    assert "The pictures' size in pixels is 200 x 150." in told
    assert f"- It {limit}. Pictures with finer detail" in told
    sets = [
        Dataset(name=name, licence="none", source="published", pictures=9)
        for name in ("HAM10000", "more", "others")
    ]
    sizes = {
        "HAM10000": {"width": 600, "height": 450, "share": 1.0},
        "more": {"width": 320, "height": 240, "share": 0.25},
    }
    training = msgspec.structs.replace(
        manifest.training, datasets=sets, config={"picture_sizes": sizes}
    )
    known = msgspec.structs.replace(manifest, training=training)
    split = msgspec.structs.replace(sized, split_digest="0" * 64)
    told = card.write(known, split, {}, ["again"])
    assert "| data set | pictures | pixels | licence | source |" in told
    assert "| HAM10000 | 9 | 600 x 450 | none |" in told
    assert "| more | 9 | 320 x 240 (25 % of them) | none |" in told
    assert "| others | 9 | - | none |" in told
    assert (
        f"- It learned from pictures of 600 x 450 and 320 x 240 (25 % of them) pixels, and {limit}"
        ": smaller copies of HAM10000's, which are published with 600 x 450. Pictures with"
    ) in told
    # Neither another's pictures nor those as published are copies of them.
    assert "smaller copies" not in card.write(known, sized, {}, ["again"])
    full = PictureSize(width=600, height=450, share=1.0)
    as_published = msgspec.structs.replace(split, picture_size=full)
    assert "smaller copies" not in card.write(known, as_published, {}, ["again"])
    anyones = msgspec.structs.replace(training, config={"picture_sizes": "many"})
    odd = msgspec.structs.replace(manifest, training=anyones)
    assert "| data set | pictures | licence | source |" in card.write(odd, split, {}, ["again"])


@pytest.mark.parametrize("malignant", [True, False])
def test_a_model_of_two_classes_and_one_without_malignant_ones_have_a_card(
    tmp_path: Path, malignant: bool
) -> None:
    classes = TWO if malignant else [msgspec.structs.replace(c, malignant=False) for c in SEVEN]
    manifest = make_artifact(tmp_path / "model", classes=classes)
    predictions = calibrated_predictions(300, classes=classes)
    if not malignant:
        predictions = msgspec.structs.replace(
            predictions, malignant_probability=None, suspicious=None
        )
    evaluation = evaluate(predictions, manifest, "drawn", resamples=200)
    drawn = plots.draw(predictions, evaluation, manifest, tmp_path)
    text = card.write(manifest, evaluation, drawn, ["again"])
    assert ("## The verdict" in text) == malignant
    assert "None" not in text
    assert not re.search(r"\bnan\b", text)
    assert ("malignant against benign" in text) == malignant


def quantisation(passed: bool) -> Quantisation:
    """Made-up figures of the gate; where it is not passed, the heatmaps are to blame."""
    return Quantisation(
        passed=passed,
        figures=[
            GateFigure(
                name="balanced_accuracy",
                value=-0.002,
                low=-0.008,
                high=0.004,
                n=991,
                limit=-0.01,
                passed=True,
            ),
            GateFigure(
                name="heatmap",
                value=0.9912,
                low=0.9904,
                high=0.9921,
                n=913,
                limit=0.99 if passed else 0.995,
                passed=passed,
            ),
            GateFigure(
                name="agreement",
                value=0.987,
                low=0.981,
                high=0.992,
                n=991,
                limit=None,
                passed=True,
            ),
        ],
        views=8,
        float_bytes=8_947_000,
        integer_bytes=2_671_000,
        settings={},
    )


@pytest.mark.parametrize("passed", [True, False])
def test_the_card_tells_what_the_graph_computes_in_and_how_that_was_decided(
    manifest: Manifest, evaluation: Evaluation, passed: bool
) -> None:
    told_of = msgspec.structs.replace(manifest, quantisation=quantisation(passed))
    text = card.write(told_of, evaluation, {}, ["again"])
    assert ("The graph computes in 8-bit integers" in text) == passed
    assert ("The graph computes in 32-bit floats" in text) != passed
    assert ("did not pass" in text) != passed
    assert ("missed**" in text) != passed
    assert "2.7 MB instead of 8.9 MB" in text
    minus = "\N{MINUS SIGN}"
    assert f"{minus}0.002 ({minus}0.008 to +0.004) | interval from {minus}0.01 on | 991 |" in text
    assert "0.9912 (0.9904 to 0.9921)" in text


@pytest.mark.parametrize("passed", [True, False])
def test_the_card_tells_weights_of_8_bits_from_computing_in_them(
    manifest: Manifest, evaluation: Evaluation, passed: bool
) -> None:
    made = msgspec.structs.replace(quantisation(passed), settings={"activations": False})
    told_of = msgspec.structs.replace(manifest, quantisation=made)
    text = card.write(told_of, evaluation, {}, ["again"])
    assert ("computes in 32-bit floats, with weights of 8 bits" in text) == passed
    assert ("One with weights of 8 bits (2.7 MB instead of 8.9 MB) was made" in text) != passed
    assert "computes in 8-bit integers" not in text


def test_the_card_of_a_float_graph_says_so(text: str) -> None:
    assert "The graph computes in 32-bit floats." in text
    assert "8-bit" not in text


def test_what_is_refused_stands_beside_what_should_not_be(
    text: str, manifest: Manifest, evaluation: Evaluation
) -> None:
    section = text.split("## What is no lesion")[1].split("\n## ")[0]
    assert "| drawn: plain skin | 0.970 | 0.930 to 0.990 | 150 |" in section
    assert "| photographs of other things | 0.880 | 0.810 to 0.940 | 70 |" in section
    assert "| the same, enlarged x2 | 0.060 | 0.040 to 0.080 | 900 |" in section
    refused = evaluation.refused
    assert refused is not None
    assert f"| the drawn set | {refused.value:.3f} |" in section
    assert "| elsewhere | " in section
    assert evaluation.refusals is not None
    without = msgspec.structs.replace(evaluation.refusals, photographs=None)
    told = msgspec.structs.replace(evaluation, refusals=without)
    assert "none was tried" in card.write(manifest, told, {}, ["again"])
    untold = msgspec.structs.replace(evaluation, refusals=None)
    assert "What is no lesion" not in card.write(manifest, untold, {}, ["again"])
