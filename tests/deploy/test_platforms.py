from __future__ import annotations

import yaml

from serving.settings import CHECKOUT, PREFIX, Settings

LARGE = 4_000_000
"""bytes of a photograph of 12 megapixels"""

SECONDS = 1.5
"""for a progressive one, with a tenth of a core"""


def test_renders_free_plan_lets_no_more_wait_than_it_answers_in_time() -> None:
    [service] = yaml.safe_load((CHECKOUT / "render.yaml").read_text())["services"]
    variables = {each["key"]: each["value"] for each in service["envVars"]}
    fields = {name.removeprefix(PREFIX).lower() for name in variables}
    assert fields <= set(Settings.__struct_fields__)
    settings = Settings.from_environment({"RENDER": "true", **variables})
    assert settings.queue * SECONDS <= min(settings.deadline_seconds, settings.drain_seconds)
    assert settings.queue * LARGE <= settings.sent_bytes
    # One request of as many pictures as it may hold finds places behind another's.
    assert settings.queue >= settings.max_files
