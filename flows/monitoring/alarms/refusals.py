"""Which receivers refuse the messages: since when, and why. Stored, so that whoever looks can be told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.types import utc_now
from flows.database.upserts import insert_into
from flows.monitoring.tables import AlarmReceiver
from flows.monitoring.verdicts.wording import clock

_RECEIVERS = table_of(AlarmReceiver)


@dataclass(frozen=True)
class Refusal:
    """A receiver that did not take the last message. `error` holds no address and no secret.

    What was noticed at `since` or later, it has not been told.
    """

    receiver: str
    since: datetime
    error: str


async def read_refusals(connection: AsyncConnection) -> list[Refusal]:
    """Read which receivers refuse, the one that has done so longest first."""
    statement = (
        select(_RECEIVERS.c.name, _RECEIVERS.c.failing_since, _RECEIVERS.c.error)
        .where(_RECEIVERS.c.failing_since.is_not(None))
        .order_by(_RECEIVERS.c.failing_since, _RECEIVERS.c.name)
    )
    return [Refusal(row.name, row.failing_since, row.error or "") for row in await connection.execute(statement)]


async def note_deliveries(
    connection: AsyncConnection, outcomes: Mapping[str, str | None], configured: Collection[str], judged_at: datetime
) -> None:
    """Note for each receiver that was asked why it refused, or None if it took the message.

    The message was about what was found at `judged_at`. What was known of receivers that are no longer `configured` is
    forgotten.
    """
    await connection.execute(delete(_RECEIVERS).where(_RECEIVERS.c.name.not_in(configured)))
    for name, error in outcomes.items():
        values = {
            "failing_since": None if error is None else judged_at,
            "error": error,
            **({"last_delivered_at": utc_now()} if error is None else {}),
        }
        changes = (
            values
            if error is None
            else {
                "failing_since": func.coalesce(_RECEIVERS.c.failing_since, judged_at),
                "error": error,
            }
        )
        await connection.execute(
            insert_into(connection, AlarmReceiver)
            .values(name=name, **values)
            .on_conflict_do_update(index_elements=["name"], set_=changes)
        )


def explain_refusals(refusals: Sequence[Refusal], now: datetime) -> str:
    """Say in a sentence for each who cannot be told since when, and why; nothing if everybody can."""
    return " ".join(
        f"Alarms cannot be delivered to the receiver {refusal.receiver!r} since {clock(refusal.since, now)}: "
        f"{refusal.error.rstrip('.')}."
        for refusal in refusals
    )
