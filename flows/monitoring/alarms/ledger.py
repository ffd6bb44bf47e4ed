"""What each receiver was told of and has not heard the end of.

It is kept, as the end cannot be told by the job's last change alone: an outage may come on top of a warning, the job
may get another owner, and the default receiver is told what another one refuses. Whoever was told of something hears
that it is over, and whatever incident was opened there is closed by the key that opened it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.database.base import table_of
from flows.database.upserts import insert_into
from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.messages import Kind, Notice, incident_key
from flows.monitoring.paging import pages
from flows.monitoring.tables import OpenIncident
from flows.monitoring.verdicts.outages import Outage
from flows.monitoring.verdicts.report import Report
from flows.monitoring.verdicts.stored import VerdictRow
from flows.monitoring.verdicts.wording import explain_job
from flows.monitoring.vocabulary import Verdict

_OPEN = table_of(OpenIncident)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """That a receiver was told of something. `warning` is what it was warned of, and None for an outage."""

    receiver: str
    incident: str
    job_name: str
    warning: str | None


Ended = Mapping[str, Mapping[str, Sequence[Entry]]]
"""What has ended and not been told to whom it was told of: by the receiver's name and by the job's."""


async def read_entries(connection: AsyncConnection, receivers: Collection[str]) -> list[Entry]:
    """Read what these receivers have not heard the end of."""
    columns = [_OPEN.c[field.name] for field in fields(Entry)]
    rows = await connection.execute(
        select(*columns).where(_OPEN.c.receiver.in_(receivers)).order_by(_OPEN.c.receiver, _OPEN.c.opened_at)
    )
    return [Entry(**row) for row in rows.mappings()]


async def note_taken(
    connection: AsyncConnection, taken: Mapping[str, Sequence[Notice]], configured: Collection[str]
) -> None:
    """Note what receivers have taken, by their names, and forget those that are no longer `configured`."""
    await connection.execute(delete(_OPEN).where(_OPEN.c.receiver.not_in(configured)))
    entries: list[dict[str, str | None]] = []
    for receiver, notices in taken.items():
        over: list[str] = []
        for notice in notices:
            over += notice.closes
            if notice.incident is None:
                continue
            if notice.kind is Kind.RECOVERY:
                over.append(notice.incident)
            else:
                entry = Entry(
                    receiver=receiver, incident=notice.incident, job_name=notice.job_name, warning=notice.warning
                )
                entries.append(vars(entry))
        for page in pages(over):
            await connection.execute(delete(_OPEN).where(_OPEN.c.receiver == receiver, _OPEN.c.incident.in_(page)))
    if entries:
        statement = insert_into(connection, OpenIncident).on_conflict_do_nothing(
            index_elements=["receiver", "incident"]
        )
        await connection.execute(statement, entries)


def ended(entries: Iterable[Entry], verdicts: Mapping[str, VerdictRow], outages: Mapping[str, Outage]) -> Ended:
    """Find what has ended, by the last verdict on each job and, of unhealthy ones, their outage."""
    found: dict[str, dict[str, list[Entry]]] = {}
    for entry in entries:
        name = entry.job_name
        if _is_over(entry, verdicts.get(name), outages.get(name)):
            found.setdefault(entry.receiver, {}).setdefault(name, []).append(entry)
    return found


def with_ends(
    notices: Sequence[Notice],
    ends: Mapping[str, Sequence[Entry]],
    all_notices: Mapping[str, Notice],
    report: Report,
    links: Links,
) -> list[Notice]:
    """Add to what a receiver is told the ends of what it was told before (`ends`, by the job's name).

    They come with what it is told of the same job, or else with a recovery that others are told, or in words of their
    own.
    """
    known = {notice.job_name: notice for notice in notices}
    for name, entries in ends.items():
        if name not in known:
            other = all_notices.get(name)
            known[name] = other if other and other.kind is Kind.RECOVERY else _end_of(entries[0], report, links)
        closes = [entry.incident for entry in entries if entry.incident != known[name].incident]
        known[name] = replace(known[name], closes=closes)
    return list(known.values())


def _is_over(entry: Entry, verdict: VerdictRow | None, outage: Outage | None) -> bool:
    if verdict is None:
        return True
    if verdict.status != Verdict.UNHEALTHY:
        return entry.warning is None or entry.warning != verdict.reason
    # Whether the warning still holds is seen again when the outage is over.
    began = verdict.status_since if outage is None else outage.began
    return entry.warning is None and entry.incident != incident_key(entry.job_name, began)


def _end_of(entry: Entry, report: Report, links: Links) -> Notice:
    name = entry.job_name
    job = report.jobs.get(name)
    now = "It is no longer watched." if job is None else explain_job(job, report.at)
    return Notice(
        job_name=name,
        kind=Kind.RECOVERY,
        headline=f"what was told of {name} is over",
        text=f"What was told of {name} is over. {now}",
        incident=entry.incident,
        since=report.at,
        link=links.job(name),
    )
