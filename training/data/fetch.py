"""HAM10000 from its published home, a Dataverse: `python -m training.data.fetch`.

What it leaves is the published layout: `HAM10000_metadata.csv` beside `HAM10000_images_part_1/`
and `HAM10000_images_part_2/`. It can be stopped and run again at any time: what is complete stays,
and a half-fetched file goes on where it broke off.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import click
import httpx
import msgspec
from tqdm import tqdm

DOI: Final = "10.7910/DVN/DBW86T"
SERVER: Final = "https://dataverse.harvard.edu"
METADATA: Final = "HAM10000_metadata.csv"
PARTS: Final = ("HAM10000_images_part_1", "HAM10000_images_part_2")

# Seconds to wait before each further attempt at a file whose transfer broke off. Any progress
# starts the row again.
PATIENCE: Final = (1.0, 2.0, 5.0, 15.0, 30.0)

_BLOCK: Final = 1 << 20
_PARTIAL: Final = ".part"
_DIGESTS: Final = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-512": "sha512"}


class FetchError(Exception):
    """Why the data set is not there; says what was wrong, with which file."""


class _BrokeOffError(Exception):
    """A transfer that ended early for a reason that may pass."""


class Checksum(msgspec.Struct, frozen=True):
    """A digest and its kind, as Dataverse names it: MD5, SHA-1, SHA-256, SHA-512."""

    type: str
    value: str


class DataFile(msgspec.Struct, frozen=True, rename="camel"):
    """The stored file behind an entry of the listing; sizes in bytes.

    A table that was uploaded as CSV is stored as tab-separated text too. `filesize` is then that of
    the stored text, while `checksum` is that of the upload, which `format=original` answers with.
    """

    id: int
    filesize: int = 0
    checksum: Checksum | None = None
    md5: str | None = None
    original_file_format: str | None = None
    original_file_size: int | None = None


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """One file of a data set: its name on the page, and what is stored."""

    label: str
    data_file: DataFile
    restricted: bool = False

    @property
    def stem(self) -> str:
        """The name without its ending: Dataverse swaps the ending of tables that it stores anew."""
        return PurePosixPath(self.label).stem

    @property
    def size(self) -> int | None:
        """Bytes to expect, or None where the listing does not tell."""
        file = self.data_file
        return file.original_file_size if file.original_file_format else file.filesize

    @property
    def checksum(self) -> Checksum | None:
        """The digest of what is fetched, in whichever of its two fields the listing gives it."""
        file = self.data_file
        return file.checksum or (Checksum("MD5", file.md5) if file.md5 else None)


class Listing(msgspec.Struct, frozen=True):
    """Dataverse's answer to which files a data set has."""

    data: list[Entry]


def fetch(out: Path, server: str = SERVER, patience: Sequence[float] = PATIENCE) -> bool:
    """Fetches, checks and unpacks HAM10000 into `out`; False where it already lay there complete.

    Zip files and the metadata that were put into `out` by hand count as fetched, and are compared
    with the published checksums where the server can be reached.

    Raises:
        FetchError: server out of reach, not answering as documented, or refusing; a checksum that
            does not match; too little room on the disk; pictures missing after all.
    """
    if out.is_dir() and not missing_pictures(out):
        return False
    try:
        out.mkdir(parents=True, exist_ok=True)
        with httpx.Client(
            follow_redirects=True,
            timeout=httpx.Timeout(30.0),
            # A compressed answer could be neither resumed nor counted.
            headers={"User-Agent": "LesionLens (make data)", "Accept-Encoding": "identity"},
        ) as client:
            _obtain(client, out, server.rstrip("/"), patience)
        for part in PARTS:
            _unpack(out / f"{part}.zip", out / part)
    except httpx.HTTPError as error:
        raise FetchError(f"{server}: {error}") from error
    except OSError as error:
        raise FetchError(f"{error.filename or out}: {error.strerror or error}") from error
    if missing := missing_pictures(out):
        raise FetchError(
            f"{out}: {len(missing)} pictures that {METADATA} names are missing, "
            f"the first is {missing[0]}.jpg. Delete {' and '.join(PARTS)} there to start anew"
        )
    return True


def missing_pictures(folder: Path) -> list[str]:
    """Image ids that the metadata in `folder` names and no `.jpg` below it holds.

    Without readable metadata the answer is the metadata's own name, for then nothing is there.
    """
    try:
        with (folder / METADATA).open(encoding="utf-8-sig", newline="") as file:
            named = [row["image_id"] for row in csv.DictReader(file)]
    except (OSError, KeyError, UnicodeDecodeError):
        return [METADATA]
    present = {Path(name).stem for name in _file_names(folder) if name.endswith(".jpg")}
    return [image for image in named if image not in present] if named else [METADATA]


