from __future__ import annotations

import hashlib
import io
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from training.data import fetch as fetching
from training.data.fetch import DOI, METADATA, PARTS, FetchError, fetch, main

METADATA_BYTES = b"lesion_id,image_id,dx\nHAM_1,ISIC_1,nv\nHAM_1,ISIC_2,nv\nHAM_2,ISIC_3,mel\n"
JPEG = bytes(range(256)) * 1200


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.jpg", content)
    return buffer.getvalue()


@dataclass
class Published:
    """What the stand-in for the Dataverse holds, how it behaves, and what it was asked."""

    files: dict[str, bytes]
    resumes: bool = True
    restricted: bool = False
    breaks_at: dict[str, list[int]] = field(default_factory=dict)
    md5: dict[str, str] = field(default_factory=dict)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    ranges: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def listing(self) -> bytes:
        entries = []
        for number, (name, content) in enumerate(self.files.items()):
            digest = self.md5.get(name, hashlib.md5(content).hexdigest())
            file = {
                "id": number,
                "filesize": len(content),
                "md5": digest,
                "checksum": {"type": "MD5", "value": digest},
            }
            if name.endswith(".tab"):
                # The checksum is that of the upload, the size that of the text stored instead.
                file["filesize"] = len(content) + 17
                file["originalFileFormat"] = "text/csv"
            entries.append({"label": name, "restricted": self.restricted, "dataFile": file})
        return json.dumps({"status": "OK", "data": entries}).encode()


