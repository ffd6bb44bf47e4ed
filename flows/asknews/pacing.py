"""Spacing of requests, so that AskNews does not have to refuse them."""

from collections.abc import Awaitable, Callable


class Pacing:
    """Lets requests start at least `1 / requests_per_second` seconds apart; callers are served in order of arrival.

    `clock` gives monotonic seconds, `sleep` waits for so many.
    """

    def __init__(
        self, requests_per_second: float, *, clock: Callable[[], float], sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        self._interval = 1.0 / requests_per_second
        self._clock = clock
        self._sleep = sleep
        self._next_start = clock()

    async def wait(self) -> None:
        """Return when the caller's request may start."""
        now = self._clock()
        start = max(now, self._next_start)
        # Reserved before sleeping, so that callers that wait at the same time get different moments without a lock.
        self._next_start = start + self._interval
        if start > now:
            await self._sleep(start - now)
