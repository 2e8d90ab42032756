from __future__ import annotations

import asyncio

import pytest

from serving.turns import Turns
from tests.serving.loops import PATIENCE, run


async def asked(turns: Turns, count: int) -> asyncio.Task[bool]:
    """A request for a turn that had its chance to get one."""
    task = asyncio.create_task(turns.take(count))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


def test_who_finds_no_room_waits_until_a_turn_is_given_back() -> None:
    async def scenario() -> None:
        turns = Turns(10, patience=PATIENCE)
        assert await turns.take(6)
        second = await asked(turns, 6)
        assert turns.waiting == 1
        turns.give(6)
        assert await second
        assert turns.waiting == 0

    run(scenario())


def test_turns_fill_the_room_to_its_last_byte_and_again_once_some_is_given_back() -> None:
    async def scenario() -> None:
        turns = Turns(10, patience=0.1)
        assert [await turns.take(5), await turns.take(5), await turns.take(1)] == [1, 1, 0]
        turns.give(5)
        assert await turns.take(5)

    run(scenario())


def test_whoever_waited_behind_one_that_went_away_is_called_where_there_is_room() -> None:
    async def scenario() -> None:
        turns = Turns(10, patience=1)
        assert await turns.take(6)
        large, small = await asked(turns, 10), await asked(turns, 4)
        large.cancel()
        assert await small

    run(scenario())


def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    async def scenario() -> None:
        turns = Turns(10, patience=PATIENCE)
        assert await turns.take(6)
        large, small = await asked(turns, 10), await asked(turns, 1)
        assert turns.waiting == 2
        turns.give(6)
        assert await large
        assert not small.done()
        turns.give(10)
        assert await small

    run(scenario())


def test_as_many_as_there_are_workers_have_a_turn_however_large_they_are() -> None:
    async def scenario() -> None:
        turns = Turns(10, least=2, patience=PATIENCE)
        assert await turns.take(25)
        assert await turns.take(25)
        third = await asked(turns, 1)
        assert turns.waiting == 1
        turns.give(25)
        assert await third

    run(scenario())


def test_whoever_loses_patience_goes_on_without_a_turn() -> None:
    async def scenario() -> None:
        turns = Turns(10, patience=0.01)
        assert await turns.take(10)
        assert not await turns.take(10)
        assert turns.waiting == 0
        turns.give(10)
        assert await turns.take(10)

    run(scenario())


@pytest.mark.parametrize("called_before", [False, True])
def test_whoever_goes_away_while_waiting_takes_nothing(called_before: bool) -> None:
    async def scenario() -> None:
        turns = Turns(10, patience=PATIENCE)
        assert await turns.take(10)
        gone, next_one = await asked(turns, 10), await asked(turns, 10)
        if called_before:
            turns.give(10)
            gone.cancel()
        else:
            gone.cancel()
            await asyncio.sleep(0)
            turns.give(10)
        assert await next_one
        assert gone.cancelled()
        assert turns.waiting == 0

    run(scenario())
