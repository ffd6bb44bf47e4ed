"""The clocks that ages and ticks are told by: the database's and the Prefect server's, against this machine's."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from deployments.commands.doctor.checks import Check, Finding, Mark, sentence
from deployments.commands.doctor.database import database_ahead
from deployments.commands.doctor.prefect_server import prefect_ahead
from flows.settings import Settings

SUBJECT = "clocks"
# A run is late after 60 seconds.
MOST_AHEAD = timedelta(seconds=5)


def clock_checks(settings: Settings) -> list[Check]:
    """Return the check of the clocks."""

    async def look() -> Sequence[Finding]:
        database, prefect = await asyncio.gather(database_ahead(settings), prefect_ahead())
        return clock_findings({"the database": database, "the Prefect server": prefect})

    return [Check(SUBJECT, look)]


def clock_findings(ahead: dict[str, timedelta | None]) -> list[Finding]:
    """Say how far each clock is ahead of ours; nothing of those that do not answer, whose own checks say so."""
    known = {name: difference for name, difference in ahead.items() if difference is not None}
    if not known:
        return []
    apart = max([*known.values(), timedelta(0)]) - min([*known.values(), timedelta(0)])
    names = " and ".join(known)
    if apart <= MOST_AHEAD:
        agree = "agree" if len(known) > 1 else "agrees"
        return [Finding(SUBJECT, Mark.WELL, sentence(f"{names} {agree} with this machine"))]
    told = ", ".join(
        f"{name} is {abs(difference.total_seconds()):.0f} s {'behind' if difference < timedelta(0) else 'ahead'}"
        for name, difference in known.items()
    )
    to_do = "Let all hosts follow a time server: ticks, ages and lateness are told by these clocks."
    return [Finding(SUBJECT, Mark.WARNING, f"Compared with this machine, {told}.", to_do)]
