from __future__ import annotations

import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from serving import manifest
from serving.app import create_app
from serving.classifier import Classifier
from serving.diagnoses import DIAGNOSES
from serving.reports import card, measured
from serving.settings import Settings
from tests.artifact_factory import SEVEN, add_report, class_info, make_artifact

Client = TestClient[Any]

CARD = """# Seven (`seven`)

Good on **most**. See [limits](#limits-and-all), [figures](metrics.json).
[Elsewhere](../model.json).

<details><summary>The <configuration></summary>

- hidden

</details>

## Limits and all

| class | value |
| --- | --- |
| mel | 0.7 |

|  |  |
| --- | --- |
| Seed | 1 |

![A plot](roc.png)

![Another](missing.png) ![Far](http://far.example/x.png) ![Up](../../secret.png)

<script>alert(1)</script> [click](javascript:alert(1)) <img src=x onerror=alert(1)>

<details><summary>The configuration</summary>

- folded

</details>
"""


CATS = [class_info("cat", "Cat <b>", False), class_info("mel", "Melon", True)]


def figure(value: float, n: int) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, static: Path) -> Iterator[Client]:
    """A server with a measured model, and one of other classes whose report is spoilt."""
    root = tmp_path_factory.mktemp("read")
    make_artifact(root / "seven", name="seven", title="Seven diagnoses")
    add_report(
        root / "seven",
        CARD,
        classes=[
            {"id": "mel", "sensitivity": figure(0.65, 161)},
            {"id": "df", "sensitivity": figure(0.47, 15)},
        ],
        malignant={"diagnoses": [{"id": "mel", "sensitivity": figure(0.88, 161)}]},
    )
    make_artifact(root / "cats", name="cats", title="Cats", classes=CATS)
    add_report(root / "cats", "", classes="none")
    app = create_app(Settings(artifacts=root, workers=1), static)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def text(client: Client, path: str, language: str = "en") -> str:
    response = client.get(path, headers={"accept-language": language})
    assert response.status_code == 200
    return html.unescape(response.text)


def test_the_list_leads_to_every_diagnosis(read: Client) -> None:
    page = text(read, "/diagnoses")
    for id in DIAGNOSES:
        assert f'href="/diagnoses/{id}"' in page


@pytest.mark.parametrize("language", ["en", "de", "es"])
@pytest.mark.parametrize("id", DIAGNOSES)
def test_every_diagnosis_has_a_page_with_its_sources(read: Client, id: str, language: str) -> None:
    page = text(read, f"/diagnoses/{id}", language)
    assert all(source in page for source in DIAGNOSES[id].sources)
    assert str(DIAGNOSES[id].pictures) in page


def test_a_diagnosis_says_how_well_a_model_recognises_it_and_from_how_many(read: Client) -> None:
    melanoma = text(read, "/diagnoses/mel")
    for said in ("65%", "55% to 75%", "88%", "78% to 98%", "161"):
        assert said in melanoma
    assert "Fewer than 30" not in melanoma
    assert "Fewer than 30" in text(read, "/diagnoses/df")
    assert "No model on this server" in text(read, "/diagnoses/vasc")


def test_a_model_of_other_classes_says_nothing_of_our_diagnoses(read: Client) -> None:
    assert "Cats" not in text(read, "/diagnoses/mel")
    page = text(read, "/models/cats", "de")
    assert "Melon, as the tests know it." in page
    assert "/diagnoses/mel" not in page


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "others"])
def test_what_the_models_were_taught_is_said_where_they_were(
    tmp_path: Path, static: Path, ours: bool
) -> None:
    made = make_artifact(tmp_path / "model", classes=SEVEN if ours else CATS)
    if ours:
        (drawn,) = made.training.datasets
        sets = [msgspec.structs.replace(drawn, name="HAM10000")]
        training = msgspec.structs.replace(made.training, datasets=sets)
        make_artifact(tmp_path / "model", training=training)
    with TestClient(create_app(Settings(artifacts=tmp_path, workers=1), static)) as client:
        assert ("were taught to tell them apart" in text(client, "/diagnoses")) == ours
        assert ("learned from a part of them" in text(client, "/diagnoses/mel")) == ours


@pytest.mark.parametrize("path", ["/diagnoses/benign", "/diagnoses/none", "/models/none"])
def test_what_is_not_there_is_not_found(read: Client, path: str) -> None:
    assert read.get(path, headers={"accept": "text/html"}).status_code == 404


