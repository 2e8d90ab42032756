"""Pictures of the page's main states, of a lesion that the project draws: `make screenshots`.

python -m tests.e2e.screenshots --out docs
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page

from serving.settings import CHECKOUT
from tests.artifact_factory import make_artifacts
from tests.drawings import draw_lesion, encode
from tests.e2e.browser import find_chromium, launched
from tests.e2e.server import served
from tests.e2e.uploads import analyse, choose, jpeg

WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 980}}
TALL: dict[str, Any] = {"viewport": {"width": 1280, "height": 1600}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
STATES: dict[str, dict[str, Any]] = {
    "start": WIDE,
    "answer": TALL,
    "answer-dark": {**TALL, "color_scheme": "dark"},
    "answer-phone": PHONE,
    "several": TALL,
    "crop-phone": PHONE,
}
SEVERAL = ((29, 0.4), (4, 0.1), (11, 0.3), (7, 0.5))
"""Which lesions are drawn where several are shown, and how red."""


def main() -> None:
    """Writes `page-<state>.png` for each of `STATES`."""
    arguments = _arguments()
    executable = find_chromium()
    if executable is None:
        sys.exit("error: no Chromium on this machine (Debian: apt-get install chromium)")
    arguments.out.mkdir(parents=True, exist_ok=True)
    drawn = encode(draw_lesion(arguments.seed, redness=arguments.redness), quality=92)
    with (
        _models(arguments.artifacts) as artifacts,
        served(artifacts) as address,
        launched(executable) as browser,
    ):
        for state in arguments.states:
            path = arguments.out / f"page-{state}.png"
            path.write_bytes(_small(_shoot(browser, address, state, drawn)))
            print(path)


def _shoot(browser: Browser, address: str, state: str, drawn: bytes) -> bytes:
    with browser.new_context(reduced_motion="reduce", **STATES[state]) as context:
        page: Page = context.new_page()
        page.goto(address)
        if state == "several":
            files = [
                jpeg(encode(draw_lesion(seed, redness=redness), quality=92), f"spot {number}.jpg")
                for number, (seed, redness) in enumerate(SEVERAL, 1)
            ]
            page.set_input_files("#file", files=files)
            page.click("#analyse")
            page.wait_for_function(
                "(count) => document.querySelectorAll('[data-state=answered]').length === count",
                arg=len(SEVERAL),
            )
        elif state != "start":
            choose(page, jpeg(drawn, "drawn lesion.jpg"))
        if state.startswith("crop"):
            page.get_by_role("button", name="Crop", exact=True).click()
        elif state.startswith("answer"):
            analyse(page)
            # The chart's code comes after the answer.
            page.wait_for_timeout(1000)
            page.mouse.move(0, 0)
        return page.screenshot()


def _small(png: bytes) -> bytes:
    """The same picture in 52 levels a channel: what PNG cannot pack is the lesion's drawn noise."""
    with Image.open(io.BytesIO(png)) as image:
        few = image.convert("RGB").point(lambda level: 5 * round(level / 5))
        return encode(few, "PNG", optimize=True)


@contextmanager
def _models(artifacts: Path) -> Iterator[Path]:
    """The committed models, or where there are none yet those of the tests."""
    if any(artifacts.glob("*/model.json")):
        yield artifacts
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield make_artifacts(Path(folder))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("states", nargs="*", metavar="STATE", help=f"of {', '.join(STATES)}")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--artifacts", type=Path, default=CHECKOUT / "artifacts")
    parser.add_argument("--seed", type=int, default=29, help="which lesion is drawn")
    parser.add_argument("--redness", type=float, default=0.4, help="0 to 1")
    arguments = parser.parse_args()
    unknown = set(arguments.states) - set(STATES)
    if unknown:
        parser.error(f"no such state: {', '.join(sorted(unknown))}")
    arguments.states = arguments.states or list(STATES)
    return arguments


if __name__ == "__main__":
    main()
