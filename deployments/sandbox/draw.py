"""Choices that look random and are not: the same key gives the same choices on every machine and in every process."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar
from uuid import UUID

T = TypeVar("T")

_WORD_BYTES = 8
_WORDS_A_DIGEST = 8


class Draw:
    """A stream of choices that depends on its key alone.

    Unlike `random.Random` and `hash`, whose results may differ between versions and processes, it is defined here.
    """

    def __init__(self, *key: object) -> None:
        self._key = "\x1f".join(str(part) for part in key).encode()
        self._words: list[int] = []
        self._digests = 0

    def _next(self) -> int:
        if not self._words:
            digest = blake2b(
                self._key, digest_size=_WORD_BYTES * _WORDS_A_DIGEST, salt=str(self._digests).encode()
            ).digest()
            self._digests += 1
            self._words = [
                int.from_bytes(digest[start : start + _WORD_BYTES]) for start in range(0, len(digest), _WORD_BYTES)
            ]
        return self._words.pop()

    def number(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both included."""
        return low + self._next() % (high - low + 1)

    def fraction(self) -> float:
        """Draw a number from 0 up to, not including, 1."""
        return self._next() / 2 ** (8 * _WORD_BYTES)

    def chance(self, probability: float) -> bool:
        """Return True in about `probability` of all cases."""
        return self.fraction() < probability

    def pick(self, pool: Sequence[T]) -> T:
        """Draw one element of a pool that is not empty."""
        return pool[self._next() % len(pool)]

    def sample(self, pool: Sequence[T], size: int) -> list[T]:
        """Draw `size` different elements, or all of them if there are fewer, in an order of its own."""
        rest = list(pool)
        return [rest.pop(self._next() % len(rest)) for _ in range(min(size, len(rest)))]

    def uuid(self) -> UUID:
        """Draw a UUID of version 5's form."""
        return UUID(int=self._next() << 64 | self._next(), version=5)
