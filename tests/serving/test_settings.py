from __future__ import annotations

from pathlib import Path

import pytest

from serving import settings as module
from serving.settings import Settings, SettingsError, default_artifacts


def test_the_defaults_serve_on_this_machine_alone() -> None:
    settings = Settings.from_environment({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.workers >= 1


def test_each_variable_sets_its_field() -> None:
    settings = Settings.from_environment(
        {
            "LESIONLENS_ARTIFACTS": "/models",
            "LESIONLENS_MODEL": "cnn",
            "LESIONLENS_HOST": "0.0.0.0",
            "LESIONLENS_PORT": "81",
            "LESIONLENS_WORKERS": "3",
            "LESIONLENS_THREADS": "2",
            "LESIONLENS_MAX_BYTES": "1000",
            "LESIONLENS_MAX_PIXELS": "2000",
            "LESIONLENS_MAX_FILES": "5",
            "LESIONLENS_MAX_REQUEST_BYTES": "6000",
            "LESIONLENS_LOG_LEVEL": "warning",
            "HOME": "/somewhere",
        }
    )
    assert settings == Settings(
        artifacts=Path("/models"),
        model="cnn",
        host="0.0.0.0",
        port=81,
        workers=3,
        threads=2,
        max_bytes=1000,
        max_pixels=2000,
        max_files=5,
        max_request_bytes=6000,
        log_level="warning",
    )
    assert (settings.limits.max_bytes, settings.limits.max_pixels) == (1000, 2000)


def test_the_platforms_port_counts_where_ours_is_not_set() -> None:
    assert Settings.from_environment({"PORT": "10000"}).port == 10000
    assert Settings.from_environment({"PORT": "10000", "LESIONLENS_PORT": "81"}).port == 81


def test_an_empty_variable_is_not_set() -> None:
    assert Settings.from_environment({"LESIONLENS_PORT": "", "PORT": ""}).port == 8000


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LESIONLENS_PORT", "eighty", "Expected `int`"),
        ("LESIONLENS_PORT", "65536", "<= 65535"),
        ("PORT", "-1", ">= 0"),
        ("LESIONLENS_WORKERS", "0", ">= 1"),
        ("LESIONLENS_MAX_BYTES", "25MB", "Expected `int`"),
        ("LESIONLENS_LOG_LEVEL", "loud", "Invalid enum value"),
    ],
)
def test_a_wrong_value_is_refused_with_its_variable(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}='{value}': .*{expected}"):
        Settings.from_environment({name: value})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LESIONLENS_PROT", "LESIONLENS_PORT"),
        ("LESIONLENS_ARTEFACTS", "LESIONLENS_ARTIFACTS"),
        ("LESIONLENS_MAX_BYTE", "LESIONLENS_MAX_BYTES"),
    ],
)
def test_a_misspelt_setting_is_refused_with_what_was_meant(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is no setting. Is {meant} meant?"):
        Settings.from_environment({name: "80"})


def test_a_variable_of_training_is_passed_over() -> None:
    assert Settings.from_environment({"LESIONLENS_CACHE": "/pictures"}).port == 8000


def test_artifacts_of_the_working_directory_go_before_the_checkouts(tmp_path: Path) -> None:
    assert default_artifacts(tmp_path) == module.CHECKOUT / "artifacts"
    (tmp_path / "artifacts").mkdir()
    assert default_artifacts(tmp_path) == tmp_path / "artifacts"
