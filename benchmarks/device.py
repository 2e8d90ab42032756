"""How far what a browser answers on its own is from what the server answers to the same pictures.

`python -m benchmarks.device PICTURES [--artifacts DIR] [--model NAME] [--count N]` asks both about
N JPEGs drawn from the folder PICTURES and below. A graph may pass every gate of the export and
still be computed otherwise by onnxruntime-web, as mobilenet's in 8-bit integers was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from serving.settings import CHECKOUT
from tests.e2e.browser import find_chromium, launched
from tests.e2e.server import served
from tests.e2e.test_device import both, evidence, switched_on


def main() -> None:
    """Prints the differences; ends with 1 where a probability is more than 0.02 apart."""
    parser = argparse.ArgumentParser(description="The browser's answers beside the server's.")
    parser.add_argument("pictures", type=Path, help="a folder with JPEGs")
    parser.add_argument("--artifacts", type=Path, default=CHECKOUT / "artifacts")
    parser.add_argument("--model", default="mobilenet")
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1, help="which pictures are drawn")
    arguments = parser.parse_args()
    files = sorted(arguments.pictures.rglob("*.jpg"))
    if not files:
        sys.exit(f"error: no .jpg in {arguments.pictures}")
    executable = find_chromium()
    if executable is None:
        sys.exit("error: no Chromium on this machine (Debian: apt-get install chromium)")
    order = np.random.default_rng(arguments.seed).permutation(len(files))[: arguments.count]
    apart: list[float] = []
    novelty: list[float] = []
    maps: list[float] = []
    decided = 0
    with (
        launched(executable) as browser,
        served(arguments.artifacts) as address,
        switched_on(browser, address) as page,
    ):
        for i in tqdm(order, unit="picture"):
            device, server = both(
                page,
                arguments.model,
                {"name": "p.jpg", "mimeType": "image/jpeg", "buffer": files[i].read_bytes()},
            )
            probabilities = server["probabilities"]
            apart.append(max(abs(device["probabilities"][c] - p) for c, p in probabilities.items()))
            novelty.append(abs(device["novelty"] / server["novelty"] - 1))
            maps.extend(
                float(np.abs(evidence(device["heatmaps"][c]) - evidence(there)).mean())
                for c, there in server["heatmaps"].items()
            )
            said = ("prediction", "verdict", "refused", "prediction_set")
            decided += any(device[each] != server[each] for each in said)
    print(f"{len(apart)} pictures, {arguments.model} of {arguments.artifacts.name}")
    print("| difference between browser and server | median | most |")
    print("|---|---|---|")
    for name, found in {
        "any probability": apart,
        "novelty, of the server's": novelty,
        "heatmap, mean over the picture, of 1": maps,
    }.items():
        print(f"| {name} | {np.median(found):.2g} | {max(found):.2g} |")
    beyond = sum(each > 0.02 for each in apart)
    print(f"a probability more than 0.02 apart: {beyond}; decided otherwise: {decided}")
    sys.exit(1 if beyond else 0)


if __name__ == "__main__":
    main()
