"""Values come back from both databases as they went in."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, insert, select
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.clock import database_now
from flows.database.engine import reading
from flows.database.types import (
    CleanText,
    Identifier,
    Json,
    UtcDateTime,
    canonical_json,
    clean_json,
    clean_text,
    utc_now,
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(st.characters()), children, max_size=4),
    max_leaves=12,
)

things = Table(
    "things",
    MetaData(),
    Column("at", UtcDateTime),
    Column("text", CleanText),
    Column("id", Identifier),
    Column("json", Json),
)


async def stored(database: AsyncEngine, **values: Any) -> Any:
    async with database.begin() as connection:
        await connection.run_sync(things.metadata.create_all)
        await connection.execute(insert(things).values(**values))
    async with reading(database) as connection:
        return (await connection.execute(select(things))).one()


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC),
        datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=2))),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
async def test_a_moment_comes_back_as_the_same_moment_in_utc(database: AsyncEngine, moment: datetime) -> None:
    row = await stored(database, at=moment)

    assert row.at == moment
    assert row.at.utcoffset() == timedelta(0)


async def test_a_naive_datetime_is_refused(database: AsyncEngine) -> None:
    with pytest.raises(StatementError, match="A naive datetime cannot be stored"):
        await stored(database, at=datetime(2026, 9, 7))  # noqa: DTZ001  # the very mistake


async def test_moments_compare_and_sort_as_moments(database: AsyncEngine) -> None:
    noon = datetime(2026, 9, 7, 12, tzinfo=UTC)
    moments = [noon, noon + timedelta(microseconds=1), noon - timedelta(days=400), noon + timedelta(seconds=1)]
    async with database.begin() as connection:
        await connection.run_sync(things.metadata.create_all)
        await connection.execute(insert(things), [{"at": moment} for moment in moments])
        in_order = await connection.scalars(select(things.c.at).order_by(things.c.at))
        later = await connection.scalars(
            select(things.c.at).where(things.c.at > noon.astimezone(timezone(timedelta(hours=-7))))
        )

        assert in_order.all() == sorted(moments)
        assert set(later) == {moment for moment in moments if moment > noon}


async def test_a_time_of_the_databases_compares_with_one_of_ours(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await connection.run_sync(things.metadata.create_all)
        before = await database_now(connection)
        await connection.execute(insert(things).values(at=utc_now()))
        after = await database_now(connection)
        written = (await connection.scalars(select(things.c.at))).one()

        assert before <= written <= after
        assert (await connection.scalars(select(things.c.at).where(things.c.at == written))).all() == [written]
    assert abs(after - datetime.now(UTC)) < timedelta(seconds=5)


async def test_text_arrives_without_what_no_database_stores(database: AsyncEngine) -> None:
    row = await stored(database, text="a\x00b\ud800 ß 日本 😀", id=UUID(int=7), json={"k\x00": ["\x00", "\udc00"]})

    assert row.text == "ab\ufffd ß 日本 😀"
    assert row.id == UUID(int=7)
    assert row.json == {"k": ["", "\ufffd"]}


async def test_nothing_stays_nothing(database: AsyncEngine) -> None:
    assert tuple(await stored(database, at=None, text=None, id=None, json=None)) == (None, None, None, None)


async def test_an_identifier_reads_in_sql_as_prefect_shows_it(database: AsyncEngine) -> None:
    await stored(database, id=UUID(int=7))
    async with reading(database) as connection:
        shown = (await connection.exec_driver_sql("SELECT CAST(id AS TEXT) FROM things")).scalar_one()

    assert shown == "00000000-0000-0000-0000-000000000007"


@given(st.text(st.characters()))
def test_cleaned_text_can_be_encoded_and_stays_as_it_is(given_text: str) -> None:
    cleaned = clean_text(given_text)

    assert "\x00" not in cleaned
    cleaned.encode()
    assert clean_text(cleaned) == cleaned


@given(json_values)
def test_cleaned_json_survives_json_and_stays_as_it_is(value: Any) -> None:
    cleaned = clean_json(value)

    assert json.loads(json.dumps(cleaned, allow_nan=False)) == cleaned
    assert canonical_json(cleaned) == canonical_json(value)
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


def test_keys_that_differ_by_nul_alone_become_one() -> None:
    assert clean_json({"": "text", "\x00": 0}) == {"": 0}


def test_canonical_json_ignores_order_and_spelling_of_numbers() -> None:
    assert canonical_json({"b": 1.0, "a": (1, 2)}) == canonical_json({"a": [1, 2], "b": 1}) == '{"a":[1,2],"b":1}'


@pytest.mark.parametrize(
    "value",
    [
        {"big": 2**80, "small": 1e-7, "third": 1 / 3, "huge": 1e22, "zero": -0.0, "tiny": 5e-324},
        {"nan": float("nan"), "at": datetime(2026, 9, 7, tzinfo=UTC), "id": UUID(int=1)},
        [[], {}, [None, True, False, ""]],
        "text",
    ],
)
async def test_json_comes_back_as_it_was_cleaned(database: AsyncEngine, value: Any) -> None:
    row = await stored(database, json=value)

    assert canonical_json(row.json) == canonical_json(value)
    assert row.json == clean_json(value)
