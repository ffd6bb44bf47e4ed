"""The database's credentials in a prefect-sqlalchemy block, on a real Prefect server."""

import asyncio
import os
import sys
import traceback
from pathlib import Path

import pytest
from prefect_sqlalchemy import AsyncDriver, AsyncSqlAlchemyConnector, ConnectionComponents
from pydantic import SecretStr
from sqlalchemy import URL, make_url, text

from flows.database.engine import DatabaseUnavailable, engine_from_settings, reading
from flows.database.migrate import newest_revision, revision_of
from flows.settings import Settings
from tests.database.postgresql_server import run_statements

pytestmark = pytest.mark.end_to_end

SECRET = "sentinel-p4ssw0rd"


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # pyright: ignore[reportCallIssue, reportArgumentType]  # pydantic-settings


async def register(name: str, url: str, connect_args: dict[str, object] | None = None) -> None:
    parsed = make_url(url)
    components = ConnectionComponents(
        driver=AsyncDriver(parsed.drivername),
        username=parsed.username,
        password=None if parsed.password is None else SecretStr(parsed.password),
        host=parsed.host,
        port=parsed.port,
        database=parsed.database,
    )
    connector = AsyncSqlAlchemyConnector(connection_info=components, connect_args=connect_args)
    await connector.asave(name, overwrite=True)


@pytest.mark.usefixtures("client")
async def test_a_block_gives_an_engine_set_up_like_any_other(database_url: str) -> None:
    await register("pipeline", database_url)

    engine = await engine_from_settings(settings(database_block="pipeline"))
    try:
        assert await revision_of(engine) == newest_revision()
        setting = "PRAGMA foreign_keys" if engine.dialect.name == "sqlite" else "SHOW statement_timeout"
        async with reading(engine) as connection:
            assert (await connection.execute(text(setting))).scalar_one() in (1, "30s")
    finally:
        await engine.dispose()


@pytest.mark.usefixtures("client")
async def test_what_the_operator_put_into_the_block_wins(postgresql_url: str) -> None:
    await register("patient", postgresql_url, {"server_settings": {"application_name": "mine"}})

    engine = await engine_from_settings(settings(database_block="patient"))
    try:
        async with reading(engine) as connection:
            assert (await connection.execute(text("SHOW application_name"))).scalar_one() == "mine"
            assert (await connection.execute(text("SHOW statement_timeout"))).scalar_one() == "30s"
    finally:
        await engine.dispose()


@pytest.mark.usefixtures("client")
async def test_a_block_wins_over_an_address(sqlite_url: str, tmp_path: Path) -> None:
    await register("winner", sqlite_url)
    other = SecretStr(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}")

    engine = await engine_from_settings(settings(database_block="winner", database_url=other))
    await engine.dispose()

    assert engine.url.database == make_url(sqlite_url).database


@pytest.mark.usefixtures("client")
async def test_a_rotated_password_needs_only_a_new_value_in_the_block(
    postgresql_url: str, postgresql_address: URL
) -> None:
    def address(password: str) -> str:
        url = make_url(postgresql_url).set(username="rotating", password=password)
        return url.render_as_string(hide_password=False)

    async def revision() -> str | None:
        engine = await engine_from_settings(settings(database_block="rotating"))
        try:
            return await revision_of(engine)
        finally:
            await engine.dispose()

    run_statements(postgresql_address, "CREATE ROLE rotating LOGIN SUPERUSER PASSWORD 'before'")
    try:
        await register("rotating", address("before"))
        assert await revision() == newest_revision()

        run_statements(postgresql_address, "ALTER ROLE rotating PASSWORD 'after'")
        with pytest.raises(DatabaseUnavailable):
            await revision()
        await register("rotating", address("after"))

        # The same process, the same settings: as a worker's next run.
        assert await revision() == newest_revision()
    finally:
        run_statements(postgresql_address, "DROP ROLE rotating")


@pytest.mark.usefixtures("client")
async def test_a_block_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"block 'nowhere' could not be loaded .*VIBECHECK_DATABASE_BLOCK"):
        await engine_from_settings(settings(database_block="nowhere"))


@pytest.mark.usefixtures("client")
async def test_a_block_with_a_wrong_password_tells_it_to_nobody(postgresql_url: str) -> None:
    url = make_url(postgresql_url).set(password=SECRET).render_as_string(hide_password=False)
    await register("wrong", url)

    engine = await engine_from_settings(settings(database_block="wrong"))
    with pytest.raises(DatabaseUnavailable) as caught:
        await revision_of(engine)
    await engine.dispose()

    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_without_prefects_server_the_block_is_a_typed_error(tmp_path: Path) -> None:
    code = (
        "import asyncio\n"
        "from flows.database.engine import DatabaseUnavailable, engine_from_settings\n"
        "from flows.settings import load_settings\n"
        "try:\n"
        "    asyncio.run(engine_from_settings(load_settings()))\n"
        "except DatabaseUnavailable as error:\n"
        "    print(error)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        env={
            **os.environ,
            "PREFECT_API_URL": "http://127.0.0.1:1/api",
            "PREFECT_HOME": str(tmp_path),
            "PREFECT_CLIENT_MAX_RETRIES": "0",
            "VIBECHECK_DATABASE_BLOCK": "pipeline",
        },
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()

    assert b"block 'pipeline' could not be loaded (" in output
