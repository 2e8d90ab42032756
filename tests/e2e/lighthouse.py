"""What Lighthouse says of the page, served as it is deployed: `make lighthouse`.

python -m tests.e2e.lighthouse --program .venv/.lighthouse/node_modules/.bin/lighthouse
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from serving.settings import CHECKOUT
from tests.e2e.browser import FLAGS, find_chromium
from tests.e2e.server import served

REQUIRED = 95
CATEGORIES = {
    "performance": "Performance",
    "accessibility": "Accessibility",
    "best-practices": "Best practices",
}
PAGES = ("/", "/diagnoses/mel", "/models/mobilenet")
FORMS: dict[str, list[str]] = {"phone": [], "desktop": ["--preset=desktop"]}
"""Lighthouse's own: a phone with a slow processor and connection, and a computer."""


def main() -> None:
    """Prints every score; ends with 1 where one is below `REQUIRED`."""
    parser = argparse.ArgumentParser(description="What Lighthouse says of the page.")
    parser.add_argument("--program", required=True, help="Lighthouse's command")
    parser.add_argument("--artifacts", type=Path, default=CHECKOUT / "artifacts")
    arguments = parser.parse_args()
    executable = find_chromium()
    if executable is None:
        sys.exit("error: no Chromium on this machine (Debian: apt-get install chromium)")
    print("| page | on a | " + " | ".join(CATEGORIES.values()) + " |")
    print("|---" * (2 + len(CATEGORIES)) + "|")
    below = 0
    with served(arguments.artifacts) as address:
        for path in PAGES:
            for form, options in FORMS.items():
                report = _audit(arguments.program, executable, address + path, options)
                scores = [round(100 * report["categories"][each]["score"]) for each in CATEGORIES]
                print(f"| {path} | {form} | " + " | ".join(map(str, scores)) + " |", flush=True)
                if min(scores) < REQUIRED:
                    below += 1
                    for line in _short_of(report):
                        print(f"    {line}", file=sys.stderr)
    if below:
        sys.exit(f"error: {below} of these pages score less than {REQUIRED} in something")


def _audit(program: str, executable: str, address: str, options: list[str]) -> dict[str, Any]:
    """Lighthouse's report on the page at `address`."""
    with tempfile.TemporaryDirectory() as name:
        profile, report = Path(name, "profile"), Path(name, "report.json")
        flags = ["--headless", *FLAGS, f"--user-data-dir={profile}"]
        command = [
            *(program, address, "--quiet", "--output=json", f"--output-path={report}"),
            *("--no-enable-error-reporting", f"--only-categories={','.join(CATEGORIES)}"),
            *(f"--chrome-flags={' '.join(flags)}", *options),
        ]
        subprocess.run(command, check=True, env={**os.environ, "CHROME_PATH": executable})
        found: dict[str, Any] = json.loads(report.read_text("utf-8"))
        return found


def _short_of(report: dict[str, Any]) -> list[str]:
    """The audits that cost something."""
    return [
        f"{audit['title']}: {audit.get('displayValue') or audit['score']}"
        for audit in report["audits"].values()
        if audit["score"] is not None and audit["score"] < 1
    ]


if __name__ == "__main__":
    main()
