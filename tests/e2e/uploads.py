"""Ways to hand a picture to the page, as a person would."""

from __future__ import annotations

import base64
from pathlib import Path

from playwright.sync_api import FilePayload, Page

from tests.drawings import HARMLESS_REDNESS, draw_flat, draw_lesion, encode


def lesion(redness: float = HARMLESS_REDNESS, name: str = "spot.jpg") -> FilePayload:
    return jpeg(encode(draw_lesion(4, redness=redness), quality=90), name)


def no_lesion() -> FilePayload:
    return jpeg(encode(draw_flat()), "wall.jpg")


def jpeg(data: bytes, name: str) -> FilePayload:
    return {"name": name, "mimeType": "image/jpeg", "buffer": data}


def text_file() -> FilePayload:
    return {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"not a picture"}


def stored(folder: Path) -> Path:
    """A picture on the disk, which may change while the page holds it."""
    file = lesion()
    path = folder / file["name"]
    path.write_bytes(file["buffer"])
    return path


def choose(page: Page, file: FilePayload) -> None:
    page.set_input_files("#file", files=[file])


def drop(page: Page, target: str, *files: FilePayload) -> bool:
    """Returns whether the page left it to the browser."""
    return _hand_over(page, target, "drop", files)


def paste(page: Page, target: str, *files: FilePayload) -> bool:
    """Returns whether the page left it to the browser."""
    return _hand_over(page, target, "paste", files)


def analyse(page: Page) -> None:
    """Presses Analyse and waits for the answer."""
    page.click("#analyse")
    page.wait_for_selector("#answers article")


def _hand_over(page: Page, target: str, kind: str, files: tuple[FilePayload, ...]) -> bool:
    """Fires the event that the browser fires when files are dropped or pasted.

    Returns whether the page left it to the browser.
    """
    encoded = [
        {
            "name": file["name"],
            "type": file["mimeType"],
            "data": base64.b64encode(file["buffer"]).decode(),
        }
        for file in files
    ]
    is_left: bool = page.evaluate(
        """([target, kind, files]) => {
            const held = new DataTransfer();
            for (const { name, type, data } of files) {
                const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
                held.items.add(new File([bytes], name, { type }));
            }
            const options = { bubbles: true, cancelable: true };
            const event = kind === "paste"
                ? new ClipboardEvent(kind, { ...options, clipboardData: held })
                : new DragEvent(kind, { ...options, dataTransfer: held });
            return document.querySelector(target).dispatchEvent(event);
        }""",
        [target, kind, encoded],
    )
    return is_left
