from __future__ import annotations

import threading
from pathlib import Path

import pytest

from serving.memory import Room, available_memory


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


MACHINE = {"proc/meminfo": "MemTotal:        8000000 kB\nMemFree: 1 kB\n"}


def test_without_a_limit_the_machines_memory_counts(tmp_path: Path) -> None:
    assert available_memory(write(tmp_path, MACHINE)) == 8_192_000_000


@pytest.mark.parametrize(("limit", "memory"), [("max", 8_192_000_000), ("536870912", 536_870_912)])
def test_a_limit_of_version_2_counts(tmp_path: Path, limit: str, memory: int) -> None:
    files = {"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/memory.max": f"{limit}\n"}
    assert available_memory(write(tmp_path, MACHINE | files)) == memory


def test_a_limit_of_a_group_above_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/pod/app\n",
        "sys/fs/cgroup/pod/app/memory.max": "max\n",
        "sys/fs/cgroup/pod/memory.max": "1000000\n",
    }
    assert available_memory(write(tmp_path, MACHINE | files)) == 1_000_000


@pytest.mark.parametrize(
    ("limit", "memory"), [("9223372036854771712", 8_192_000_000), ("268435456", 268_435_456)]
)
def test_a_limit_of_version_1_counts(tmp_path: Path, limit: str, memory: int) -> None:
    files = {
        "proc/self/cgroup": "5:memory:/docker/1\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{limit}\n",
    }
    assert available_memory(write(tmp_path, MACHINE | files)) == memory


def test_where_the_system_lists_nothing_the_machines_memory_counts(tmp_path: Path) -> None:
    assert available_memory(tmp_path) > 100_000_000


def test_this_machine_has_some() -> None:
    assert available_memory() > 1_000_000


def test_a_room_gives_no_more_than_it_has() -> None:
    room = Room(100)
    assert room.try_take(60)
    assert not room.try_take(41)
    assert room.try_take(40)
    room.give(60)
    assert room.used == 40


def test_whoever_finds_no_room_waits_for_it() -> None:
    room = Room(100)
    entered = threading.Event()

    def enter() -> None:
        with room.taken(80):
            entered.set()

    with room.taken(50):
        waiting = threading.Thread(target=enter)
        waiting.start()
        assert not entered.wait(0.05)
    assert entered.wait(10)
    waiting.join(10)
    assert room.used == 0


def test_a_large_one_is_not_passed_by_small_ones_for_ever() -> None:
    room = Room(100)
    order: list[str] = []

    def enter(name: str, count: int) -> None:
        with room.taken(count):
            order.append(name)

    with room.taken(50):
        large = threading.Thread(target=enter, args=("large", 100))
        large.start()
        while not room._turn.locked():
            pass
        small = threading.Thread(target=enter, args=("small", 10))
        small.start()
        small.join(0.05)
        assert order == []
    large.join(10)
    small.join(10)
    assert order == ["large", "small"]


def test_what_was_taken_is_given_back_when_the_work_fails() -> None:
    room = Room(100)
    with pytest.raises(ValueError, match="no"), room.taken(100):
        raise ValueError("no")
    assert room.used == 0
