"""Who hears the alarms as things stand: which receivers refuse them, and of which jobs people are not told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncConnection

from flows.monitoring.alarms.refusals import Refusal, explain_refusals, read_refusals
from flows.monitoring.alarms.silences import SilenceRow, active_silences, explain_silence
from flows.monitoring.verdicts.wording import listed


@dataclass(frozen=True)
class Audience:
    """The receivers that refuse, and the silences that are in force."""

    refusals: Sequence[Refusal]
    silences: Sequence[SilenceRow]

    def silence_of(self, job_name: str) -> SilenceRow | None:
        """Return the job's silence that ends last, or None if people are told of it."""
        return next((silence for silence in self.silences if silence.job_name == job_name), None)


async def read_audience(connection: AsyncConnection) -> Audience:
    """Read what is known of it, from the database alone."""
    return Audience(await read_refusals(connection), await active_silences(connection))


def explain_audience(audience: Audience, now: datetime) -> str:
    """Say who cannot be told, and of which jobs people are not told; nothing if everybody hears of everything."""
    by_words = sorted((explain_silence(silence, now), silence.job_name) for silence in audience.silences)
    silences = [
        f"{listed([name for _, name in same])}: {words}."
        for words, same in groupby(by_words, key=lambda silence: silence[0])
    ]
    return " ".join(filter(None, [explain_refusals(audience.refusals, now), *silences]))
