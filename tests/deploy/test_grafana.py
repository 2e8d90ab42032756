from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from serving.admission import Admission
from serving.inference import Inference
from serving.metrics import Metrics
from serving.settings import Settings
from tests.artifact_factory import make_artifacts

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana.json"


def exposed(root: Path) -> dict[str, str]:
    """The metrics that a server tells, each with its type."""
    settings = Settings(artifacts=make_artifacts(root), workers=1)
    inference = Inference(settings)
    metrics = Metrics(inference, Admission(settings, inference.workers))
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {family.name: family.type for family in families}


def test_every_panel_shows_what_the_server_tells(tmp_path: Path) -> None:
    known = exposed(tmp_path)
    endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    names = {name + end for name, kind in known.items() for end in endings[kind]}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"\b(?:lesionlens|process)_\w+", target["expr"])
    }
    assert len(panels) >= 10
    assert asked <= names
    # And nothing of ours is told that no panel shows.
    own = {n for n in known if n.startswith("lesionlens_") and not n.endswith("_created")}
    assert own == {re.sub(r"_(total|bucket|sum|count)$", "", n) for n in asked if n[0] == "l"}


def test_no_two_panels_lie_over_each_other() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
