"""What the status flow tells the world: events, messages to the receivers, and a table in Prefect's UI."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.settings import PREFECT_UI_URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flows.database.engine import reading
from flows.monitoring.alarms.artifact import show
from flows.monitoring.alarms.audience import Audience, read_audience
from flows.monitoring.alarms.due import due_notice, was_told
from flows.monitoring.alarms.ends import server_incident_over
from flows.monitoring.alarms.events import emit, event_of, judged
from flows.monitoring.alarms.ledger import Ended, ended, note_taken, read_entries, with_ends
from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.messages import Kind, Message, Notice
from flows.monitoring.alarms.notices import paragraphs_of
from flows.monitoring.alarms.receivers import DEFAULT, names_for, receivers_of
from flows.monitoring.alarms.refusals import Refusal, note_deliveries, read_refusals
from flows.monitoring.alarms.silences import active_silences, end_acknowledgements, names_silenced
from flows.monitoring.alarms.tell import Told, tell
from flows.monitoring.jobs.registry import StoredJob, read_jobs
from flows.monitoring.verdicts.outages import last_outages
from flows.monitoring.verdicts.overall import is_silence
from flows.monitoring.verdicts.report import Report
from flows.monitoring.verdicts.stored import (
    TransitionRow,
    VerdictRow,
    mark_sent,
    note_notified,
    read_verdicts,
    transitions_noticed_since,
    unsent_transitions,
)
from flows.monitoring.verdicts.wording import clock, explain_all
from flows.monitoring.vocabulary import STATUS_FLOW, Verdict
from flows.settings import MonitoringSettings

# More changes than that at once are told in the next message.
MOST_CHANGES = 200

logger = structlog.stdlib.get_logger()


@dataclass(frozen=True)
class Published:
    """What was to be told, without what is silenced, and who hears the alarms afterwards.

    `is_told` is False if there is trouble that nobody could be told of.
    """

    notices: Sequence[Notice]
    audience: Audience
    is_told: bool


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What there is to tell, before anybody is told."""

    changes: Sequence[TransitionRow]
    verdicts: Mapping[str, VerdictRow]
    jobs: Mapping[str, StoredJob]
    notices: Mapping[str, Notice]
    silenced: set[str]
    links: Links
    routes: Mapping[str, Sequence[str]]
    """The receivers of each job."""
    refusals: Mapping[str, Refusal]
    """By the receiver's name."""
    owed: Mapping[str, Sequence[Notice]]
    """What receivers refused and another took, as it stands by now."""
    ends: Ended


async def publish(
    client: PrefectClient, engine: AsyncEngine, settings: MonitoringSettings, report: Report
) -> Published:
    """Tell what `judge` has changed, and what is due for a reminder. Safe to repeat.

    1. Read the untold changes of verdict, and the jobs whose last message is a reminder's interval ago or of which
       nobody was told or warned, because they were silenced.
    2. Emit an event for each change. Its id is the change's own, so that a repeated one is one.
    3. Leave out what is silenced, and send each receiver one message for the rest, and for what it is owed. Only what
       a receiver has taken is told; the next status flow tries the rest again. Without a receiver there is nobody to
       tell.
    4. Say that each job has been judged. Where something could not be delivered, say nothing: the server's own second
       path then goes off.
    5. Put the report into Prefect's UI.

    Raises DatabaseUnavailable. What concerns the receivers is logged and tried again by the next run; what the Prefect
    server refuses is logged.
    """
    known = await _read(engine, settings, report)
    prefix = _prefix(settings)
    await emit(client, [event_of(change, known.notices.get(change.job_name), prefix) for change in known.changes])
    notices = [notice for name, notice in known.notices.items() if name not in known.silenced]
    told = await _tell(settings, report, known, notices)
    untold = {notice.job_name for notice in notices} - told.job_names
    audience = await _note(engine, settings, report, known, told, untold)
    held_back = {*untold, STATUS_FLOW} if untold else set[str]()
    await emit(client, [judged(name, job, report) for name, job in report.jobs.items() if name not in held_back])
    await show(client, report)
    # Also where other jobs have a receiver.
    is_unheard = any(
        verdict.status == Verdict.UNHEALTHY and name not in known.silenced and not known.routes[name]
        for name, verdict in known.verdicts.items()
    )
    return Published(notices, audience, is_told=not untold and not is_unheard)


