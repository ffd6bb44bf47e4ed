"""What storing a page costs on PostgreSQL, with fsync: `python -m benchmarks.storing [--against CHECKOUT]`.

10, 100 and 1,000 articles of 3 kB with their links, in one transaction: new ones, and the same ones again. Each side
has a database of its own on one server:

- ours: `store_articles`, as the poll calls it, which also says what it did with each article;
- raw asyncpg: the least that stores the same rows, by the best of three ways (`executemany`; arrays with `unnest`,
  which write a row only if it differs; the same in one round trip with the links). It knows the entities' ids, compares
  no links and tells nothing. Its JSON is made with the same `json.dumps`;
- with `--against`: an earlier checkout's.
"""

import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import text

from benchmarks.sides import ROOT, Side, answer, in_turns, keep, module_of, parser, ratio, say, side, table

SIZES = (10, 100, 1_000)
NOW = datetime(2026, 9, 7, 12, tzinfo=UTC)
ENTITIES = (("Claude", "model"), ("Gemini", "model"), ("Cursor", "tool"))
RAW = {"raw executemany", "raw unnest", "raw, one round trip"}
JSON_COLUMNS = ("key_points", "entities", "classification", "keywords", "altered_fields")
ADDRESS = "BENCHMARK_DATABASE"
CLOCK = "BENCHMARK_CPU"

Rows = list[dict[str, Any]]
Links = dict[UUID, Sequence[str]]
Store = Callable[[Rows, Links], Awaitable[object]]


