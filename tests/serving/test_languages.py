from __future__ import annotations

import html
from typing import Any

import pytest
from litestar.testing import TestClient

from serving.languages import CODES, LANGUAGES, preferred
from serving.problems import PROBLEM_TYPES, plain, problem
from tests.artifact_factory import SEVEN, TWO, class_info, make_artifact
from tests.drawings import HARMLESS_REDNESS, SUSPICIOUS_REDNESS, draw_lesion, encode

Client = TestClient[Any]
PAGES = ["/", "/diagnoses", "/diagnoses/mel", "/models", "/models/mobilenet", "/history"]


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr,es-MX;q=0.7,en;q=0.3", "es"),
        ("en;q=0.2, de;q=0.9", "de"),
        ("de;q=0,es;q=0.1", "es"),
        ("fr, it", "en"),
        ("DE", "de"),
        ("de;q=many, es", "es"),
        ("*", "en"),
        ("", "en"),
    ],
)
def test_the_page_is_in_the_language_that_the_browser_likes_best(
    client: Client, accepted: str, code: str
) -> None:
    response = client.get("/", headers={"accept-language": accepted})
    assert f'<html lang="{code}"' in response.text
    assert response.headers["content-language"] == code
    assert LANGUAGES[code].words["page"]["headline"] in html.unescape(response.text)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_its_language_and_what_it_hung_on(client: Client, path: str) -> None:
    response = client.get(path, headers={"accept-language": "de"})
    assert response.status_code == 200
    assert response.headers["content-language"] == "de"
    varies = {name.strip().lower() for name in response.headers["vary"].split(",")}
    assert {"accept-language", "cookie"} <= varies
    assert '<html lang="de"' in response.text


@pytest.mark.parametrize("path", PAGES)
def test_every_page_leads_to_itself_in_each_language(client: Client, path: str) -> None:
    page = client.get(path).text
    for code in CODES:
        assert f'href="?lang={code}"' in page


def test_the_language_that_was_asked_for_is_remembered(client: Client) -> None:
    client.cookies.clear()
    try:
        asked = client.get("/diagnoses?lang=es", headers={"accept-language": "de"})
        assert '<html lang="es"' in asked.text
        cookie = asked.headers["set-cookie"].lower()
        assert "lang=es" in cookie
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        later = client.get("/models", headers={"accept-language": "de"})
        assert '<html lang="es"' in later.text
        assert "set-cookie" not in later.headers
    finally:
        client.cookies.clear()


@pytest.mark.parametrize("asked", ["fr", "../en", "", "%00"])
def test_a_language_that_is_not_there_is_passed_over(client: Client, asked: str) -> None:
    response = client.get(f"/?lang={asked}", headers={"accept-language": "de"})
    assert '<html lang="de"' in response.text
    assert "set-cookie" not in response.headers


def test_a_form_is_answered_in_the_readers_language(client: Client) -> None:
    melanoma = encode(draw_lesion(2, redness=SUSPICIOUS_REDNESS))
    response = client.post(
        "/", files=[("images", ("mole.jpg", melanoma))], headers={"accept-language": "de"}
    )
    page = html.unescape(response.text)
    assert "Verdächtig: Anzeichen für Melanom" in page
    assert "Basalzellkarzinom" in page
    assert response.headers["content-language"] == "de"


def test_inside_a_german_sentence_only_nouns_are_capitalised(client: Client) -> None:
    mole = encode(draw_lesion(2, redness=HARMLESS_REDNESS))
    response = client.post(
        "/", files=[("images", ("mole.jpg", mole))], headers={"accept-language": "de"}
    )
    assert "am ehesten melanozytärer Nävus" in html.unescape(response.text)


def test_a_problem_is_told_in_the_readers_language(client: Client) -> None:
    response = client.post(
        "/", files=[("images", ("notes.txt", b"hello"))], headers={"accept-language": "es"}
    )
    assert response.status_code == 415
    assert "El archivo no es una imagen" in html.unescape(response.text)
    nowhere = client.get("/nothing", headers={"accept-language": "de", "accept": "text/html"})
    assert "Unter dieser Adresse gibt es nichts." in html.unescape(nowhere.text)
    assert nowhere.headers["content-language"] == "de"


def test_a_problem_keeps_its_own_words_where_none_are_known() -> None:
    told = plain(418, "This is a teapot.")
    assert LANGUAGES["de"].problem(told) == told
    known = problem("damaged", "spot.jpg: cut short.")
    assert LANGUAGES["en"].problem(known) == known
    for reason in PROBLEM_TYPES:
        assert LANGUAGES["de"].problem(problem(reason, "x")).detail != "x"


def test_a_model_with_classes_of_its_own_keeps_its_own_words(tmp_path: Any) -> None:
    told = LANGUAGES["en"].words["models"]["Seven diagnoses"]
    ours = make_artifact(tmp_path / "ours", **told)
    german = LANGUAGES["de"].manifest(ours)
    assert german.title == "Sieben Diagnosen"
    assert german.summary == LANGUAGES["de"].words["models"]["Seven diagnoses"]["summary"]
    assert german.classes[0].name == "Aktinische Keratose oder Morbus Bowen"
    assert german.classes[0].malignant == ours.classes[0].malignant
    assert german.classes[0].source == ours.classes[0].source
    others = [*SEVEN[:2], class_info("cat", "A cat", False)]
    theirs = make_artifact(tmp_path / "theirs", classes=others)
    assert LANGUAGES["de"].manifest(theirs) == theirs


@pytest.mark.parametrize("name", ["Benign", "Harmless"])
def test_a_model_of_other_pictures_keeps_its_own_words_under_our_ids(
    tmp_path: Any, name: str
) -> None:
    labelled = class_info("benign", name, False)
    theirs = make_artifact(tmp_path / "theirs", classes=[labelled, TWO[1]])
    for code in CODES:
        assert not LANGUAGES[code].knows(theirs)
        assert LANGUAGES[code].manifest(theirs) == theirs


def test_our_classes_are_translated_beside_anothers_summary(tmp_path: Any) -> None:
    theirs = make_artifact(tmp_path / "theirs", title="Seven diagnoses", summary="Of my own.")
    german = LANGUAGES["de"].manifest(theirs)
    assert (german.title, german.summary) == ("Sieben Diagnosen", "Of my own.")
    assert german.classes[5].name == "Melanozytärer Nävus (Muttermal)"


def test_equally_liked_languages_keep_their_order() -> None:
    assert list(preferred("es,de")) == ["es", "de"]
    assert list(preferred("es;q=0.5,de;q=0.5,en")) == ["en", "es", "de"]
