"""Who may send now: a picture that is read long before a worker is free only lies in memory.

What is not read waits in the buffers of the network, and with whoever sends it.
"""

from __future__ import annotations

import asyncio
from collections import deque

PATIENCE = 2.0
"""seconds; whoever has a turn may send slowly, and must not keep the others waiting for long"""


class Turns:
    """Turns for `size` bytes at a time, or for `least` requests however large they are.

    Whoever asks first is first.
    """

    def __init__(self, size: int, least: int = 1, patience: float = PATIENCE) -> None:
        self._size = size
        self._least = least
        self._patience = patience
        self._used = 0
        self._taken = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    async def take(self, count: int) -> bool:
        """Waits for a turn of `count` bytes; tells whether there was one, to be given back.

        Whoever has lost patience may send all the same.
        """
        turn = asyncio.get_running_loop().create_future()
        waiting = (count, turn)
        self._queue.append(waiting)
        self._call()
        try:
            if not turn.done():
                await asyncio.wait((turn,), timeout=self._patience)
        except asyncio.CancelledError:
            if turn.done():
                self.give(count)
            raise
        finally:
            if not turn.done():
                self._queue.remove(waiting)
                self._call()
        return turn.done()

    def give(self, count: int) -> None:
        """Gives a turn of `count` bytes back."""
        self._used -= count
        self._taken -= 1
        self._call()

    def _call(self) -> None:
        """Calls whoever is first, as long as there is room."""
        while self._queue:
            count, turn = self._queue[0]
            if self._taken >= self._least and self._used + count > self._size:
                return
            self._queue.popleft()
            self._used += count
            self._taken += 1
            turn.set_result(None)
