"""A graph describes pictures as its network does, and takes another novelty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch

from serving.manifest import Preprocessing
from serving.pictures import prepare
from tests.drawings import draw_lesion, encode
from tests.training.drawn_networks import NOVELTY, drawn, export, run
from training.graph import ExportError, ServedGraph
from training.inputs import as_input
from training.labels import DataError, LabelledPicture
from training.novelty import fit, shown
from training.watched import WatchedGraph, put_novelty


@pytest.fixture(scope="module", params=["mobilenet", "cnn"])
def exported(request: pytest.FixtureRequest) -> tuple[ServedGraph, onnx.ModelProto]:
    return export(request.param)


def test_it_describes_pictures_as_the_network_does(
    exported: tuple[ServedGraph, onnx.ModelProto],
) -> None:
    graph, model = exported
    pictures = as_input(torch.from_numpy(drawn(3)))
    watched = WatchedGraph(model)
    found = watched.describe(watched.feature_maps(pictures))
    with torch.no_grad():
        wanted = graph.network.describe(graph.network.feature_maps(pictures))
    for mine, its in zip([*found.layers, found.skin], [*wanted.layers, wanted.skin], strict=True):
        torch.testing.assert_close(mine, its, atol=1e-3, rtol=1e-3)


def test_another_novelty_can_be_put_in_its_place(
    exported: tuple[ServedGraph, onnx.ModelProto],
) -> None:
    _, model = exported
    watched = WatchedGraph(model)
    batches = [torch.from_numpy(drawn(20)[4:])]
    other = fit(watched, batches, msgspec.structs.replace(NOVELTY, shrinkage=0.9))
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    put_novelty(changed, other)
    image = drawn(5)
    wanted = other(watched.describe(watched.feature_maps(as_input(torch.from_numpy(image)))))
    found, before = run(changed, image, ["novelty"])[0], run(model, image, ["novelty"])[0]
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-3, atol=1e-3)
    assert np.abs(found - before).max() > 0.01


def test_a_graph_of_another_kind_is_refused(
    exported: tuple[ServedGraph, onnx.ModelProto],
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(exported[1])
    with pytest.raises(ExportError, match="no novelty"):
        WatchedGraph(onnx.ModelProto())
    other = fit(WatchedGraph(model), [torch.from_numpy(drawn(16))], NOVELTY)
    narrower = msgspec.structs.replace(NOVELTY, components=3)
    put_novelty(model, other)
    with pytest.raises(ExportError, match=r"novelty\.layers\.0\.directions"):
        put_novelty(model, fit(WatchedGraph(model), [torch.from_numpy(drawn(16))], narrower))


def drawn_files(folder: Path, sources: Iterable[str]) -> list[LabelledPicture]:
    """A picture of each of these sets, drawn otherwise."""
    listed = []
    for seed, source in enumerate(sources):
        path = folder / f"{seed}.png"
        path.write_bytes(encode(draw_lesion(seed, 80, 60), "PNG"))
        listed.append(LabelledPicture(path, str(seed), "nv", str(seed), source))
    return listed


def test_sets_are_shown_alike_as_far_as_they_have_pictures(tmp_path: Path) -> None:
    listed = drawn_files(tmp_path, ["large"] * 8 + ["middle"] * 3 + ["small"])
    square = Preprocessing(fit="crop", size=64)
    pixels = [prepare(each.path.read_bytes(), square).pixels for each in listed]

    def sources(pictures: int, seed: int) -> Counter[str]:
        settings = msgspec.structs.replace(NOVELTY, pictures=pictures, copies=0)
        found = torch.cat(list(shown(listed, square, settings, seed))).numpy()
        places = [next(i for i, p in enumerate(pixels) if (p == each).all()) for each in found]
        assert len(set(places)) == len(places)
        return Counter(listed[place].source for place in places)

    assert sources(3, seed=0) == {"large": 1, "middle": 1, "small": 1}
    assert sources(7, seed=1) == {"large": 3, "middle": 3, "small": 1}
    assert sources(100, seed=2) == {"large": 8, "middle": 3, "small": 1}


def test_some_pictures_are_shown_once_more_as_they_might_have_been_sent(tmp_path: Path) -> None:
    files = drawn_files(tmp_path, ["one"] * 6)
    settings = msgspec.structs.replace(NOVELTY, pictures=5, copies=3, qualities=(5, 6))
    found = torch.cat(list(shown(files, Preprocessing(fit="crop", size=64), settings, 0))).float()
    assert found.shape == (8, 64, 64, 3)
    for again, first in zip(found[5:], found[:3], strict=True):
        # The same picture, and not the same pixels.
        assert 1 < (again - first).abs().mean() < 60
        assert np.corrcoef(again.ravel(), first.ravel())[0, 1] > 0.9
    darker = msgspec.structs.replace(settings, qualities=(95, 95), lights=(0.5, 0.5))
    found = torch.cat(list(shown(files, Preprocessing(fit="crop", size=64), darker, 0))).float()
    assert float(found[5:].mean()) == pytest.approx(float(found[:3].mean()) / 2, rel=0.02)
    files[0].path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"0\.png: cannot be read"):
        list(shown(files, Preprocessing(fit="crop", size=64), settings, 0))
