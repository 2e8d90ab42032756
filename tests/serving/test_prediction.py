from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from serving.classifier import Classifier, Outputs
from serving.manifest import Manifest
from serving.pictures import prepare
from serving.prediction import (
    Prediction,
    decide,
    infer,
    malignant_probability,
    predict,
    prediction_set,
    read,
    verdict,
)
from serving.quality import measure
from tests.artifact_factory import SEVEN, SUSPICIOUS_FROM, class_info, make_artifact
from tests.drawings import (
    HARMLESS_REDNESS,
    SUSPICIOUS_REDNESS,
    draw_flat,
    draw_lesion,
    encode,
)

SPREAD = {"akiec": 0.05, "bcc": 0.05, "bkl": 0.05, "df": 0.01, "mel": 0.3, "nv": 0.53, "vasc": 0.01}
"""probabilities of a picture that may be several things"""

SURE = dict.fromkeys(SPREAD, 0.0) | {"bkl": 0.1, "df": 0.9}
"""and of one that is hardly anything else"""


@pytest.fixture(scope="module")
def manifest(mobilenet: Classifier) -> Manifest:
    return mobilenet.manifest


def answer(model: Classifier, picture: Image.Image, **options: Any) -> Prediction:
    prepared = prepare(encode(picture), model.manifest.preprocessing)
    return predict(model, ["picture.jpg"], [prepared], **options)[0]


def test_without_offsets_the_likeliest_class_is_predicted(manifest: Manifest) -> None:
    assert [decide(each, manifest) for each in (SPREAD, SURE)] == ["nv", "df"]


def test_an_offset_gives_a_rare_class_its_due(manifest: Manifest) -> None:
    offsets = dict.fromkeys(manifest.class_ids, 1.0) | {"mel": 2.0}
    favoured = msgspec.structs.replace(manifest, decision_offsets=offsets)
    assert [decide(each, favoured) for each in (SPREAD, SURE)] == ["mel", "df"]


def test_malignant_classes_are_summed(manifest: Manifest) -> None:
    assert malignant_probability(SPREAD, manifest) == pytest.approx(0.4)
    assert malignant_probability(SURE, manifest) == 0


def test_rounding_never_takes_the_sum_beyond_one(manifest: Manifest) -> None:
    certain = SURE | {"akiec": 0.4000001, "bcc": 0.3000001, "mel": 0.3000001}
    assert malignant_probability(certain, manifest) == 1


def test_a_set_holds_the_classes_within_their_quantiles(manifest: Manifest) -> None:
    quantiles = dict.fromkeys(manifest.class_ids, 0.6) | {"mel": 0.75}
    conformal = msgspec.structs.replace(manifest.conformal, quantiles=quantiles)
    narrow = msgspec.structs.replace(manifest, conformal=conformal)
    assert prediction_set(SPREAD, narrow) == ["nv", "mel"]
    assert prediction_set(SURE, narrow) == ["df"]


def test_a_class_at_its_quantile_as_it_was_found_in_32_bits_is_in_the_set(
    manifest: Manifest,
) -> None:
    chances = np.array([0.7, 0.1, 0.013, 0.04, 0.09, 0.03, 0.027], np.float32)
    quantiles = dict(zip(manifest.class_ids, (1 - chances).tolist(), strict=True))
    conformal = msgspec.structs.replace(manifest.conformal, quantiles=quantiles)
    exact = msgspec.structs.replace(manifest, conformal=conformal)
    probabilities = dict(zip(manifest.class_ids, chances.tolist(), strict=True))
    assert any(1 - each > quantiles[id] for id, each in probabilities.items())
    assert set(prediction_set(probabilities, exact)) == set(manifest.class_ids)


def test_a_set_is_never_empty(manifest: Manifest) -> None:
    quantiles = dict.fromkeys(manifest.class_ids, 0.0)
    conformal = msgspec.structs.replace(manifest.conformal, quantiles=quantiles)
    narrowest = msgspec.structs.replace(manifest, conformal=conformal)
    assert [prediction_set(each, narrowest) for each in (SPREAD, SURE)] == [["nv"], ["df"]]


def test_the_threshold_itself_is_suspicious(manifest: Manifest) -> None:
    assert verdict(SUSPICIOUS_FROM, manifest) == "suspicious"
    assert verdict(np.nextafter(SUSPICIOUS_FROM, 0), manifest) == "not_suspicious"


def test_of_several_operating_points_the_first_decides(manifest: Manifest) -> None:
    (point,) = manifest.operating_points
    other = msgspec.structs.replace(point, threshold=0.9)
    both = msgspec.structs.replace(manifest, operating_points=[point, other])
    assert verdict(0.5, both) == "suspicious"


def test_each_kind_of_picture_gets_its_kind_of_answer(mobilenet: Classifier) -> None:
    harmless = answer(mobilenet, draw_lesion(1, redness=HARMLESS_REDNESS))
    suspicious = answer(mobilenet, draw_lesion(1, redness=SUSPICIOUS_REDNESS))
    flat = answer(mobilenet, draw_flat())
    assert (harmless.prediction, harmless.verdict, harmless.refused) == (
        "nv",
        "not_suspicious",
        False,
    )
    assert (suspicious.prediction, suspicious.verdict, suspicious.refused) == (
        "mel",
        "suspicious",
        False,
    )
    assert flat.refused
    assert flat.warnings == ["blurred", "small_lesion"]


