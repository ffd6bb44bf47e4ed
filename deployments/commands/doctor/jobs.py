"""What is on the Prefect server: work pools and their workers, deployments with their planned runs, automations."""

import asyncio
import shlex
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import WorkPoolStatus
from prefect.events.schemas.automations import Automation
from prefect.exceptions import ObjectNotFound

from deployments.commands.doctor.checks import Check, Finding, Mark, sentence
from deployments.server.automations import canonical, wanted_automations
from deployments.server.described import work_pool_names
from flows.monitoring.alarms.messages import listed
from flows.monitoring.alarms.receivers import DEFAULT, receivers_of
from flows.monitoring.jobs.deployments import LiveJob, read_live_jobs
from flows.monitoring.jobs.workers import names_in
from flows.monitoring.prefect_runs import server_now
from flows.monitoring.verdicts.wording import clock, start_worker
from flows.monitoring.vocabulary import OWNER, STATUS_FLOW
from flows.settings import Settings

APPLY = "Apply: `vibecheck apply`."


def job_checks(client: PrefectClient, settings: Settings) -> list[Check]:
    """Return the checks of what is on a server that answers."""
    reading = asyncio.ensure_future(_read(client))

    async def look_at_pools() -> Sequence[Finding]:
        jobs, _now = await asyncio.shield(reading)
        # A server may be there to be watched only: then the status flow's pool is enough.
        pools = sorted({*work_pool_names(watch_only=True), *(job.work_pool for job in jobs if job.work_pool)})
        return await asyncio.gather(*(_pool(client, pool, jobs) for pool in pools))

    async def look_at_deployments() -> Sequence[Finding]:
        return deployment_findings(*await asyncio.shield(reading))

    async def look_at_automations() -> Sequence[Finding]:
        jobs, now = await asyncio.shield(reading)
        existing = await client.read_resource_related_automations(OWNER)
        return [automations_finding(existing, settings, jobs, now)]

    return [
        Check("work pools", look_at_pools),
        Check("deployments", look_at_deployments),
        Check("automations", look_at_automations),
    ]


async def _read(client: PrefectClient) -> tuple[list[LiveJob], datetime]:
    now = await server_now(client)
    return await read_live_jobs(client, now), now


async def _pool(client: PrefectClient, name: str, jobs: Sequence[LiveJob]) -> Finding:
    subject = f"pool {name}"
    start = f"Start one: `{start_worker(name)}`."
    try:
        pool = await client.read_work_pool(name)
    except ObjectNotFound:
        return Finding(subject, Mark.FAILURE, "The server has no such work pool.", APPLY)
    if pool.is_paused:
        return Finding(
            subject,
            Mark.WARNING,
            "It is paused: no run of it starts.",
            f"Resume it: `vibecheck resume {shlex.quote(name)}`.",
        )
    if pool.status == WorkPoolStatus.NOT_READY:
        waiting = names_in(jobs, name)
        text = "No worker polls it" + (f": {listed(waiting)} cannot run." if waiting else ".")
        return Finding(subject, Mark.FAILURE, text, start)
    workers = [worker for worker in await client.read_workers_for_work_pool(name) if worker.status == "ONLINE"]
    return Finding(subject, Mark.WELL, f"{len(workers)} worker{'s' * (len(workers) != 1)} polling.")


def deployment_findings(jobs: Sequence[LiveJob], now: datetime) -> list[Finding]:
    """Say which monitored deployments there are, and whether runs of them are planned."""
    subject = "deployments"
    if not jobs:
        return [Finding(subject, Mark.FAILURE, "None is tagged `monitored`: nothing is watched.", APPLY)]
    found: list[Finding] = []
    if lacking := [job.full_name for job in jobs if job.lacks_runs]:
        to_do = "See that the server's scheduler service runs; it plans within a minute."
        found.append(Finding(subject, Mark.FAILURE, f"No run is planned of {listed(lacking)}.", to_do))
    if STATUS_FLOW not in {job.job_name for job in jobs}:
        found.append(Finding(subject, Mark.FAILURE, f"There is no {STATUS_FLOW}: nobody judges the jobs.", APPLY))
    if paused := [job.full_name for job in jobs if job.paused and job.schedule]:
        to_do = "Resume in Prefect's UI what is to run again."
        found.append(Finding(subject, Mark.WARNING, f"Paused: {listed(paused)}.", to_do))
    planned = sorted((job.next_run_at, job.full_name) for job in jobs if job.next_run_at is not None)
    if not found:
        upcoming = f"; next: {planned[0][1]} at {clock(planned[0][0], now)}" if planned else ""
        found.append(Finding(subject, Mark.WELL, f"{len(jobs)} are monitored, with planned runs{upcoming}."))
    return found


def automations_finding(
    existing: Sequence[Automation], settings: Settings, jobs: Sequence[LiveJob], now: datetime
) -> Finding:
    """Compare the server's automations with those that `vibecheck apply` would make for these jobs and settings."""
    subject = "automations"
    block_id = (_block_of(existing) or uuid4()) if DEFAULT in receivers_of(settings) else None
    wanted = {automation.name: automation for automation in wanted_automations(jobs, now, settings, block_id)}
    there = {automation.name: automation for automation in existing}
    differing = [name for name in wanted if name in there and canonical(wanted[name]) != canonical(there[name])]
    problems = [
        f"{what}: {listed(names)}"
        for what, names in (
            ("missing", [name for name in wanted if name not in there]),
            ("no longer wanted", [name for name in there if name not in wanted]),
        )
        if names
    ]
    if problems:
        return Finding(subject, Mark.FAILURE, sentence("; ".join(problems)), APPLY)
    if differing:
        # What they tell depends on where they were applied: each container is a host of another name.
        to_do = f"{APPLY} It has to have the VIBECHECK_INSTALLATION and PREFECT_UI_URL that are set here."
        return Finding(
            subject, Mark.WARNING, f"Other than `apply` would make them from here: {listed(differing)}.", to_do
        )
    if off := [name for name in wanted if not there[name].enabled]:
        text = f"Switched off by somebody: {listed(off)}."
        return Finding(subject, Mark.WARNING, text, "Switch them on in Prefect's UI if that was for a time.")
    return Finding(subject, Mark.WELL, f"{len(wanted)} are as applied.")


def _block_of(existing: Sequence[Automation]) -> UUID | None:
    """Return the block that the automations send through, if any does."""
    for automation in existing:
        for action in automation.actions:
            if (block_id := getattr(action, "block_document_id", None)) is not None:
                return block_id
    return None
