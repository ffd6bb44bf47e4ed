"""One answer for all who ask at about the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """The answer of a function that must not be asked by many at once.

    It is asked by one task at a time, however many wait for the answer, and not again before the answer is
    `keep_seconds` old. Nobody waits longer than `wait_seconds` after it was asked: it may go on by itself, and its
    answer then serves those who come later. The function belongs to one event loop and must not raise.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], *, keep_seconds: float, wait_seconds: float) -> None:
        self._ask = ask
        self._keep_seconds = keep_seconds
        self._wait_seconds = wait_seconds
        self._task: asyncio.Task[T] | None = None
        self._give_up_at = 0.0
        self._fresh_until = 0.0

    async def get(self) -> T:
        """Return the answer. Raises TimeoutError if it does not come in time."""
        loop = asyncio.get_running_loop()
        task = self._task
        if task is None or (task.done() and loop.time() >= self._fresh_until):
            self._give_up_at = loop.time() + self._wait_seconds
            task = self._task = loop.create_task(self._run())
        # Waits without owning: one who hangs up does not take the others' answer along.
        await asyncio.wait({task}, timeout=max(0.0, self._give_up_at - loop.time()))
        if not task.done():
            raise TimeoutError("the answer did not come in time")
        return task.result()

    async def close(self) -> None:
        """Stop asking, and wait until that is so."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> T:
        try:
            return await self._ask()
        finally:
            self._fresh_until = asyncio.get_running_loop().time() + self._keep_seconds
