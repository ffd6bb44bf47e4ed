"""Requests start no closer together than allowed, by a clock that the test turns."""

import asyncio

import httpx

from tests.asknews.fakes import ask, client_of, news


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds


class Waits:
    """Notes how long each caller was told to wait, without letting time pass."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


def ok(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=news())


async def test_requests_in_a_row_start_an_interval_apart() -> None:
    clock = Clock()
    starts: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        starts.append(clock())
        return ok(request)

    async with client_of(answer, requests_per_second=2.0, clock=clock, sleep=clock.sleep) as client:
        for _number in range(4):
            await ask(client)
    assert starts == [100.0, 100.5, 101.0, 101.5]


async def test_requests_at_once_wait_for_different_moments() -> None:
    waits = Waits()
    async with client_of(ok, requests_per_second=4.0, clock=lambda: 0.0, sleep=waits.sleep) as client:
        await asyncio.gather(*(ask(client) for _number in range(4)))
    assert waits.waited == [0.25, 0.5, 0.75]


async def test_a_pause_lets_the_next_start_at_once_and_saves_no_burst() -> None:
    clock, waits = Clock(), Waits()
    async with client_of(ok, requests_per_second=1.0, clock=clock, sleep=waits.sleep) as client:
        await ask(client)
        clock.now += 60.0
        await ask(client)
        assert waits.waited == []
        await ask(client)
    assert waits.waited == [1.0]