def test_the_models_page_leads_to_every_model(read: Client) -> None:
    page = text(read, "/models")
    assert 'href="/models/seven"' in page
    assert 'href="/models/cats"' in page


def test_a_model_shows_its_figures_digests_and_diagnoses(read: Client) -> None:
    page = text(read, "/models/seven")
    manifest = read.get("/api/v1/models/seven").json()
    assert manifest["files"]["model.onnx"] in page
    assert manifest["files"]["preprocess.onnx"] in page
    assert "0.800" in page
    assert "0.750 to 0.850; 1500 pictures" in page
    assert 'href="/diagnoses/mel"' in page
    assert "0,800" in text(read, "/models/seven", "de")


def test_a_card_is_shown_with_its_tables_plots_and_links(read: Client) -> None:
    page = read.get("/models/seven").text
    assert "<strong>most</strong>" in page
    assert '<h2 id="limits-and-all">' in page
    assert '<a href="#limits-and-all">' in page
    assert '<a href="/api/v1/models/seven/files/report/metrics.json">' in page
    plot = "/api/v1/models/seven/files/report/roc.png"
    assert f'<img src="{plot}" alt="A plot" width="60" height="40"' in page
    assert read.get(plot).content.startswith(b"\x89PNG")
    assert "<details><summary>The configuration</summary><ul>" in page
    assert "<th></th>" not in page


def test_a_model_of_any_name_is_found_with_its_plots(tmp_path: Path, static: Path) -> None:
    make_artifact(tmp_path / "odd", name="50% #1?", title="Odd")
    add_report(tmp_path / "odd", CARD)
    with TestClient(create_app(Settings(artifacts=tmp_path, workers=1), static)) as client:
        (address,) = re.findall(r'href="(/models/[^"]+)"', client.get("/models").text)
        page = client.get(address).text
        (plot,) = re.findall(r'<img src="([^"]+)" alt="A plot"', page)
        assert client.get(plot).content.startswith(b"\x89PNG")
        (figures,) = re.findall(r'href="([^"]+/metrics.json)"', page)
        assert client.get(figures).status_code == 200


def test_a_cards_own_html_and_what_is_not_its_own_are_no_markup(read: Client) -> None:
    page = read.get("/models/seven").text
    assert "alert(1)</script>" not in page
    assert "onerror=alert(1)>" not in page
    assert 'href="javascript:' not in page
    assert "&lt;script&gt;" in page
    for name in ("missing.png", "far.example", "secret.png"):
        assert f'src="{name}' not in page
        assert name not in " ".join(piece for piece in page.split('"') if piece.startswith("http"))
    assert "Cat &lt;b&gt;" in read.get("/models/cats").text


def test_a_model_without_a_report_has_a_page(client: Client) -> None:
    page = text(client, "/models/cnn")
    assert "came without a report" in page


def test_a_card_that_was_made_again_is_shown_anew(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    make_artifact(folder)
    add_report(folder, "one")
    assert "one" in (card(Classifier(folder), "/r", "Table") or "")
    shutil.rmtree(folder)
    make_artifact(folder)
    add_report(folder, "two")
    assert "two" in (card(Classifier(folder), "/r", "Table") or "")


def test_a_report_that_was_changed_is_not_shown_until_it_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    make_artifact(folder)
    add_report(folder, "one", classes=[])
    loaded = Classifier(folder)
    (folder / "report/README.md").write_text("two")
    (folder / "report/metrics.json").write_text('{"classes": [ ]}')
    assert card(loaded, "/r", "Table") is None
    assert measured(loaded) is None
    (folder / "report/README.md").write_text("one")
    (folder / "report/metrics.json").write_text('{"classes":[]}')
    assert "one" in (card(loaded, "/r", "Table") or "")
    assert measured(loaded) is not None


def test_figures_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    make_artifact(folder)
    assert measured(Classifier(folder)) is None
    add_report(folder, "", classes=[{"id": "mel"}])
    loaded = manifest.load(folder)
    (folder / "report/metrics.json").write_text('{"curves": ' + "[" * 100_000)
    manifest.save(loaded, folder)
    assert measured(Classifier(folder)) is None


def test_a_diagnosis_is_malignant_where_the_models_say_so() -> None:
    assert {c.id: c.malignant for c in SEVEN} == {d.id: d.malignant for d in DIAGNOSES.values()}


def test_the_diagnoses_together_are_all_pictures_of_the_data_set() -> None:
    assert sum(diagnosis.pictures for diagnosis in DIAGNOSES.values()) == 10_015
