"""How much is asked of the database or of Prefect at once: what grows with the jobs goes in pages."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

# Prefect's server gives no more in one answer.
PAGE = 200

T = TypeVar("T")


def pages(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the items, PAGE of them at a time."""
    for start in range(0, len(items), PAGE):
        yield items[start : start + PAGE]
