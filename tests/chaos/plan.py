"""A storm as it is planned and carried out, over whatever can be disturbed. The standard library alone."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
Undo = Callable[[], object] | None


class Disturbable(Protocol):
    """An installation."""

    disturbed: set[str]
    """Whom a disturbance has now: no other one begins with it."""


Here = TypeVar("Here", bound=Disturbable)


@dataclass(frozen=True)
class Planned:
    """One disturbance: when it begins, in seconds, and for how long. `fraction` draws whom it hits, and how."""

    at: float
    what: str
    seconds: float
    fraction: float

    def of(self, candidates: Sequence[T], digits: int = 0) -> T:
        """The candidate that is drawn, by the fraction without its first `digits`."""
        return candidates[int(self.fraction * 10**digits % 1 * len(candidates))]


@dataclass(frozen=True)
class Disturbance(Generic[Here]):
    """What may be done, and to whom: `do` hits one of `targets`, and returns what it did, in words, and its undoing."""

    targets: Sequence[str]
    do: Callable[[Here, str, Planned], Awaitable[tuple[str, Undo]]]


def drawn(draw: random.Random, seconds: float, kinds: Sequence[str], apart: float = 6) -> list[Planned]:
    """The disturbances of so many seconds, `apart` seconds after each other at the most, all `kinds` equally often."""
    planned, deck, at = list[Planned](), list[str](), draw.uniform(1, 5)
    while at < seconds:
        if not deck:
            deck = sorted(kinds)
            draw.shuffle(deck)
        what, lasting = deck.pop(), draw.choice([2.0, 5.0, 10.0, 20.0, 40.0])
        planned.append(Planned(at, what, min(lasting, seconds - at), draw.random()))
        at += draw.uniform(apart / 6, apart)
    return planned


async def break_out(
    here: Here,
    disturbances: Mapping[str, Disturbance[Here]],
    planned: Sequence[Planned],
    note: Callable[[str], None],
) -> None:
    """Do what is planned, and return when the last disturbance is over. `note` hears of each as it happens."""
    disturbed = here.disturbed

    async def disturb(event: Planned) -> None:
        await asyncio.sleep(event.at)
        disturbance = disturbances[event.what]
        if not (free := [target for target in disturbance.targets if target not in disturbed]):
            note(f"{event.what}: left out, as it is disturbed already")
            return
        target = event.of(free)
        disturbed.add(target)
        what, undo = await disturbance.do(here, target, event)
        note(f"{event.what}: {what}" + (f", for {event.seconds:.0f} s" if undo else ""))
        if undo:
            await asyncio.sleep(event.seconds)
            await asyncio.to_thread(undo)
            note(f"  over: {event.what}: {what}")
        disturbed.remove(target)

    async with asyncio.TaskGroup() as group:
        for event in planned:
            group.create_task(disturb(event))
