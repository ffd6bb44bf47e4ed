"""Other ways to poll the news, as sides of `benchmarks.whole_poll`, in an environment that has what they need.

- earlier: the design before this pipeline. An APScheduler job asks for each entity's articles by themselves, page after
  page, and stores them row by row through SQLAlchemy's ORM, each in a transaction of its own.
- dlt: its `rest_api` source with one merged query, page after page, merged into PostgreSQL by the article's id. It
  knows its tables, and remembers nothing between two polls.

Neither checks a record, counts credits, finds out which entities an article mentions (the earlier one takes the entity
that it asked for) or keeps a log. Both store the fields that the poll stores.
"""

import argparse
import importlib
import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import JSON, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.sides import answer
from benchmarks.whole_poll import ADDRESS, DATABASE, KEY, NAMES

PAGE = 10
PATH = "v1/news/search"
LISTS = ("key_points", "entities", "classification", "keywords")


class Base(DeclarativeBase):
    """The earlier design's tables."""


class Article(Base):
    """An article, as it came."""

    __tablename__ = "articles"

    article_id: Mapped[str] = mapped_column(primary_key=True)
    article_url: Mapped[str]
    title: Mapped[str]
    eng_title: Mapped[str | None]
    summary: Mapped[str]
    key_points: Mapped[list[str]] = mapped_column(JSON)
    pub_date: Mapped[str]
    crawl_date: Mapped[str] = mapped_column(index=True)
    sentiment: Mapped[int]
    entities: Mapped[dict[str, Any]] = mapped_column(JSON)
    classification: Mapped[list[str]] = mapped_column(JSON)
    keywords: Mapped[list[str]] = mapped_column(JSON)
    language: Mapped[str]
    country: Mapped[str]
    source_id: Mapped[str]
    domain_url: Mapped[str]
    page_rank: Mapped[int]
    image_url: Mapped[str | None]
    provocative: Mapped[str | None]
    reporting_voice: Mapped[str | None]
    bias: Mapped[str | None]
    content_type: Mapped[str | None]


class Link(Base):
    """Which entity an article was found for."""

    __tablename__ = "article_entities"

    article_id: Mapped[str] = mapped_column(primary_key=True)
    entity: Mapped[str] = mapped_column(primary_key=True)


FIELDS = [column.name for column in Article.__table__.columns]


def window() -> dict[str, str]:
    """What both ask for, but for names and pages: the last 24 hours."""
    now = datetime.now(UTC)
    start, end = (str(int(at.timestamp())) for at in (now - timedelta(hours=24), now))
    return {
        "query": "", "start_timestamp": start, "end_timestamp": end, "time_filter": "crawl_date",
        "return_type": "dicts", "method": "kw", "string_guarantee_op": "OR",
    }  # fmt: skip


def only_fields(item: dict[str, Any]) -> dict[str, Any]:
    """What is stored of an article."""
    return {name: item.get(name) for name in FIELDS}


def earlier(sandbox: str, database: str, names: dict[str, list[str]]) -> Callable[[], float]:
    """The earlier design's poll: a job of a scheduler that runs."""
    engine = create_engine(database)
    Base.metadata.create_all(engine)
    scheduler: Any = importlib.import_module("apscheduler.schedulers.background").BackgroundScheduler(timezone=UTC)
    scheduler.start()
    done = threading.Event()

    def job() -> None:
        with httpx.Client(base_url=sandbox, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False) as client:
            for entity, searched in names.items():
                offset, found = 0, PAGE
                while found == PAGE:
                    query = {**window(), "n_articles": PAGE, "offset": offset, "string_guarantee": searched}
                    items: list[dict[str, Any]] = client.get(PATH, params=query).raise_for_status().json()["as_dicts"]
                    for item in items:
                        store(item, entity)
                    found = len(items)
                    offset += found
        done.set()

    def store(item: dict[str, Any], entity: str) -> None:
        with Session(engine) as session, session.begin():
            if session.get(Article, item["article_id"]) is None:
                session.add(Article(**only_fields(item)))
            if session.get(Link, (item["article_id"], entity)) is None:
                session.add(Link(article_id=item["article_id"], entity=entity))

    def poll() -> float:
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE articles, article_entities"))
        done.clear()
        began = time.perf_counter()
        scheduler.add_job(job)
        if not done.wait(120):
            raise RuntimeError("The job did not end.")
        return time.perf_counter() - began

    return poll


def dlt(sandbox: str, database: str, names: dict[str, list[str]]) -> Callable[[], float]:
    """The poll as a pipeline of dlt, with its own choices but for lists, which stay JSON as everybody else has them."""
    library: Any = importlib.import_module("dlt")
    rest_api: Any = importlib.import_module("dlt.sources.rest_api")
    engine = create_engine(database)
    pipeline = library.pipeline(
        "news",
        destination=library.destinations.postgres(database.replace("+psycopg2", "")),
        dataset_name="news",
        pipelines_dir=os.environ["HOME"],
    )

    def source() -> Any:
        query = {**window(), "string_guarantee": [name for searched in names.values() for name in searched]}
        paginator = {
            "type": "offset", "limit": PAGE, "limit_param": "n_articles", "offset_param": "offset", "total_path": None,
        }  # fmt: skip
        return rest_api.rest_api_source(
            {
                "client": {"base_url": sandbox, "auth": {"type": "bearer", "token": KEY}, "paginator": paginator},
                "resource_defaults": {"primary_key": "article_id", "write_disposition": "merge"},
                "resources": [
                    {
                        "name": "articles",
                        "max_table_nesting": 0,
                        "columns": {name: {"data_type": "json"} for name in LISTS},
                        "endpoint": {"path": PATH, "params": query, "data_selector": "as_dicts"},
                        "processing_steps": [{"map": only_fields}],
                    }
                ],
            }
        )

    def poll() -> float:
        began = time.perf_counter()
        pipeline.run(source())
        return time.perf_counter() - began

    poll()

    def poll_into_empty() -> float:
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE news.articles"))
        return poll()

    return poll_into_empty


def main() -> None:
    """Be the side that is asked for."""
    options = argparse.ArgumentParser()
    options.add_argument("--side", required=True)
    make = {"earlier": earlier, "dlt": dlt}[options.parse_args().side]
    poll = make(os.environ[ADDRESS], os.environ[DATABASE], json.loads(os.environ[NAMES]))

    async def measure(_case: str) -> float:
        return poll()

    answer(measure)


if __name__ == "__main__":
    main()