def _file_names(folder: Path) -> Iterator[str]:
    """Of all files in `folder` and below, also behind links, but not of what is half unpacked."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        # A link may lead back to where it stands.
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [f for f in folders if not f.endswith(_PARTIAL)]
        seen.add(real)
        yield from files


def by_hand(out: Path) -> str:
    """What to download, from which page, and where to put it."""
    files = "\n".join(f"  {part}.zip" for part in PARTS)
    return (
        f"To fetch HAM10000 by hand, open https://doi.org/{DOI} and download\n{files}\n"
        f"  HAM10000_metadata (where the page offers formats: the original, as {METADATA})\n"
        f"into {out.absolute()}, then run the same command again: it checks and unpacks them."
    )


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: os.environ.get("HAM10000_DIR", "data/ham10000"),
    show_default="$HAM10000_DIR or data/ham10000",
    help="Where to put the data set.",
)
@click.option("--server", default=SERVER, show_default=True, help="The Dataverse to ask.")
def main(out: Path, server: str) -> None:
    """Fetch HAM10000 (nearly 3 GB, CC BY-NC 4.0) with resume and checksums."""
    try:
        fetched = fetch(out, server)
    except FetchError as error:
        click.echo(f"error: {error}\n\n{by_hand(out)}", err=True)
        sys.exit(1)
    click.echo(f"{out}: complete" if fetched else f"{out}: already complete, nothing to do")


def _obtain(client: httpx.Client, out: Path, server: str, patience: Sequence[float]) -> None:
    """Brings the metadata and the zip of every part not yet unpacked into `out`, checked."""
    wanted = {METADATA: out / METADATA}
    wanted |= {f"{p}.zip": out / f"{p}.zip" for p in PARTS if not (out / p).is_dir()}
    if not wanted[METADATA].exists() and (out / Path(METADATA).stem).is_file():
        (out / Path(METADATA).stem).rename(wanted[METADATA])
    try:
        entries = _entries(client, server)
    except FetchError as error:
        if not all(path.exists() for path in wanted.values()):
            raise
        click.echo(f"Unpacking what lies in {out} without comparing checksums: {error}", err=True)
        return
    chosen = {path: _entry(entries, name) for name, path in wanted.items()}
    _refuse_without_room(out, chosen)
    for path, entry in chosen.items():
        if not path.exists():
            url = f"{server}/api/access/datafile/{entry.data_file.id}"
            _download(client, url, entry, path, patience)
        elif wrong := _mismatch(path, entry):
            raise FetchError(f"{wrong}. Delete it and run this again")


def _entries(client: httpx.Client, server: str) -> list[Entry]:
    url = f"{server}/api/datasets/:persistentId/versions/:latest-published/files"
    try:
        answer = client.get(url, params={"persistentId": f"doi:{DOI}"})
    except httpx.HTTPError as error:
        raise FetchError(f"{server} is out of reach: {error}") from error
    if answer.status_code != httpx.codes.OK:
        raise FetchError(f"{server} does not list the files of doi:{DOI}: {_refusal(answer)}")
    try:
        return msgspec.json.decode(answer.content, type=Listing).data
    except msgspec.MsgspecError as error:
        raise FetchError(f"{url} answered something else than a list of files: {error}") from error


def _entry(entries: list[Entry], name: str) -> Entry:
    for entry in entries:
        if entry.stem == PurePosixPath(name).stem:
            if entry.restricted:
                raise FetchError(f"{entry.label} is restricted: its owners want to be asked")
            return entry
    there = ", ".join(sorted(entry.label for entry in entries)) or "nothing"
    raise FetchError(f"doi:{DOI} holds no {name}; it holds {there}")


def _refuse_without_room(out: Path, chosen: dict[Path, Entry]) -> None:
    """Pictures hardly shrink in a zip: each part takes its size twice until it is unpacked."""
    sizes = [entry.size or 0 for path, entry in chosen.items() if not path.exists()]
    begun = sum(_partial(path).stat().st_size for path in chosen if _partial(path).exists())
    unpacked = max((entry.size or 0 for entry in chosen.values()), default=0)
    needed = max(0, sum(sizes) - begun) + unpacked
    free = shutil.disk_usage(out).free
    if free < needed:
        raise FetchError(f"{out}: needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")


def _download(
    client: httpx.Client, url: str, entry: Entry, path: Path, patience: Sequence[float]
) -> None:
    """Fetches `entry` into `path`; what broke off goes on at its last byte.

    A resumed file that turns out wrong is fetched once more from its start: what lay there may have
    been of another version.
    """
    partial = _partial(path)
    resumed = partial.exists()
    _transfer(client, url, entry, partial, patience)
    wrong = _mismatch(partial, entry)
    if wrong and resumed:
        partial.unlink()
        _transfer(client, url, entry, partial, patience)
        wrong = _mismatch(partial, entry)
    if wrong:
        partial.unlink()
        raise FetchError(wrong)
    partial.rename(path)


def _transfer(
    client: httpx.Client, url: str, entry: Entry, partial: Path, patience: Sequence[float]
) -> None:
    params = {"format": "original"} if entry.data_file.original_file_format else None
    begun = partial.stat().st_size if partial.exists() else 0
    with tqdm(
        desc=entry.label, total=entry.size, initial=begun, unit="B", unit_scale=True, miniters=1
    ) as bar:
        waits = iter(patience)
        while True:
            before = bar.n
            try:
                _append(client, url, params, partial, bar.update, bar.reset)
                return
            except (httpx.TransportError, _BrokeOffError) as error:
                if bar.n > before:
                    waits = iter(patience)
                wait = next(waits, None)
                if wait is None:
                    raise FetchError(
                        f"{entry.label} broke off at {bar.n} bytes, again and again: {error}"
                    ) from error
                time.sleep(wait)


def _append(
    client: httpx.Client,
    url: str,
    params: dict[str, str] | None,
    partial: Path,
    progress: Callable[[int], object],
    restart: Callable[[], object],
) -> None:
    """Adds to `partial` what it lacks, or writes it anew where the server does not resume."""
    begun = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={begun}-"} if begun else {}
    with client.stream("GET", url, params=params, headers=headers) as answer:
        if begun and answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is left to fetch; the checksum tells whether it is the right file
        if answer.is_server_error:
            raise _BrokeOffError(f"{answer.status_code} {answer.reason_phrase}")
        if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            answer.read()
            raise FetchError(f"{url} refuses: {_refusal(answer)}")
        resumes = answer.status_code == httpx.codes.PARTIAL_CONTENT
        if begun and not resumes:
            restart()
        with partial.open("ab" if resumes else "wb") as file:
            # As they come: gathering blocks of a size would lose the last when it breaks off.
            for block in answer.iter_raw():
                file.write(block)
                progress(len(block))


def _mismatch(path: Path, entry: Entry) -> str | None:
    """What is wrong with the bytes of `path`; None where they are those that were published."""
    published = entry.checksum
    if published is None:
        return None
    if published.type not in _DIGESTS:
        raise FetchError(f"{entry.label} has a checksum of an unknown kind: {published.type}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, _DIGESTS[published.type]).hexdigest()
    if found == published.value.lower():
        return None
    return f"{path}: its {published.type} is {found}, published is {published.value}"


def _unpack(archive: Path, folder: Path) -> None:
    """Lays the pictures of `archive` flat into `folder`, all or none, and removes the archive."""
    if folder.is_dir():
        return
    partial = _partial(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        with zipfile.ZipFile(archive) as pictures:
            for member in tqdm(list(_pictures(pictures)), desc=f"{folder.name}: unpacking"):
                # The bare name: no path of the archive leads out of the folder.
                with (
                    pictures.open(member) as source,
                    (partial / PurePosixPath(member.filename).name).open("wb") as target,
                ):
                    shutil.copyfileobj(source, target, _BLOCK)
    # zipfile raises RuntimeError where a bit says that a file is encrypted or of an odd method.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise FetchError(f"{archive} is damaged: {error}. Delete it and run this again") from error
    partial.rename(folder)
    archive.unlink()


def _pictures(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """The archive's pictures, without the copies of their attributes that macOS adds."""
    for member in archive.infolist():
        path = PurePosixPath(member.filename)
        if path.suffix.lower() == ".jpg" and not path.name.startswith("._"):
            yield member


def _partial(path: Path) -> Path:
    return path.with_name(path.name + _PARTIAL)


def _refusal(answer: httpx.Response) -> str:
    """The status, and Dataverse's own words where it gave any: terms to accept, a bot check."""

    class Words(msgspec.Struct):
        message: str

    status = f"{answer.status_code} {answer.reason_phrase}".strip()
    try:
        return f"{status}, {msgspec.json.decode(answer.content, type=Words).message}"
    except msgspec.MsgspecError:
        return status


if __name__ == "__main__":
    main()
