from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving.inference import Asked, Inference, Upload
from serving.pictures import PictureError
from serving.prediction import Prediction
from serving.settings import Settings
from serving.stages import Stages
from tests.drawings import draw_lesion, encode

PICTURES = [encode(draw_lesion(seed)) for seed in range(2)]


@pytest.fixture
def inference(settings: Settings) -> Iterator[Inference]:
    inference = Inference(settings)
    yield inference
    inference.close()


def asked(inference: Inference, *files: bytes) -> list[Asked]:
    model = inference.model()
    return [Asked(model, Upload("a.jpg", data), heatmaps=True, stages=Stages()) for data in files]


def test_a_picture_is_answered_alike_alone_and_with_another(inference: Inference) -> None:
    together = inference.answer_each(asked(inference, *PICTURES))
    for data, found in zip(PICTURES, together, strict=True):
        assert isinstance(found, Prediction)
        alone = inference.answer(inference.model(), Upload("a.jpg", data), heatmaps=True)
        assert found.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
        assert (found.prediction, found.heatmaps) == (alone.prediction, alone.heatmaps)


def test_one_that_is_no_picture_leaves_the_other_its_answer(inference: Inference) -> None:
    bad, good = inference.answer_each(asked(inference, b"words", PICTURES[0]))
    assert isinstance(bad, PictureError)
    assert isinstance(good, Prediction)
    [bad] = inference.answer_each(asked(inference, b"words"))
    assert isinstance(bad, PictureError)


def test_pictures_that_go_together_are_timed_so(inference: Inference) -> None:
    pair = asked(inference, *PICTURES)
    inference.answer_each(pair)
    for each in pair:
        assert [stage.name for stage in each.stages.done] == ["wait", "decode", "infer", "render"]
        assert each.stages.together == 2


def test_a_refused_picture_is_timed_as_far_as_it_went(inference: Inference) -> None:
    bad, good = asked(inference, b"words", PICTURES[0])
    inference.answer_each([bad, good])
    assert [stage.name for stage in bad.stages.done] == ["wait", "decode"]
    assert [stage.name for stage in good.stages.done] == ["wait", "decode", "infer", "render"]
    assert good.stages.together == 1
