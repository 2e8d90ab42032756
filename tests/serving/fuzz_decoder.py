"""The decoder under a fuzzer that is led by the code it reaches.

    python -m tests.serving.fuzz_decoder CORPUS -max_total_time=3600

CORPUS is a folder, which is filled with one file of each kind and with whatever reaches new code.
A picture may be answered or refused; anything else that happens, or 200 MB or 20 seconds for one
file of at most 64 KB, ends the run and leaves the file behind.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["PIL", "serving"]):
    from serving.manifest import Preprocessing
    from serving.memory import Room
    from serving.pictures import Limits, PictureError, prepare

from tests.serving import odd_files
from tests.serving.test_pictures import SAMPLES

_LIMITS = Limits(max_bytes=1_000_000, max_pixels=1_000_000)
_PREPROCESSING = Preprocessing(fit="crop", size=32)
_ROOM = Room(50_000_000)

_BOUNDS = ("-max_len=65536", "-rss_limit_mb=700", "-timeout=20")


def decode(data: bytes) -> None:
    """What is done with each file."""
    try:
        prepared = prepare(data, _PREPROCESSING, _LIMITS, _ROOM)
    except PictureError:
        return
    assert prepared.pixels.shape == (32, 32, 3)
    assert _ROOM.used == 0


def _fill(corpus: Path) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    odd = {
        "tile": odd_files.tiff_with_a_huge_tile(64),
        "scans": odd_files.jpeg_of_many_scans(64, 5),
        "interlaced": odd_files.interlaced_png(),
        "exif": odd_files.exif_without_end(),
        "loop": odd_files.tiff_without_end(),
    }
    for name, data in (SAMPLES | odd).items():
        (corpus / name).write_bytes(data)


def main() -> None:
    """Fuzzes as the arguments say, which are libFuzzer's."""
    warnings.simplefilter("ignore")  # Pillow's about damaged metadata
    for folder in (Path(a) for a in sys.argv[1:] if not a.startswith("-")):
        _fill(folder)
    atheris.Setup([*sys.argv, *_BOUNDS], decode)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
