"""The scripts that make the compose file's database roles, run by a real psql against a server of their own."""

import os
import subprocess
from collections.abc import Generator

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from flows.database.engine import create_engine, reading
from flows.database.migrate import migrate
from flows.monitoring.verdicts.report import read_report
from flows.settings import PROJECT_ROOT, Settings
from tests.database.postgresql_server import postgresql_server, programs, run_statements

SCRIPTS = PROJECT_ROOT / "deployments" / "containers" / "postgres"
PASSWORDS = {f"POSTGRES_{role}_PASSWORD": f"{role}-0123456789" for role in ("PREFECT", "VIBECHECK", "HEALTH")}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Generator[URL]:
    # Roles belong to a whole server: these tests make their own.
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    with postgresql_server() as address:
        superuser = address.set(username="postgres")
        run_statements(address, f"CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '{address.password}'")
        run_statements(superuser, "ALTER ROLE vibecheck RENAME TO made_by_initdb")
        yield superuser


def run_script(server: URL, name: str) -> None:
    environment = {
        "PATH": f"{programs()}:{os.environ['PATH']}",
        "PGHOST": str(server.host),
        "PGPORT": str(server.port),
        "PGPASSWORD": str(server.password),
        "POSTGRES_USER": str(server.username),
        **PASSWORDS,
    }
    done = subprocess.run(
        ["bash", str(SCRIPTS / name)], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def address_of(server: URL, role: str, database: str = "vibecheck") -> str:
    user = {"HEALTH": "vibecheck_health"}.get(role, role.lower())
    url = server.set(username=user, password=PASSWORDS[f"POSTGRES_{role}_PASSWORD"], database=database)
    return url.render_as_string(hide_password=False)


async def test_the_health_role_reads_the_verdicts_and_writes_nothing(server: URL) -> None:
    run_script(server, "10-databases.sh")
    run_script(server, "20-health.sh")
    owner = create_engine(address_of(server, "VIBECHECK"))
    await migrate(owner)
    await owner.dispose()
    # An installation from before, or a new password: the tables are there already.
    run_script(server, "20-health.sh")

    health = create_engine(address_of(server, "HEALTH"))
    async with reading(health) as connection:
        assert (await read_report(connection, Settings())).jobs == {}
    async with health.connect() as connection:
        await connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"))
        await connection.commit()
        with pytest.raises(DBAPIError, match="permission denied"):
            await connection.execute(text("DELETE FROM scheduler_execution_log"))
    await health.dispose()


async def test_no_role_enters_the_database_of_another(server: URL) -> None:
    run_script(server, "10-databases.sh")
    run_script(server, "20-health.sh")
    for role, database in (("HEALTH", "prefect"), ("VIBECHECK", "prefect"), ("PREFECT", "vibecheck")):
        engine = create_engine(address_of(server, role, database))
        with pytest.raises(Exception, match="permission denied for database"):
            await engine.connect()
        await engine.dispose()
