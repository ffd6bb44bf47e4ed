"""Pages that are not as one expects: the sandbox sends them, off by default."""

from typing import Any

from deployments.sandbox import Fault
from deployments.sandbox.faults import FaultKind
from tests.sandbox.asking import answer, asking
from tests.support.sandbox_server import ManualClock

SEARCH = "/v1/news/search"


async def pages(kind: FaultKind | None) -> list[dict[str, Any]]:
    """The first page, and the one at the offset that it names, where both are hit."""
    faults = [] if kind is None else [Fault(kind=kind, times="forever")]
    async with asking(clock=ManualClock(), faults=faults) as client:
        first = await answer(client, SEARCH)
        return [first, await answer(client, SEARCH, {"offset": first["offset"]})]


def ids(page: dict[str, Any]) -> list[str]:
    return [article["article_id"] for article in page["as_dicts"]]


async def test_an_ignored_offset_brings_the_first_page_again() -> None:
    first, second = await pages("offset_ignored")
    assert ids(first) == ids(second)


async def test_a_short_page_is_followed_by_its_rest() -> None:
    first, second = await pages("short_page")
    assert ids(first) + ids(second) == ids((await pages(None))[0])


async def test_an_empty_page_hides_what_there_is() -> None:
    assert [ids(page) for page in await pages("empty_page")] == [[], []]


async def test_shuffled_pages_have_another_order() -> None:
    first, _ = await pages("shuffled")
    assert ids(first) != ids((await pages(None))[0])
