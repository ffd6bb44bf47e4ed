"""Records that could not be stored: each is kept once, with a counter."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.types import utc_now
from flows.database.upserts import insert_into
from flows.polling.storage.tables import RejectedRecord


class Rejected(Protocol):
    """What is kept of a record that could not be stored; `external_id` is None where it has none."""

    @property
    def kind(self) -> str: ...
    @property
    def external_id(self) -> str | None: ...
    @property
    def reason(self) -> str: ...
    @property
    def raw(self) -> str: ...


@dataclass(frozen=True)
class RejectedRow:
    """A record that could not be stored, for callers that have no type of their own."""

    kind: str
    external_id: str | None
    reason: str
    raw: str


async def rejected_again(connection: AsyncConnection, kind: str, since: datetime) -> list[tuple[str | None, str]]:
    """Return the external id and the raw text of the records of `kind` that were rejected since then, and not once."""
    rows = await connection.execute(
        select(RejectedRecord.external_id, RejectedRecord.raw).where(
            RejectedRecord.kind == kind, RejectedRecord.last_seen_at >= since, RejectedRecord.seen_count > 1
        )
    )
    return [(external_id, raw) for external_id, raw in rows]


async def store_rejected(connection: AsyncConnection, records: Iterable[Rejected]) -> int:
    """Store `records`, or count them again with their newest reason. Return how many were never seen before.

    Two records are one if they have the same kind and external id, or, without an id, the same raw text.
    """
    by_fingerprint: dict[str, Rejected] = {}
    times: Counter[str] = Counter()
    for record in records:
        fingerprint = fingerprint_of(record)
        by_fingerprint[fingerprint] = record
        times[fingerprint] += 1
    never_seen = 0
    # One statement each, in the order of the key: they are few, and two writers then cannot deadlock.
    for fingerprint, record in sorted(by_fingerprint.items()):
        insert = insert_into(connection, RejectedRecord).values(
            fingerprint=fingerprint,
            kind=record.kind,
            external_id=record.external_id,
            reason=record.reason,
            raw=record.raw,
            seen_count=times[fingerprint],
        )
        statement = insert.on_conflict_do_update(
            index_elements=["fingerprint"],
            set_={
                "reason": insert.excluded.reason,
                "raw": insert.excluded.raw,
                "last_seen_at": utc_now(),
                "seen_count": RejectedRecord.seen_count + insert.excluded.seen_count,
            },
        )
        seen = (await connection.execute(statement.returning(RejectedRecord.seen_count))).scalar_one()
        never_seen += seen == times[fingerprint]
    return never_seen


def fingerprint_of(record: Rejected) -> str:
    """Return the key of a rejected record: a SHA-256 in hexadecimal."""
    identity = ("id", record.external_id) if record.external_id is not None else ("raw", record.raw)
    return hashlib.sha256("\x00".join((record.kind, *identity)).encode("utf-8", "surrogatepass")).hexdigest()
