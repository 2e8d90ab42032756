from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from typing import Any, get_args
from urllib.parse import quote

import msgspec
import numpy as np
import pytest
from httpx import Response
from litestar.testing import TestClient
from PIL import Image

from serving import api
from serving.app import create_app
from serving.inference import Inference
from serving.manifest import Manifest
from serving.prediction import Prediction
from serving.problems import PROBLEM_TYPES, Problem, Reason
from serving.settings import Settings
from tests.drawings import SUSPICIOUS_REDNESS, draw_flat, draw_lesion, encode
from tests.serving.live import wait_until

Client = TestClient[Any]
URL = "/api/v1/predictions"
SECRET = "secret-name.jpg"
MOLE = encode(draw_lesion(1))
MELANOMA = encode(draw_lesion(2, redness=SUSPICIOUS_REDNESS))


def images(*files: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", file) for file in files]


def predictions(response: Response) -> list[Prediction]:
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=list[Prediction])


def problem(response: Response, status: int, reason: str | None = None) -> Problem:
    """The problem details of a refusal, after checking that they are such."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    details = msgspec.json.decode(response.content, type=Problem)
    assert details.status == status
    assert details.detail
    if reason is not None:
        assert details.type == f"/api/v1/problems#{reason}"
    return details


def test_a_picture_is_answered(client: Client) -> None:
    (answer,) = predictions(client.post(URL, files=images(("mole.jpg", MOLE))))
    assert answer.image == "mole.jpg"
    assert answer.model == "mobilenet"
    assert (answer.width, answer.height) == (600, 450)
    assert answer.prediction == "nv"
    assert answer.verdict == "not_suspicious"
    assert set(answer.probabilities) == {"akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"}
    assert answer.heatmaps is msgspec.UNSET


def test_several_pictures_are_answered_in_their_order(client: Client) -> None:
    # The large one is done last and yet listed first.
    small = draw_lesion(3, redness=SUSPICIOUS_REDNESS)
    large = encode(small.resize((2400, 1800)), "PNG")
    files = images(("z.png", large), ("a.jpg", MOLE), ("m.jpg", MELANOMA), ("a.jpg", MOLE))
    answers = predictions(client.post(URL, files=files))
    assert [answer.image for answer in answers] == ["z.png", "a.jpg", "m.jpg", "a.jpg"]
    assert [answer.prediction for answer in answers] == ["mel", "nv", "mel", "nv"]


def test_the_named_model_answers(client: Client) -> None:
    (answer,) = predictions(client.post(URL, params={"model": "cnn"}, files=images(("a", MOLE))))
    assert answer.model == "cnn"
    assert list(answer.probabilities) == ["benign", "malignant"]


@pytest.mark.parametrize("asked", ["true", "1"])
def test_heatmaps_come_when_asked_for(client: Client, asked: str) -> None:
    (answer,) = predictions(client.post(URL, params={"heatmaps": asked}, files=images(("a", MOLE))))
    assert isinstance(answer.heatmaps, dict)
    assert set(answer.heatmaps) == set(answer.probabilities)
    assert all(uri.startswith("data:image/png;base64,") for uri in answer.heatmaps.values())


def test_an_unlikely_picture_is_refused_with_its_numbers(client: Client) -> None:
    (answer,) = predictions(client.post(URL, files=images(("sky.png", encode(draw_flat())))))
    assert answer.refused
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"", 422, "empty"),
        (b"hello", 415, "not_a_picture"),
        (MOLE[: len(MOLE) // 2], 422, "damaged"),
        (encode(Image.new("L", (4000, 3000)), "PNG"), 413, "too_many_pixels"),
        (MOLE + bytes(8_000_000), 413, "too_many_bytes"),
    ],
)
def test_a_bad_picture_is_refused_by_name(
    client: Client, data: bytes, status: int, reason: str
) -> None:
    files = images(("good.jpg", MOLE), ("bad.jpg", data))
    details = problem(client.post(URL, files=files), status, reason)
    assert details.detail.startswith("bad.jpg: ")


def test_an_unknown_model_is_refused_with_those_that_there_are(client: Client) -> None:
    response = client.post(URL, params={"model": "resnet"}, files=images(("a", MOLE)))
    details = problem(response, 404, "unknown_model")
    assert details.detail == "There is no model named resnet. There are: cnn, mobilenet."


@pytest.mark.parametrize(
    "request_with",
    [
        {},
        {"json": {"images": "mole.jpg"}},
        {"data": {"images": "mole.jpg"}},
        {"content": MOLE, "headers": {"content-type": "image/jpeg"}},
        {"content": MOLE, "headers": {"content-type": "text/plain; boundary=x"}},
    ],
)
def test_what_is_no_multipart_form_is_refused(client: Client, request_with: dict[str, Any]) -> None:
    details = problem(client.post(URL, **request_with), 415, "not_multipart")
    assert "images" in details.detail


def test_a_form_whose_type_names_no_boundary_is_told_so(client: Client) -> None:
    headers = {"content-type": "multipart/form-data"}
    response = client.post(URL, content=MOLE, headers=headers)
    assert "without a boundary" in problem(response, 415, "not_multipart").detail


@pytest.mark.parametrize(
    "files",
    [
        [("image", ("mole.jpg", MOLE))],
        [("note", (None, b"no picture"))],
        [("images", ("", b""))],
    ],
)
def test_a_form_without_a_picture_is_refused(client: Client, files: Any) -> None:
    details = problem(client.post(URL, files=files), 400, "no_file")
    assert "`images`" in details.detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\nabc',
        b"--x\r\nno header\r\n\r\nabc\r\n--x--\r\n",
        b"--x\r\n\xff\xfe: 1\r\n\r\nabc\r\n--x--\r\n",
        b"--x\r\nContent-Disposition: attachment\r\n\r\nabc\r\n--x--\r\n",
    ],
)
def test_a_broken_form_is_refused(client: Client, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    problem(client.post(URL, content=body, headers=headers), 400, "malformed_form")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"M\xc3\xbcller-\xe7\x97\xa3.jpg", "M\u00fcller-\u75e3.jpg"),
        (b"M\xfcller.jpg", "M\ufffdller.jpg"),
    ],
    ids=["UTF-8", "Latin-1"],
)
def test_a_picture_is_answered_whatever_its_name_is_written_in(
    client: Client, sent: bytes, said: str
) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="images"; filename="' + sent + b'"'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    body = head + b"\r\n\r\n" + MOLE + b"\r\n--x--\r\n"
    (answer,) = predictions(client.post(URL, content=body, headers=headers))
    assert answer.image == said


def test_a_field_is_named_as_it_was_sent(client: Client) -> None:
    note = {"\u6ce8": (None, b"x" * 2_000)}
    details = problem(client.post(URL, files=note), 400, "no_file")
    assert "`\u6ce8` holds more than a few words" in details.detail


def test_too_many_pictures_are_refused(client: Client) -> None:
    tiny = encode(draw_lesion(1, 40, 30))
    files = images(*((f"{i}.jpg", tiny) for i in range(5)))
    details = problem(client.post(URL, files=files), 413, "too_many_files")
    assert "at most 4" in details.detail
    assert len(predictions(client.post(URL, files=files[:4]))) == 4


@pytest.mark.parametrize(("name", "value"), [("model", "c nn"), ("heatmaps", "true")])
def test_what_the_address_asks_for_is_not_asked_in_the_form(
    client: Client, name: str, value: str
) -> None:
    response = client.post(URL, files=images(("a.jpg", MOLE)), data={name: value})
    details = problem(response, 400, "malformed_form")
    assert f"{URL}?{name}={quote(value)}" in details.detail
    assert len(predictions(client.post(URL, files=images(("a", MOLE)), data={"note": "1"}))) == 1


@pytest.mark.parametrize(
    "part",
    [b'name="note"\r\n\r\n1', b'name="images"; filename=""\r\n\r\n'],
    ids=["text", "no file"],
)
@pytest.mark.parametrize("pictures", [1, 4])
def test_too_many_fields_are_refused(client: Client, part: bytes, pictures: int) -> None:
    tiny = encode(draw_lesion(1, 40, 30))
    picture = b'name="images"; filename="a.jpg"\r\n\r\n' + tiny
    headers = {"content-type": "multipart/form-data; boundary=x"}

    def post(others: int) -> Response:
        parts = [picture] * pictures + [part] * others
        heads = b"".join(b"--x\r\nContent-Disposition: form-data; %b\r\n" % p for p in parts)
        return client.post(URL, content=heads + b"--x--\r\n", headers=headers)

    assert len(predictions(post(16))) == pictures
    details = problem(post(17), 413, "too_many_parts")
    assert "at most 16 parts beside the pictures" in details.detail


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Disposition: form-data; name="images"; filename="' + b"a" * 20_000 + b'"',
        b'Content-Disposition: form-data; name="images"\r\n' + b"X-Note: 1\r\n" * 20 + b"X: 1",
    ],
)
def test_a_part_whose_head_is_too_large_is_refused(client: Client, head: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    body = b"--x\r\n" + head + b"\r\n\r\nabc\r\n--x--\r\n"
    problem(client.post(URL, content=body, headers=headers), 431, "header_too_large")


def form(*parts: bytes) -> dict[str, Any]:
    """A multipart form of parts, each from what its head tells on, to be posted."""
    body = b"".join(b"--x\r\nContent-Disposition: form-data; %b\r\n" % part for part in parts)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    return {"content": body + b"--x--\r\n", "headers": headers}


PICTURE = b'name="images"\r\n\r\n' + MOLE


def test_pictures_without_a_name_are_numbered_from_one(client: Client) -> None:
    answers = predictions(client.post(URL, **form(PICTURE, PICTURE)))
    assert [answer.image for answer in answers] == ["picture 1", "picture 2"]


def test_the_head_of_a_part_may_be_as_large_as_is_set(client: Client) -> None:
    long = b'name="images"; filename="%b"\r\n\r\n' % (b"a" * 12_000) + MOLE
    assert len(predictions(client.post(URL, **form(long)))[0].image) == 12_000


@pytest.mark.parametrize("text", [b"a" * 1_000, b"\xff\xfe"])
def test_a_few_words_beside_the_pictures_are_let_pass_in_any_letters(
    client: Client, text: bytes
) -> None:
    note = b'name="note"\r\n\r\n' + text
    assert len(predictions(client.post(URL, **form(note, PICTURE)))) == 1


def test_a_field_of_more_than_a_few_words_is_told_where_pictures_go(client: Client) -> None:
    note = b'name="note"\r\n\r\n' + b"a" * 1_001
    details = problem(client.post(URL, **form(note, PICTURE)), 400, "no_file")
    assert "`note` holds more than a few words" in details.detail


def test_a_file_is_refused_as_soon_as_it_is_too_large(client: Client) -> None:
    largest = PICTURE + bytes(8_000_000 - len(MOLE))
    assert len(predictions(client.post(URL, **form(largest)))) == 1
    post = form(largest + b"\0")
    post["content"] = post["content"].removesuffix(b"--x--\r\n")
    details = problem(client.post(URL, **post), 413, "too_many_bytes")
    assert details.detail.startswith("picture 1: The file is larger than 8 MB")


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_beyond_the_limit_is_refused(client: Client, announced: bool) -> None:
    body = bytes(21_000_000)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    content = body if announced else iter([body[:10_000_000], body[10_000_000:]])
    response = client.post(URL, content=content, headers=headers)
    assert "At most 20 MB" in problem(response, 413, "request_too_large").detail


def test_a_wrong_value_in_the_query_is_refused_by_name(client: Client) -> None:
    response = client.post(URL, params={"heatmaps": "perhaps"}, files=images(("a", MOLE)))
    assert "query heatmaps: Expected `bool`" in problem(response, 400).detail


def test_an_unknown_address_is_a_problem(client: Client) -> None:
    for path in ("/nothing", "/api/nothing", "/api/v1/nothing", "/static/assets/nothing.js"):
        assert "/api" in problem(client.get(path), 404).detail


def test_a_wrong_method_is_a_problem_that_says_the_right_one(client: Client) -> None:
    response = client.get(URL)
    assert "POST" in problem(response, 405).detail
    assert "POST" in response.headers["allow"]


@pytest.fixture
def broken(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A server whose models fail in a way that nobody foresaw."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(Inference, "answer_each", fail)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def test_an_unforeseen_error_tells_nothing_of_the_inside(
    broken: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        response = broken.post(URL, files=images((SECRET, MOLE)))
    assert "secret" not in problem(response, 500).detail
    assert "RuntimeError in a request" in caplog.text
    assert "secret" not in caplog.text


def test_the_log_names_no_file_and_no_address(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def lines() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name == "lesionlens"]

    with caplog.at_level(logging.INFO, "lesionlens"):
        client.post(URL, files=images(("my-secret.jpg", MOLE)))
        client.post(URL, files=images(("my-secret.jpg", b"bad")))
        client.get("/static/my-secret.jpg")
        client.get("/my-secret.jpg")
        wait_until(lambda: len(lines()) == 4)
    assert lines() == [
        "POST /api/v1/predictions 200",
        "POST /api/v1/predictions 415",
        "GET /static/{file_path} 404",
        "GET (no such address) 404",
    ]


@pytest.fixture
def no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails whatever would make a temporary file, also where a spooled one outgrows memory."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was made")

    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp", "_mkstemp_inner"):
        monkeypatch.setattr(tempfile, name, fail)


@pytest.mark.usefixtures("no_disk")
@pytest.mark.parametrize("path", [URL, "/"])
def test_a_picture_of_five_megabytes_touches_no_disk(client: Client, path: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1300, 1300, 3), np.uint8)
    data = encode(Image.fromarray(noise), "PNG")
    assert len(data) > 5_000_000
    with (
        pytest.raises(AssertionError, match="temporary file"),
        tempfile.SpooledTemporaryFile(max_size=10) as spooled,
    ):
        spooled.write(data)
    assert client.post(path, files=images(("noise.png", data))).status_code == 200


def test_models_are_listed_the_default_first(client: Client) -> None:
    listed = msgspec.json.decode(client.get("/api/v1/models").content, type=list[api.ModelSummary])
    assert [(m.name, m.default) for m in listed] == [("mobilenet", True), ("cnn", False)]
    assert listed[1].classes == ["benign", "malignant"]


def test_a_model_tells_everything(client: Client) -> None:
    manifest = msgspec.json.decode(client.get("/api/v1/models/cnn").content, type=Manifest)
    assert manifest.malignant_ids == ["malignant"]
    problem(client.get("/api/v1/models/resnet"), 404, "unknown_model")


@pytest.mark.parametrize(("path", "status"), [("/healthz", "ok"), ("/readyz", "ready")])
def test_probes_are_answered(client: Client, path: str, status: str) -> None:
    assert client.get(path).json() == {"status": status}


def test_every_reason_to_refuse_has_a_type() -> None:
    assert set(PROBLEM_TYPES) == set(get_args(Reason))


def test_every_type_of_problem_is_listed(client: Client) -> None:
    listed = {kind["type"]: kind["status"] for kind in client.get("/api/v1/problems").json()}
    assert listed["/api/v1/problems#not_a_picture"] == 415
    response = client.post(URL, files=images(("a", b"")))
    assert problem(response, 422).type in listed


def test_the_default_model_may_be_set(settings: Settings) -> None:
    other = msgspec.structs.replace(settings, model="cnn")
    with TestClient(create_app(other)) as client:
        assert client.get("/api/v1/models").json()[0]["name"] == "cnn"
        assert predictions(client.post(URL, files=images(("a", MOLE))))[0].model == "cnn"
