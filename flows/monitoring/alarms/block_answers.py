"""The same bound for what Prefect's own webhook block is answered: it leaves the reading to httpx, which has none."""

from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from contextvars import ContextVar

import httpx

from flows.monitoring.alarms.answers import LONGEST_ANSWER, AnswerTooLong

# Of this task alone: what Prefect's client is answered meanwhile may be longer.
_is_bounded = ContextVar("_is_bounded", default=False)
_read_any_length = httpx.Response.aiter_bytes


@contextmanager
def bounded_answers() -> Generator[None]:
    """Raise AnswerTooLong within, where an answer to this task is too long: no block can be told how to ask."""
    httpx.Response.aiter_bytes = _read
    token = _is_bounded.set(True)
    try:
        yield
    finally:
        _is_bounded.reset(token)


async def _read(self: httpx.Response, chunk_size: int | None = None) -> AsyncIterator[bytes]:
    length = 0
    async for piece in _read_any_length(self, chunk_size):
        length += len(piece)
        if _is_bounded.get() and length > LONGEST_ANSWER:
            raise AnswerTooLong
        yield piece