def test_a_set_is_listed_by_falling_probability(mobilenet: Classifier) -> None:
    suspicious = answer(mobilenet, draw_lesion(2, redness=SUSPICIOUS_REDNESS))
    chances = [suspicious.probabilities[id] for id in suspicious.prediction_set]
    assert len(chances) > 1
    assert chances == sorted(chances, reverse=True)
    assert sum(suspicious.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_a_model_without_a_malignant_class_gives_no_verdict(tmp_path: Path) -> None:
    kinds = [class_info("dog", "Dog", False), class_info("cat", "Cat", False)]
    make_artifact(tmp_path, classes=kinds, operating_points=[])
    harmless = answer(Classifier(tmp_path), draw_lesion(1))
    assert harmless.malignant_probability is None
    assert harmless.verdict is None


class BrokenClassifier(Classifier):
    """A model whose novelty and heatmaps are no numbers."""

    def run(self, pixels: Any) -> Outputs:
        outputs = super().run(pixels)
        nothing = np.full_like(outputs.heatmap, np.nan)
        return Outputs(outputs.probability, nothing, np.full_like(outputs.novelty, np.nan))


def test_a_novelty_that_is_no_number_refuses(artifacts: Path) -> None:
    broken = answer(BrokenClassifier(artifacts / "mobilenet"), draw_lesion(1), heatmaps=True)
    assert broken.refused


def test_a_novelty_at_the_threshold_is_no_stranger(mobilenet: Classifier) -> None:
    manifest = mobilenet.manifest
    prepared = prepare(encode(draw_lesion(1)), manifest.preprocessing)
    outputs = infer(mobilenet, [prepared])
    measures = [measure(prepared)]
    at = float(outputs.novelty[0])
    for threshold, refused in ((at, False), (np.nextafter(at, -1), True)):
        strict = msgspec.structs.replace(manifest, novelty_threshold=threshold)
        (found,) = read(strict, ["a"], [prepared], measures, outputs)
        assert (found.novelty, found.refused) == (at, refused)


def test_a_heatmap_has_the_nearest_of_256_greys(mobilenet: Classifier) -> None:
    prepared = prepare(encode(draw_lesion(1)), mobilenet.manifest.preprocessing)
    levels = [-0.5, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1.5, np.nan]
    outputs = infer(mobilenet, [prepared])
    drawn = np.full_like(outputs.heatmap[:, :, :1, :6], np.array(levels, np.float32))
    outputs = Outputs(outputs.probability, drawn, outputs.novelty)
    measures = [measure(prepared)]
    (found,) = read(mobilenet.manifest, ["a"], [prepared], measures, outputs, heatmaps=True)
    assert isinstance(found.heatmaps, dict)
    for uri in found.heatmaps.values():
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            assert list(image.tobytes()) == [0, 0, 1, 255, 255, 0]


def test_heatmaps_come_only_when_asked_for(mobilenet: Classifier) -> None:
    assert "heatmaps" not in msgspec.to_builtins(answer(mobilenet, draw_lesion(1)))


def test_heatmaps_are_grey_pngs_of_the_graphs_maps(mobilenet: Classifier) -> None:
    prepared = prepare(encode(draw_lesion(1)), mobilenet.manifest.preprocessing)
    prediction = predict(mobilenet, ["a"], [prepared], heatmaps=True)[0]
    maps = mobilenet.run(prepared.pixels[None]).heatmap[0]
    assert isinstance(prediction.heatmaps, dict)
    assert list(prediction.heatmaps) == [c.id for c in SEVEN]
    for (_, uri), expected in zip(prediction.heatmaps.items(), maps, strict=True):
        head, _, data = uri.partition(",")
        assert head == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.mode == "L"
            np.testing.assert_allclose(np.asarray(image) / 255, expected, atol=1 / 255)


def test_a_batch_is_answered_in_its_order(mobilenet: Classifier) -> None:
    pictures = [draw_lesion(i, redness=SUSPICIOUS_REDNESS if i % 2 else 0) for i in range(4)]
    prepared = [prepare(encode(p), mobilenet.manifest.preprocessing) for p in pictures]
    answers = predict(mobilenet, list("abcd"), prepared)
    assert [a.image for a in answers] == list("abcd")
    assert [a.prediction for a in answers] == ["nv", "mel", "nv", "mel"]


def test_of_a_batch_each_has_its_own_size_and_warnings(mobilenet: Classifier) -> None:
    pictures = [draw_lesion(1, 600, 450), draw_flat(500, 700)]
    prepared = [prepare(encode(p), mobilenet.manifest.preprocessing) for p in pictures]
    good, flat = predict(mobilenet, ["a", "b"], prepared)
    assert (good.width, good.height, good.warnings) == (600, 450, [])
    assert (flat.width, flat.height, flat.warnings) == (500, 700, ["blurred", "small_lesion"])
    assert (good.model, good.view) == ("mobilenet", prepared[0].view)
