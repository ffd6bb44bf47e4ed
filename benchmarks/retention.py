"""How a long past is deleted from the log: `python -m benchmarks.retention [--against CHECKOUT] [--rows N]`.

A log on PostgreSQL, with fsync, of a million rows of 1,000 jobs that are older than is kept. `delete_old_rows`, which
each run of the status flow calls once, is called until there is nothing left to delete.

- rounds: how often that is. The status flow runs every five minutes.
- longest and typical statement: how long one DELETE takes, and holds the locks on its rows; the 99th percentile too.
- all seconds: of all rounds together.

Each side has a database of its own; they take turns. The rounds of a quick machine are fewer: ours end by the clock.
"""

import asyncio
import os
import statistics
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.jobs import fill
from benchmarks.sides import ROOT, Side, answer, keep, module_of, parser, side, table

ADDRESS = "BENCHMARK_DATABASE"
KEPT_DAYS = 180
CASES = ("rounds", "typical statement, ms", "p99 of statements, ms", "longest statement, ms", "all seconds")


def main() -> None:
    """Measure, and print one table."""
    options = parser(__doc__, rounds=2)
    options.add_argument("--rows", type=int, default=1_000_000)
    arguments = options.parse_args()
    if arguments.side:
        answer(Retention().measure)
        return
    from tests.database.postgresql_server import postgresql_server, run_statements

    sides = {"ours": ROOT} | ({"before": arguments.against} if arguments.against else {})
    with postgresql_server(is_durable=True) as server, ExitStack() as stack:
        measured: list[Side] = []
        for name, checkout in sides.items():
            url = server.set(database=f"vibecheck_retention_{name}").render_as_string(hide_password=False)
            measured.append(stack.enter_context(side(name, __file__, checkout, {ADDRESS: url})))
        for number in range(arguments.rounds):
            for one in measured if number % 2 else reversed(measured):
                database = f"vibecheck_retention_{one.name}"
                run_statements(server, f"DROP DATABASE IF EXISTS {database}", f"CREATE DATABASE {database}")
                url = server.set(database=database).render_as_string(hide_password=False)
                asyncio.run(fill(url, arguments.rows, datetime.now(UTC) - timedelta(days=KEPT_DAYS + 1)))
                for case in CASES:
                    one.measure(case)
        found = table(f"Deleting {arguments.rows:,} old rows", "see above", {one.name: one.figures for one in measured})
        keep(arguments.json, "retention", measured, found)


class Retention:
    """One side, and what it measured when it was asked for the first case."""

    def __init__(self) -> None:
        self._found: dict[str, float] = {}

    async def measure(self, case: str) -> float:
        """Delete everything for the first case; answer from that for the others."""
        if case == CASES[0]:
            self._found = dict(zip(CASES, await self._deleted(), strict=True))
        return self._found[case]

    async def _deleted(self) -> tuple[float, float, float, float, float]:
        from sqlalchemy import event

        engine = module_of("flows.database.engine").create_engine(os.environ[ADDRESS])
        delete_old_rows = module_of("flows.monitoring.log.retention").delete_old_rows
        took: list[float] = []
        began_at: list[float] = []

        def before(*_arguments: Any) -> None:
            began_at.append(time.perf_counter())

        def after(_connection: object, _cursor: object, statement: str, *_rest: Any) -> None:
            seconds = time.perf_counter() - began_at.pop()
            if statement.startswith("DELETE"):
                took.append(seconds * 1000)

        event.listen(engine.sync_engine, "before_cursor_execute", before)
        event.listen(engine.sync_engine, "after_cursor_execute", after)
        rounds, began = 0, time.perf_counter()
        while await delete_old_rows(engine, KEPT_DAYS):
            rounds += 1
        seconds = time.perf_counter() - began
        await engine.dispose()
        return (
            rounds,
            statistics.median(took),
            statistics.quantiles(took, n=100, method="inclusive")[98],
            max(took),
            seconds,
        )


if __name__ == "__main__":
    main()
