"""One answer for all who ask at about the same time."""

import asyncio

import pytest

from flows.monitoring.web.sharing import Shared


class Source:
    """Counts how often it is asked, and answers when it may."""

    def __init__(self, *, open_at_once: bool = True) -> None:
        self.asked = 0
        self.busy = 0
        self.may_answer = asyncio.Event()
        self.answered = asyncio.Event()
        if open_at_once:
            self.may_answer.set()

    async def ask(self) -> int:
        self.asked += 1
        self.busy += 1
        assert self.busy == 1, "asked by two at once"
        try:
            await self.may_answer.wait()
        finally:
            self.busy -= 1
        self.answered.set()
        return self.asked


async def test_all_who_ask_while_it_is_computed_get_the_same_answer() -> None:
    source = Source(open_at_once=False)
    shared = Shared(source.ask, keep_seconds=0, wait_seconds=30)
    asking = [asyncio.create_task(shared.get()) for _ in range(100)]
    await asyncio.sleep(0)
    source.may_answer.set()
    assert set(await asyncio.gather(*asking)) == {1}


async def test_an_answer_is_kept_and_then_asked_for_anew() -> None:
    source = Source()
    kept = Shared(source.ask, keep_seconds=1_000, wait_seconds=30)
    assert [await kept.get(), await kept.get()] == [1, 1]
    never_kept = Shared(source.ask, keep_seconds=0, wait_seconds=30)
    assert [await never_kept.get(), await never_kept.get()] == [2, 3]


async def test_nobody_waits_for_a_late_answer_or_asks_twice() -> None:
    source = Source(open_at_once=False)
    shared = Shared(source.ask, keep_seconds=1_000, wait_seconds=0.01)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await shared.get()
    assert source.asked == 1
    source.may_answer.set()
    await source.answered.wait()
    # Late, but of use to those who come now.
    assert await shared.get() == 1


async def test_one_who_hangs_up_does_not_take_the_others_answer_along() -> None:
    source = Source(open_at_once=False)
    shared = Shared(source.ask, keep_seconds=0, wait_seconds=30)
    impatient, patient = asyncio.create_task(shared.get()), asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    impatient.cancel()
    source.may_answer.set()
    assert await patient == 1
    assert impatient.cancelled()


async def test_closing_stops_what_is_being_asked() -> None:
    source = Source(open_at_once=False)
    shared = Shared(source.ask, keep_seconds=0, wait_seconds=0.01)
    with pytest.raises(TimeoutError):
        await shared.get()
    await shared.close()
    assert source.busy == 0