def main() -> None:
    """Measure, and print one table."""
    options = parser(__doc__, rounds=15)
    options.add_argument("--cpu", action="store_true", help="CPU time of client and server: for a machine that is busy")
    arguments = options.parse_args()
    if arguments.side:
        answer(Storing(raw=arguments.side if arguments.side in RAW else None).measure)
        return
    from tests.database.postgresql_server import postgresql_server, run_statements

    with postgresql_server(is_durable=True) as server, ExitStack() as stack:
        names = ["ours", *sorted(RAW), *(["before"] if arguments.against else [])]
        sides: list[Side] = []
        for number, name in enumerate(names):
            database = f"vibecheck_storing_{number}"
            run_statements(server, f"DROP DATABASE IF EXISTS {database}", f"CREATE DATABASE {database}")
            url = server.set(database=database).render_as_string(hide_password=False)
            environment = {ADDRESS: url, **({CLOCK: "1"} if arguments.cpu else {})}
            checkout = arguments.against if name == "before" else ROOT
            sides.append(stack.enter_context(side(name, __file__, checkout, environment)))
        in_turns(sides, [f"{size} {kind}" for size in SIZES for kind in ("new", "again")], arguments.rounds)
        figures = {one.name: one.figures for one in sides}
    best = {
        case: min((figures[name][case] for name in RAW), key=lambda seconds: sorted(seconds)[len(seconds) // 2])
        for case in figures["ours"]
    }
    shown = {"ours": figures["ours"], "raw asyncpg": best}
    if arguments.against:
        shown["before"] = figures["before"]
    found = table("Storing articles", "CPU seconds" if arguments.cpu else "seconds", shown)
    for size in SIZES:
        middle, least, most = ratio(figures["ours"][f"{size} again"], figures["ours"][f"{size} new"])
        found[f"{size} again / new"] = [middle, least, most]
        say(f"{size} again / new: {middle:.2f} ({least:.2f} to {most:.2f})")
    keep(arguments.json, "storing", sides, found)


class Storing:
    """One side's database, and the last rows that it stored of each size."""

    def __init__(self, raw: str | None) -> None:
        self._url = os.environ[ADDRESS]
        self._raw = raw
        self._stored: dict[str, tuple[Rows, Links]] = {}
        self._store: Store | None = None
        self._backend: int = 0

    async def measure(self, case: str) -> float:
        """Store so many articles, new ones or those of the last time, and return the seconds that it took."""
        store = self._store = self._store or await self._opened()
        size, kind = case.split()
        if kind == "new":
            rows = [article() for _ in range(int(size))]
            self._stored[size] = (
                rows,
                {row["article_id"]: ["Claude", "Cursor"][: 1 + (index % 2)] for index, row in enumerate(rows)},
            )
        rows, links = self._stored[size]
        began = self._now()
        await store(rows, links)
        return self._now() - began

    def _now(self) -> float:
        """The clock, or the CPU seconds so far of this process and of the backend that serves it."""
        if CLOCK not in os.environ:
            return time.perf_counter()
        backend = int(Path(f"/proc/{self._backend}/schedstat").read_text().split()[0])
        return time.process_time() + backend / 1e9

    async def _opened(self) -> Store:
        engines = module_of("flows.database.engine")
        engine = engines.create_engine(self._url)
        await module_of("flows.database.migrate").migrate(engine)
        seed = module_of("flows.polling.storage.entities", "flows.database.entities").seed_entities
        async with engine.begin() as connection:
            ids: dict[str, int] = await seed(connection, ENTITIES)
            self._backend = await connection.scalar(text("SELECT pg_backend_pid()"))
        if self._raw is not None:
            await engine.dispose()
            connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # it has no types
            connection = await connect(self._url.replace("+asyncpg", ""))
            self._backend = connection.get_server_pid()
            return await raw_store(connection, ids, self._raw)
        store_articles = module_of("flows.polling.storage.articles", "flows.database.articles").store_articles

        async def store(rows: Rows, links: Links) -> None:
            async with engine.begin() as connection:
                await store_articles(connection, rows, links)

        return store


async def raw_store(connection: Any, ids: dict[str, int], way: str) -> Store:
    """The way to store that writes SQL by hand."""
    types = dict(
        await connection.fetch(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 'articles'::regclass AND attnum > 0 AND NOT attisdropped"
        )
    )
    names = list(article())
    values = [name for name in names if name != "article_id"]
    columns = ", ".join(names)
    places = ", ".join(f"${number}" for number, _ in enumerate(names, 1))
    arrays = ", ".join(f"${number}::{types[name]}[]" for number, name in enumerate(names, 1))
    changes = ", ".join(f"{name} = excluded.{name}" for name in values)
    differs = " OR ".join(f"articles.{name} IS DISTINCT FROM excluded.{name}" for name in values)
    on_conflict = f"ON CONFLICT (article_id) DO UPDATE SET {changes}, changed_at = clock_timestamp()"
    upsert = f"INSERT INTO articles ({columns}) SELECT * FROM unnest({arrays}) {on_conflict} WHERE {differs}"  # noqa: S608  # our own names
    link = "INSERT INTO article_entities (article_id, entity_id) SELECT * FROM unnest(${}::uuid[], ${}::int[])"
    link += " ON CONFLICT DO NOTHING"
    both = f"WITH stored AS ({upsert}) {link.format(len(names) + 1, len(names) + 2)}"

    async def store(rows: Rows, links: Links) -> None:
        packed = [{**row, **{name: json.dumps(row[name]) for name in JSON_COLUMNS}} for row in rows]
        pairs = [(key, ids[name]) for key, mentioned in links.items() for name in mentioned]
        linked = [key for key, _ in pairs], [entity for _, entity in pairs]
        async with connection.transaction():
            if way == "raw executemany":
                await connection.executemany(
                    f"INSERT INTO articles ({columns}) VALUES ({places}) {on_conflict}",  # noqa: S608  # our own names
                    [tuple(row.values()) for row in packed],
                )
                await connection.execute(link.format(1, 2), *linked)
            elif way == "raw unnest":
                await connection.execute(upsert, *([row[name] for row in packed] for name in names))
                await connection.execute(link.format(1, 2), *linked)
            else:
                await connection.execute(both, *([row[name] for row in packed] for name in names), *linked)

    return store


def article() -> dict[str, Any]:
    """A new article of about 3 kB."""
    identifier = uuid4()
    return {
        "article_id": identifier,
        "url": f"https://news.example/{identifier}",
        "title": f"Claude and others, {identifier}",
        "english_title": None,
        "summary": "A model was released, and people wrote about it. " * 40,
        "key_points": [f"Point {number}: something happened somewhere." for number in range(20)],
        "published_at": NOW,
        "crawled_at": NOW,
        "sentiment": 0,
        "entities": {"Product": ["Claude"], "Organization": ["Anthropic"]},
        "classification": ["Technology"],
        "keywords": ["models", "tools"],
        "language": "en",
        "country": "US",
        "source_name": "Example",
        "domain": "news.example",
        "page_rank": 10,
        "image_url": None,
        "provocative": "unknown",
        "reporting_voice": "Objective",
        "bias": "None",
        "content_type": None,
        "altered_fields": [],
    }


if __name__ == "__main__":
    main()
