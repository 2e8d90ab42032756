from __future__ import annotations

import os
from pathlib import Path

import pytest

from serving.cores import available_cores


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == 8


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 8), ("200000 100000", 2), ("10000 100000", 1), ("250000 100000", 3)],
)
def test_a_quota_of_version_2_counts(tmp_path: Path, quota: str, cores: int) -> None:
    files = {"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpu.max": quota + "\n"}
    assert available_cores(write(tmp_path, files)) == cores


def test_a_quota_of_a_group_above_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/pod/app\n",
        "sys/fs/cgroup/pod/app/cpu.max": "max 100000\n",
        "sys/fs/cgroup/pod/cpu.max": "300000 100000\n",
    }
    assert available_cores(write(tmp_path, files)) == 3


def test_in_a_container_the_mount_is_the_group(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/../../kubepods/of-the-host\n",
        "sys/fs/cgroup/cpu.max": "50000 100000\n",
    }
    assert available_cores(write(tmp_path, files)) == 1


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("400000", 4), ("10000", 1)])
def test_a_quota_of_version_1_counts(tmp_path: Path, quota: str, cores: int) -> None:
    files = {
        "proc/self/cgroup": "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": quota + "\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }
    assert available_cores(write(tmp_path, files)) == cores


def test_what_cannot_be_understood_is_passed_over(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "nonsense\n0::/\n", "sys/fs/cgroup/cpu.max": "much 0\n"}
    assert available_cores(write(tmp_path, files)) == 8
