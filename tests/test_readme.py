"""What the README says of the settings is what the settings are."""

from __future__ import annotations

import re
from pathlib import Path

from serving.settings import PREFIX, Settings

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_every_setting_stands_in_the_table_in_its_order() -> None:
    rows = re.findall(rf"^\| `{PREFIX}(\w+)` \|", README, re.MULTILINE)
    assert rows == [name.upper() for name in Settings.__struct_fields__]


def test_numbers_in_the_table_are_the_defaults() -> None:
    defaults = Settings()
    rows = re.findall(rf"^\| `{PREFIX}(\w+)` \| `(\d+)`", README, re.MULTILINE)
    assert len(rows) > 10
    for name, value in rows:
        assert getattr(defaults, name.lower()) == float(value), name
