"""What the doctor finds of the database."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.commands.doctor.asknews import look_at_account
from deployments.commands.doctor.clocks import clock_findings
from deployments.commands.doctor.database import database_ahead, look_at_database
from flows.database.engine import opened_engine
from flows.database.migrate import migrate, newest_revision
from flows.monitoring.log.rows import latest_success
from flows.settings import Settings
from tests.database.postgresql_server import run_statements


async def found(url: str, **changes: Any) -> tuple[str, str]:
    (finding,) = await look_at_database(Settings.model_validate({"database_url": url, **changes}))
    return finding.mark.value, finding.text


async def test_a_migrated_database_is_well_and_unchanged(database: AsyncEngine, database_url: str) -> None:
    mark, said = await found(database_url)
    assert mark == "well"
    assert f"is migrated ({newest_revision()}) and can be written." in said
    async with database.connect() as connection:
        assert await latest_success(connection, "doctor") is None
        rows = await connection.execute(text("SELECT count(*) FROM scheduler_execution_log"))
        assert rows.scalar_one() == 0


async def test_a_database_that_was_never_migrated_fails(empty_database_url: str) -> None:
    mark, said = await found(empty_database_url)
    assert mark == "failure"
    assert "was never migrated" in said or "There is no file" in said


async def test_where_only_watching_is_wanted_nobody_asks_for_a_key(empty_database_url: str) -> None:
    settings = Settings.model_validate({"database_url": empty_database_url, "asknews_api_key": None})
    async with opened_engine(settings) as engine:
        await migrate(engine, watch_only=True)
    assert await look_at_account(settings) == []
    async with opened_engine(settings) as engine:
        await migrate(engine)
    (finding,) = await look_at_account(settings)
    assert "No key is set" in finding.text


async def test_looking_makes_no_database(tmp_path: Path) -> None:
    file = tmp_path / "there" / "none.db"
    mark, said = await found(f"sqlite+aiosqlite:///{file}")
    assert (mark, said) == ("failure", f"There is no file {file} yet.")
    assert not file.parent.exists()


async def test_an_older_schema_fails_and_a_newer_one_warns(database: AsyncEngine, database_url: str) -> None:
    for revision, mark in (("0006", "failure"), ("9999", "warning")):
        async with database.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
        assert (await found(database_url))[0] == mark


async def test_a_database_that_takes_no_rows_fails(postgresql_url: str) -> None:
    name = make_url(postgresql_url).database
    run_statements(make_url(postgresql_url), f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    mark, said = await found(postgresql_url)
    assert mark == "failure"
    assert "can be read, but not written" in said
    assert "read-only transaction" in said


async def test_a_dead_database_fails_without_its_password() -> None:
    mark, said = await found("postgresql+asyncpg://user:hunter2@127.0.0.1:9/vibecheck")
    assert mark == "failure"
    assert "hunter2" not in said


async def test_the_clock_of_the_database_is_ours(database_url: str) -> None:
    ahead = await database_ahead(Settings.model_validate({"database_url": database_url}))
    assert ahead is not None
    assert abs(ahead) < timedelta(seconds=5)


def test_clocks_that_differ_are_told() -> None:
    none, second = timedelta(0), timedelta(seconds=1)
    assert clock_findings({"the database": None, "the Prefect server": None}) == []
    (well,) = clock_findings({"the database": -second, "the Prefect server": None})
    assert (well.mark, well.text) == ("well", "The database agrees with this machine.")
    (apart,) = clock_findings({"the database": none, "the Prefect server": -90 * second})
    assert apart.mark == "warning"
    assert apart.text == "Compared with this machine, the database is 0 s ahead, the Prefect server is 90 s behind."
