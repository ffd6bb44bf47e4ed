"""A record that cannot be stored is kept once, and counted."""

import asyncio
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import reading
from flows.polling.storage.rejected import RejectedRow, store_rejected
from flows.polling.storage.tables import RejectedRecord


async def store(database: AsyncEngine, *records: RejectedRow) -> int:
    async with database.begin() as connection:
        return await store_rejected(connection, records)


async def stored(database: AsyncEngine) -> list[Any]:
    async with reading(database) as connection:
        return list(await connection.execute(select(RejectedRecord.__table__).order_by(RejectedRecord.first_seen_at)))


def reject(external_id: str | None, reason: str = "bad", raw: str = "{}", kind: str = "article") -> RejectedRow:
    return RejectedRow(kind, external_id, reason, raw)


async def test_a_poison_record_is_kept_once_and_its_counter_grows(database: AsyncEngine) -> None:
    assert [await store(database, reject("a")) for _ in range(3)] == [1, 0, 0]

    (row,) = await stored(database)
    assert (row.kind, row.external_id, row.seen_count) == ("article", "a", 3)
    assert row.first_seen_at < row.last_seen_at


async def test_a_record_repeated_on_a_page_counts_each_and_is_new_once(database: AsyncEngine) -> None:
    assert await store(database, reject("a"), reject("a"), reject("b")) == 2
    assert await store(database, reject("a"), reject("c")) == 1

    assert {row.external_id: row.seen_count for row in await stored(database)} == {"a": 3, "b": 1, "c": 1}


async def test_the_newest_reason_and_raw_text_are_kept(database: AsyncEngine) -> None:
    await store(database, reject("a", "bad title", "{1}"))
    await store(database, reject("a", "bad url", "{2}"))

    (row,) = await stored(database)
    assert (row.reason, row.raw) == ("bad url", "{2}")


async def test_records_differ_by_kind_and_id_or_else_by_their_text(database: AsyncEngine) -> None:
    records = [
        reject("a"),
        reject("a", kind="story"),
        reject("", raw="a"),
        reject(None, raw="a"),
        reject(None, raw="b"),
        reject("b", raw="a"),
    ]
    assert await store(database, *records) == 6
    assert await store(database, *reversed(records)) == 0


async def test_hostile_text_is_stored(database: AsyncEngine) -> None:
    assert await store(database, reject(None, "\x00bad\ud800", '{"\x00\udfff"}')) == 1
    assert await store(database, reject(None, "\x00bad\ud800", '{"\x00\udfff"}')) == 0

    (row,) = await stored(database)
    assert (row.reason, row.raw) == ("bad\ufffd", '{"\ufffd"}')


async def test_no_record_is_no_statement(database: AsyncEngine) -> None:
    assert await store(database) == 0


async def test_several_writers_lose_no_count_and_one_calls_it_new(database: AsyncEngine) -> None:
    records = [reject(str(number)) for number in range(10)]

    new = await asyncio.gather(*(store(database, *records[::order]) for order in (1, -1, 1, -1)))

    assert sum(new) == 10
    assert {row.seen_count for row in await stored(database)} == {4}