async def _read(engine: AsyncEngine, settings: MonitoringSettings, report: Report) -> _Known:
    async with engine.begin() as connection:
        await end_acknowledgements(connection)
    receivers = receivers_of(settings)
    async with reading(engine) as connection:
        changes = await unsent_transitions(connection, MOST_CHANGES)
        refusals = {each.receiver: each for each in await read_refusals(connection) if each.receiver in receivers}
        missed = await _missed(connection, refusals.values())
        verdicts = await read_verdicts(connection, retired={change.job_name for change in (*changes, *missed)})
        jobs = await read_jobs(connection)
        silenced = names_silenced(await active_silences(connection))
        links = Links(
            ui_url=(PREFECT_UI_URL.value() or "").rstrip("/"),
            deployments={name: str(job.deployment_id) for name, job in jobs.items() if job.deployment_id is not None},
        )
        routes = {
            name: names_for(receivers, _text(jobs.get(name), "owner"), _text(jobs.get(name), "severity"))
            for name in verdicts
        }
        if STATUS_FLOW in routes and DEFAULT in receivers and DEFAULT not in routes[STATUS_FLOW]:
            # The Prefect server tells the default receiver of its silence, so that one hears the end.
            routes[STATUS_FLOW].append(DEFAULT)
        unhealthy = [name for name, verdict in verdicts.items() if verdict.status == Verdict.UNHEALTHY]
        outages = await last_outages(connection, unhealthy)
        entries = await read_entries(connection, receivers)
    # With more changes than are read, the verdicts are ahead of what is told now.
    has_more = len(changes) == MOST_CHANGES
    ends: Ended = {} if has_more else ended(entries, verdicts, outages)
    heard = {name for by_job in ends.values() for name in by_job}
    notices: dict[str, Notice] = {}
    owed: dict[str, list[Notice]] = {}
    changes_of, missed_of = _by_job(changes), _by_job(missed)
    for name, verdict in verdicts.items():
        severity, outage = _text(jobs.get(name), "severity"), outages.get(name)
        own = changes_of.get(name, ())
        comes_later = has_more and not own and not was_told(verdict, outage.began if outage else verdict.status_since)
        if not comes_later and (notice := due_notice(verdict, own, outage, report, settings, links, severity)):
            notices[name] = notice
        for receiver, refusal in refusals.items():
            if receiver not in routes[name] or not was_told(verdict, refusal.since):
                continue
            own = [change for change in missed_of.get(name, ()) if change.noticed_at >= refusal.since]
            notice = due_notice(verdict, own, outage, report, settings, links, severity, is_owed=True)
            if notice is not None and (name not in silenced or notice.kind is Kind.RECOVERY):
                owed.setdefault(receiver, []).append(notice)
    # People hear of the end of what they were told of, so that no incident stays open.
    for name, notice in notices.items():
        if notice.kind is Kind.RECOVERY and (name in heard or was_told(verdicts[name], notice.since)):
            silenced.discard(name)
    return _Known(
        changes=changes,
        verdicts=verdicts,
        jobs=jobs,
        notices=notices,
        silenced=silenced,
        links=links,
        routes=routes,
        refusals=refusals,
        owed=owed,
        ends=ends,
    )


async def _missed(connection: AsyncConnection, refusals: Collection[Refusal]) -> list[TransitionRow]:
    """The changes of verdict since the first of these refusals."""
    if not refusals:
        return []
    return await transitions_noticed_since(connection, min(each.since for each in refusals), MOST_CHANGES)


def _by_job(changes: Iterable[TransitionRow]) -> dict[str, list[TransitionRow]]:
    by_job: dict[str, list[TransitionRow]] = {}
    for change in changes:
        by_job.setdefault(change.job_name, []).append(change)
    return by_job


async def _tell(settings: MonitoringSettings, report: Report, known: _Known, notices: Sequence[Notice]) -> Told:
    def compose(receiver: str, mine: Sequence[Notice], closing: str) -> Message:
        mine = with_ends(mine, known.ends.get(receiver, {}), known.notices, report, known.links)
        page = f"Status page: {settings.status_page_url}" if settings.status_page_url else "More: vibecheck status"
        refusal = known.refusals.get(receiver)
        refused = refusal and _after_refusal(refusal, report)
        over = [server_incident_over(refusal.since)] if refusal is not None and receiver == DEFAULT else []
        return Message(
            prefix=_prefix(settings),
            paragraphs=paragraphs_of(mine or over, report.at, known.links),
            closing="\n".join(filter(None, [closing, refused, explain_all(report), page])),
            notices=[*mine, *over],
        )

    receivers = receivers_of(settings)
    unheard = frozenset(notice.job_name for notice in notices if not known.routes[notice.job_name])
    if unheard:
        logger.warning("nobody_to_notify", jobs=sorted(unheard), explanation="VIBECHECK_NOTIFICATION is not set.")
    heard = [notice for notice in notices if notice.job_name not in unheard]
    owed = {name: known.owed.get(name, ()) for name in (*known.owed, *known.ends)}
    refusal = known.refusals.get(DEFAULT)
    if refusal is not None and _is_server_heard(refusal, report):
        # There may be nothing else to tell by now: the job was paused, removed or silenced.
        owed.setdefault(DEFAULT, ())
    told = await tell(receivers, known.routes, heard, compose, source=settings.installation_name(), owed=owed)
    return replace(told, job_names=told.job_names | unheard)


def _after_refusal(refusal: Refusal, report: Report) -> str:
    """What a receiver is told that has refused: also the default of what the Prefect server may have said meanwhile."""
    at = clock(refusal.since, report.at)
    text = f"This receiver has refused all messages since {at}; what it missed is told here."
    if refusal.receiver != DEFAULT or not _is_server_heard(refusal, report):
        return text
    return f"{text} The Prefect server may have said that nobody watches the jobs: only these messages were missing."


def _is_server_heard(refusal: Refusal, report: Report) -> bool:
    """Whether the Prefect server may have said that nobody watches, as alarms could not be delivered for so long."""
    status_flow = report.jobs.get(STATUS_FLOW)
    return status_flow is not None and is_silence(status_flow.expected, refusal.since, report.at)


async def _note(
    engine: AsyncEngine, settings: MonitoringSettings, report: Report, known: _Known, told: Told, untold: set[str]
) -> Audience:
    async with engine.begin() as connection:
        await mark_sent(connection, [change.id for change in known.changes if change.job_name not in untold])
        await note_notified(connection, told.job_names)
        receivers = list(receivers_of(settings))
        await note_deliveries(connection, told.outcomes, receivers, report.at)
        await note_taken(connection, told.taken, receivers)
        return await read_audience(connection)


def _prefix(settings: MonitoringSettings) -> str:
    """What subjects begin with."""
    return f"VibeCheck {settings.installation_name()}"


def _text(job: StoredJob | None, name: str) -> str | None:
    """What the job's tags say of its `owner` or `severity`."""
    value = (job.expectations or {}).get(name) if job is not None else None
    return value if isinstance(value, str) else None
