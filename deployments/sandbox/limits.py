"""The plan's rate and concurrency limits."""

import math
import time
from collections.abc import Callable


class Limits:
    """A bucket of requests that fills up at a constant rate, and a count of requests in progress.

    Measured on the monotonic clock: rates are about the network, whatever time the news believes it is.
    """

    def __init__(
        self,
        *,
        requests_per_second: float,
        burst: int,
        concurrency: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requests_per_second = requests_per_second
        self.burst = burst
        self.concurrency = concurrency
        self.in_progress = 0
        self._monotonic = monotonic
        self._tokens = float(burst)
        self._filled_at = monotonic()

    def take(self) -> bool:
        """Count one request; False if the rate does not allow it."""
        self._fill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def retry_after(self) -> int:
        """Return the whole seconds until the next request is allowed, at least 1."""
        self._fill()
        return max(1, math.ceil((1 - self._tokens) / self.requests_per_second))

    def remaining(self) -> int:
        """Return how many requests are allowed right now."""
        self._fill()
        return int(self._tokens)

    def headers(self) -> dict[str, str]:
        """Return the documented headers."""
        return {
            "X-RateLimit-Limit": str(self.burst),
            "X-RateLimit-Remaining": str(self.remaining()),
            "X-Concurrency-Limit": str(self.concurrency),
            "X-Concurrency-Remaining": str(max(0, self.concurrency - self.in_progress)),
        }

    def _fill(self) -> None:
        now = self._monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self.requests_per_second)
        self._filled_at = now