class Dataverse(BaseHTTPRequestHandler):
    """The two calls of the Dataverse API that fetching needs, and the store it redirects to."""

    def __init__(self, published: Published, *rest: Any) -> None:
        self.published = published
        super().__init__(*rest)

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        if address.path == "/api/datasets/:persistentId/versions/:latest-published/files":
            assert query["persistentId"] == [f"doi:{DOI}"]
            self._answer(*self.published.answers.get("listing", (200, self.published.listing())))
        elif address.path.startswith("/api/access/datafile/"):
            name = list(self.published.files)[int(address.path.rsplit("/", 1)[1])]
            form = "original" if query.get("format") == ["original"] else "stored"
            self.send_response(303)
            self.send_header("Location", f"/store/{form}/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            _, _, form, name = address.path.split("/")
            self._send_file(form, name)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self, form: str, name: str) -> None:
        if name in self.published.answers:
            self._answer(*self.published.answers[name])
            return
        content = self.published.files[name]
        if name.endswith(".tab") and form == "stored":
            content = content.replace(b",", b"\t")
        wanted = self.headers.get("Range")
        self.published.ranges.append((name, wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start and not self.published.resumes:
            start = 0
        if start and start >= len(content):
            self._answer(416, b"")
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stops = self.published.breaks_at.get(name)
        if stops:
            self.wfile.write(content[start : stops.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(content[start:])


@pytest.fixture
def published() -> Iterator[Published]:
    state = Published(
        {
            "HAM10000_metadata.tab": METADATA_BYTES,
            "HAM10000_images_part_1.zip": zipped({"ISIC_1": JPEG, "__MACOSX/._ISIC_1": b"junk"}),
            "HAM10000_images_part_2.zip": zipped({"ISIC_2": JPEG[::-1], "folder/ISIC_3": JPEG}),
            "ISIC2018_Task3_Test_Images.zip": b"not asked for",
        }
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Dataverse, state))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def get(published: Published, tmp_path: Path):
    return partial(fetch, tmp_path / "ham10000", published.url, patience=(0.0, 0.0))


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


COMPLETE = {
    METADATA: METADATA_BYTES,
    f"{PARTS[0]}/ISIC_1.jpg": JPEG,
    f"{PARTS[1]}/ISIC_2.jpg": JPEG[::-1],
    f"{PARTS[1]}/ISIC_3.jpg": JPEG,
}


def test_it_leaves_the_published_layout_and_nothing_else(get, tmp_path):
    assert get() is True
    assert tree(tmp_path / "ham10000") == COMPLETE


def test_metadata_that_is_stored_as_uploaded_is_fetched_too(published, get, tmp_path):
    files = dict(published.files)
    files["HAM10000_metadata"] = files.pop("HAM10000_metadata.tab")
    published.files = files
    get()
    assert tree(tmp_path / "ham10000") == COMPLETE


def test_what_is_complete_is_not_asked_for_again(published, get):
    get()
    published.ranges.clear()
    published.answers["listing"] = (500, b"")
    assert get() is False
    assert published.ranges == []


def test_a_set_in_another_layout_counts_as_complete(published, get, tmp_path):
    images = tmp_path / "ham10000" / "images"
    images.mkdir(parents=True)
    (images.parent / METADATA).write_bytes(METADATA_BYTES)
    for name in ("ISIC_1", "ISIC_2", "ISIC_3"):
        (images / f"{name}.jpg").write_bytes(JPEG)
    assert get() is False


def test_folders_that_are_links_count_and_may_lead_in_circles(get, tmp_path):
    get()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for part in PARTS:
        (tmp_path / "ham10000" / part).rename(elsewhere / part)
        (tmp_path / "ham10000" / part).symlink_to(elsewhere / part)
    (elsewhere / PARTS[0] / "back").symlink_to(tmp_path / "ham10000")
    assert get() is False


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(published, get, tmp_path):
    name = "HAM10000_images_part_1.zip"
    published.breaks_at[name] = [100_000, 200_000]
    get()
    assert [wanted for asked, wanted in published.ranges if asked == name] == [
        None,
        "bytes=100000-",
        "bytes=200000-",
    ]
    assert tree(tmp_path / "ham10000") == COMPLETE


def test_a_later_run_resumes_what_an_earlier_one_left(published, get, tmp_path):
    name = "HAM10000_images_part_2.zip"
    published.breaks_at[name] = [50_000] * 4
    with pytest.raises(FetchError, match=r"images_part_2\.zip broke off at 50000 bytes"):
        get()
    published.breaks_at.clear()
    published.ranges.clear()
    get()
    assert published.ranges == [(name, "bytes=50000-")]
    assert tree(tmp_path / "ham10000") == COMPLETE


def test_a_server_that_cannot_resume_is_asked_for_the_whole(published, get, tmp_path):
    published.resumes = False
    published.breaks_at["HAM10000_images_part_1.zip"] = [100_000]
    get()
    assert tree(tmp_path / "ham10000") == COMPLETE


@pytest.mark.parametrize("left", [b"of another version", b"x" * 10_000_000], ids=["short", "long"])
def test_a_leftover_of_other_content_is_replaced(get, tmp_path, left):
    out = tmp_path / "ham10000"
    out.mkdir()
    (out / "HAM10000_images_part_1.zip.part").write_bytes(left)
    get()
    assert tree(out) == COMPLETE


def test_a_wrong_checksum_is_refused_and_its_bytes_are_not_kept(published, get, tmp_path):
    published.md5["HAM10000_images_part_1.zip"] = "0" * 32
    with pytest.raises(FetchError, match=r"HAM10000_images_part_1\.zip.*MD5.*published is 0{32}"):
        get()
    assert set(tree(tmp_path / "ham10000")) == {METADATA}


def test_files_put_there_by_hand_are_checked_and_unpacked(published, get, tmp_path):
    out = tmp_path / "ham10000"
    out.mkdir()
    for name, content in published.files.items():
        (out / name.replace(".tab", "")).write_bytes(content)
    (out / "ISIC2018_Task3_Test_Images.zip").unlink()
    get()
    assert published.ranges == []
    assert tree(out) == COMPLETE


def test_a_damaged_file_put_there_by_hand_is_named(published, get, tmp_path):
    out = tmp_path / "ham10000"
    out.mkdir()
    (out / "HAM10000_images_part_1.zip").write_bytes(b"half a download")
    with pytest.raises(FetchError, match=r"part_1\.zip: its MD5 .* Delete it and run this again"):
        get()


def test_an_archive_that_is_damaged_inside_is_named_without_a_network(published, tmp_path):
    for name, content in published.files.items():
        (tmp_path / name.replace(".tab", ".csv")).write_bytes(content)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ISIC_1.jpg", JPEG)
    damaged = bytearray(buffer.getvalue())
    # Behind the local header and the name of the file: a block of a kind that there is not.
    damaged[30 + len("ISIC_1.jpg")] |= 0b111
    (tmp_path / f"{PARTS[0]}.zip").write_bytes(damaged)
    with pytest.raises(FetchError, match=r"part_1\.zip is damaged: .* Delete it"):
        fetch(tmp_path, "http://127.0.0.1:9")


def test_files_put_there_by_hand_need_no_network(published, tmp_path, capsys):
    for name, content in published.files.items():
        (tmp_path / name.replace(".tab", ".csv")).write_bytes(content)
    assert fetch(tmp_path, "http://127.0.0.1:9") is True
    assert "without comparing checksums" in capsys.readouterr().err
    assert COMPLETE.items() <= tree(tmp_path).items()


def test_pictures_that_the_archives_lack_are_named(published, get):
    published.files["HAM10000_images_part_2.zip"] = zipped({"ISIC_2": JPEG})
    with pytest.raises(FetchError, match=r"1 pictures .* missing, the first is ISIC_3\.jpg"):
        get()


def test_an_archive_cannot_write_outside_its_folder(published, get, tmp_path):
    published.files["HAM10000_images_part_2.zip"] = zipped(
        {"ISIC_2": JPEG, "ISIC_3": JPEG, "../../evil": JPEG}
    )
    get()
    assert not list(tmp_path.glob("*evil*"))
    assert (tmp_path / "ham10000" / PARTS[1] / "evil.jpg").exists()


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("listing", (403, b'{"status":"ERROR","message":"log in first"}'), "403 .*log in first"),
        ("listing", (202, b""), "202"),
        ("listing", (200, b"<html>a bot check</html>"), "something else than a list"),
        ("listing", (200, b'{"data": []}'), r"holds no HAM10000_metadata\.csv; it holds nothing"),
        ("HAM10000_images_part_1.zip", (403, b"no"), "refuses: 403"),
        ("HAM10000_images_part_1.zip", (503, b""), "broke off .*503"),
    ],
)
def test_a_server_that_refuses_is_quoted(published, get, name, answer, words):
    published.answers[name] = answer
    with pytest.raises(FetchError, match=words):
        get()


def test_restricted_files_are_not_asked_for(published, get):
    published.restricted = True
    with pytest.raises(FetchError, match="restricted"):
        get()
    assert published.ranges == []


def test_too_little_room_is_said_before_anything_is_fetched(published, get, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=500_000))
    with pytest.raises(FetchError, match="GB are free"):
        get()
    assert published.ranges == []


def test_the_command_says_what_to_do_by_hand(tmp_path):
    out = tmp_path / "ham10000"
    result = CliRunner().invoke(main, ["--out", str(out), "--server", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    for word in (f"https://doi.org/{DOI}", *(f"{p}.zip" for p in PARTS), METADATA, str(out)):
        assert word in result.output
    assert "Traceback" not in result.output


def test_the_command_fetches_to_where_the_environment_says(published, tmp_path):
    environment = {"HAM10000_DIR": str(tmp_path / "elsewhere")}
    result = CliRunner(env=environment).invoke(main, ["--server", published.url])
    assert result.exit_code == 0, result.output
    assert tree(tmp_path / "elsewhere") == COMPLETE
