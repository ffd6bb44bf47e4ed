"""What the log costs a run, in CPU: `python -m benchmarks.log_cost [--against CHECKOUT]`.

The hooks that open and close a run's row on PostgreSQL, and the row that the flow itself closes between them: what
`@monitored` adds to a run of `poll_news`. Of an empty monitored flow it is the hooks alone.

- in a new process: one forked from a process that has everything imported, as a run's is. Nothing is connected yet, no
  statement was ever compiled, and what memory it touches is copied.
- again: in a process that has done it before.

CPU of the client; the events that tell Prefect of the end are thrown away. Each side has a database of its own.
"""

import asyncio
import os
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from benchmarks.sides import ROOT, Side, answer, in_turns, keep, module_of, parser, side, table

CASES = ("hooks, in a new process", "hooks, again", "hooks and outcome, in a new process", "hooks and outcome, again")
DEPLOYMENT = UUID(int=7)
REPEAT = 10
DETAILS = {"requests": 12, "pages": 11, "inserted": 7, "updated": 1, "by_entity": {"Claude": 3, "Cursor": 4}}


def main() -> None:
    """Measure, and print one table."""
    arguments = parser(__doc__, rounds=15).parse_args()
    if arguments.side:
        answer(Log().measure)
        return
    from tests.database.postgresql_server import postgresql_server, run_statements

    with postgresql_server() as server, ExitStack() as stack:
        sides = [("ours", ROOT), *([("before", arguments.against)] if arguments.against else [])]
        measured: list[Side] = []
        for number, (name, checkout) in enumerate(sides):
            database = f"vibecheck_log_cost_{number}"
            run_statements(server, f"DROP DATABASE IF EXISTS {database}", f"CREATE DATABASE {database}")
            environment = {
                "VIBECHECK_DATABASE_URL": server.set(database=database).render_as_string(hide_password=False),
                "PREFECT_API_URL": "http://127.0.0.1:9/api",
                "VIBECHECK_LOG_LEVEL": "ERROR",
            }
            measured.append(stack.enter_context(side(name, __file__, checkout, environment)))
        in_turns(measured, CASES, arguments.rounds)
        found = table("The log's cost in a run", "CPU seconds", {one.name: one.figures for one in measured})
        keep(arguments.json, "log_cost", measured, found)


class Log:
    """One side, with a database in which the job is known."""

    def __init__(self) -> None:
        from prefect import flow
        from prefect.events.clients import NullEventsClient
        from prefect.events.worker import EventsWorker

        EventsWorker.set_client_override(NullEventsClient)
        self._url = os.environ["VIBECHECK_DATABASE_URL"]
        self._engine = module_of("flows.database.engine")
        self._hooks = module_of("flows.monitoring.log.hooks")
        self._record = module_of("flows.monitoring.log.record")
        self._flow: Any = flow(name="poll_news")(work)
        # As the template does from which runs are forked.
        if (prepare := getattr(module_of("deployments.forking.template"), "prepare", None)) is not None:
            prepare()
        # In a process that ends: what is measured starts without connections.
        in_a_fork(self._prepared)

    async def measure(self, case: str) -> float:
        """Do what a run does to its row, and return the CPU seconds."""
        does_outcome = "outcome" in case
        if "new" in case:
            return in_a_fork(lambda: self._run(does_outcome))
        return in_a_fork(lambda: self._repeated(does_outcome))

    async def _prepared(self) -> float:
        """Make the tables, and let the job be known by its deployment."""
        from sqlalchemy import text

        engine = self._engine.create_engine(self._url)
        await module_of("flows.database.migrate").migrate(engine)
        async with engine.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO monitored_jobs (job_name, deployment_id, interval_seconds, schedule, since, paused, "
                    "planned_runs, status, status_since, bad_streak) "
                    "VALUES ('poll_news', :id, 900, '[]', now(), false, 4, 'healthy', now(), 0)"
                ),
                {"id": DEPLOYMENT},
            )
        await engine.dispose()
        return 0.0

    async def _repeated(self, does_outcome: bool) -> float:
        await self._run(does_outcome)
        return sum([await self._run(does_outcome) for _ in range(REPEAT)]) / REPEAT

    async def _run(self, does_outcome: bool) -> float:
        from prefect.client.schemas.objects import FlowRun
        from prefect.states import Completed, Running

        now = datetime.now(UTC)
        run = FlowRun.model_validate(
            {"id": uuid4(), "flow_id": uuid4(), "deployment_id": DEPLOYMENT, "expected_start_time": now}
        )
        began = time.process_time()
        await self._hooks.record_running(self._flow, run, Running())
        taken = time.process_time() - began
        run = run.model_copy(update={"run_count": 1, "start_time": now})
        if does_outcome:
            # A poll has an engine of its own.
            engine = self._engine.create_engine(self._url)
            async with engine.begin() as connection:
                began = time.process_time()
                closing = self._record.Closing("success", datetime.now(UTC), "flow", None, DETAILS)
                fact = self._record.Fact(run.id, "poll_news", now, 1, now, closing)
                await self._record.record(connection, fact)
                taken += time.process_time() - began
            await engine.dispose()
        began = time.process_time()
        await self._hooks.record_end(self._flow, run, Completed(data=DETAILS))
        return taken + time.process_time() - began


async def work() -> None:
    """What is monitored."""


def in_a_fork(function: Any) -> float:
    """The number that the asynchronous `function` returns in a fork of this process. Raises RuntimeError if none."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            os.write(writing, str(asyncio.run(function())).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answered:
        text = answered.read()
    os.waitpid(child, 0)
    if not text:
        raise RuntimeError("The fork ended without an answer: its last words are above.")
    return float(text)


if __name__ == "__main__":
    main()
