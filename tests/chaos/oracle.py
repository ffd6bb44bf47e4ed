"""What must be true when the storm is over: each promise that is not kept, in words."""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

from tests.chaos.installation import INTERVALS, Installation

# What is younger may be unfinished: a run and its retries of a page, and what is indexed late.
YOUNG_SECONDS = 60
# Status flows are further apart.
AT_ONCE_SECONDS = 5
# How a paragraph begins that tells of the end of an outage.
ENDS = re.compile(r"recovered at|was silent for|was paused|no longer|has another schedule|have recovered")
Checks = Iterable[tuple[object, str]]


async def unkept(here: Installation, since: datetime, calm_since: datetime) -> list[str]:
    """Every promise that is not kept now, of an installation that goes on running."""
    going = await here.rows("SELECT * FROM scheduler_execution_log WHERE status = 'running'")
    open_rows = [row for row in going if row["started_at"] < calm_since]
    checks = [(open_rows, f"rows are still open: {open_rows}"), *await _articles(here, since), *await _alarms(here)]
    if found := [text for is_broken, text in checks if is_broken]:
        return found
    arguments = "verify", "--since", since.isoformat(), "--grace", f"{YOUNG_SECONDS}s"
    done = await asyncio.to_thread(here.prefect.command, "deployments", *arguments, check=False)
    return [f"the log is not complete:\n{done.stdout}{done.stderr}"] if done.returncode else []


async def _articles(here: Installation, since: datetime) -> Checks:
    """Stored is what was ever offered, but for what was rejected; and what is counted is stored."""
    now = int(datetime.now(UTC).timestamp())
    window = {"start_timestamp": int(since.timestamp()), "end_timestamp": now}
    offered = await here.ask_sandbox("GET", "articles", params=window)
    stored = {str(row["article_id"]) for row in await here.rows("SELECT article_id FROM articles")}
    rejected = "\n".join(row["raw"] for row in await here.rows("SELECT raw FROM rejected_records"))
    due = [each for each in offered if each["mentions"] and each["visible_at"] < now - YOUNG_SECONDS]
    missing = [
        f"{each['title']} (crawled {now - each['crawled_at']} s ago)"
        for each in due
        if each["article_id"] not in stored and each["article_id"] not in rejected and each["title"] not in rejected
    ]
    deferred = await here.rows("SELECT * FROM deferred_pages WHERE job_name = 'poll_news'")
    (counted,) = await here.rows(
        "SELECT sum(CAST(metadata ->> 'inserted' AS integer)) AS articles FROM scheduler_execution_log"
        " WHERE job_name = 'poll_news'"
    )
    return [
        (missing, f"{len(missing)} of {len(due)} articles were offered and are not stored: {missing}"),
        ((counted["articles"] or 0) > len(stored), f"{counted['articles']} articles are counted, {len(stored)} stored"),
        (deferred, f"still deferred: {deferred}"),
    ]


async def _alarms(here: Installation) -> Checks:
    """Each outage has one end, and who was told of an outage was told of its end."""
    verdicts = await here.rows("SELECT job_name, status, reason FROM monitored_jobs WHERE status <> 'healthy'")
    changes = await here.rows("SELECT * FROM job_transitions ORDER BY id")
    untold = [row["job_name"] for row in changes if row["event_emitted_at"] is None]
    told, heard = _told(here), [each for each in here.receiver.accepted if each.path == "/alarms"]
    # A status flow that was killed before it could note what it told leaves it to the next one.
    doubled = [b.message["title"] for a, b in pairwise(heard) if a.body == b.body and b.at - a.at < AT_ONCE_SECONDS]
    checks: list[tuple[object, str]] = [
        (verdicts, f"not healthy: {verdicts}"),
        (untold, f"changes of which nobody was told: {untold}"),
        (doubled, f"told twice at once: {doubled}"),
    ]
    for job in INTERVALS:
        own = [row for row in changes if row["job_name"] == job]
        jumps = [row for last, row in pairwise(own) if last["to_status"] != row["from_status"]]
        ended = [row for row in own if row["from_status"] == "unhealthy" and row["to_status"] != "unhealthy"]
        ends = Counter(row["details"]["outage_began"] for row in ended)
        says = told[job]
        checks += [
            (jumps, f"changes of {job} that do not follow from the one before: {jumps}"),
            (ends and max(ends.values()) > 1, f"an outage of {job} ended twice: {ends}"),
            (ends and not says, f"nobody was told of the outages of {job}"),
            (says and not ENDS.search(says[-1]), f"somebody was told of an outage of {job} and not of its end: {says}"),
            (len({text for text in says if ENDS.search(text)}) > len(ends), f"ends of {job}: {ends}, told: {says}"),
        ]
    return checks


def _told(here: Installation) -> dict[str, list[str]]:
    """How the paragraphs begin that the receiver was told of each job, in order."""
    told: dict[str, list[str]] = defaultdict(list)
    for body in here.receiver.bodies:
        # The last paragraph tells how all jobs are.
        for paragraph in body.split("\n\n")[:-1]:
            heading, *others = paragraph.split("\n")
            names = next((line for line in others if line.startswith("Jobs: ")), heading)
            for job in INTERVALS:
                if re.search(rf"\b{job}\b", names):
                    told[job].append(heading)
    return told


async def left_behind(here: Installation) -> list[str]:
    """What should not be there when every process was told to stop."""
    rows = await here.rows("SELECT job_name, execution_id FROM scheduler_execution_log WHERE status = 'running'")
    connected = "SELECT state, query FROM pg_stat_activity WHERE datname = 'chaos' AND pid <> pg_backend_pid()"
    left = {
        "open rows": rows,
        "connections": await here.rows(connected),
        "processes": here.processes(),
        "steps back of the news' position": await here.rows("SELECT * FROM went_back"),
    }
    return [f"there are {what}: {which}" for what, which in left.items() if which]
