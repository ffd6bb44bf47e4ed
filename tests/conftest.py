"""Databases for the tests: each test has its own, on SQLite and on PostgreSQL in turn.

Ask for `database` (an engine on a migrated database) or `database_url` (its address, for tests that start processes; in
one test both are the same database). Either makes a test run twice, once on each kind. `sqlite_url` and
`postgresql_url` are for a test that concerns one kind; `empty_database_url` is a database before its first migration.
"""

import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from hypothesis import settings
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.database.engine import create_engine
from flows.database.migrate import migrate
from flows.logs import LOGGER_NAME
from tests.database.postgresql_server import (
    OwnServer,
    drop_database,
    own_server,
    postgresql_server,
    run_apart,
    run_statements,
)

pytest_plugins = ["tests.support.leaks", "tests.support.shared_prefect"]

KINDS = ["sqlite", "postgresql"]

# A loaded machine may take longer: what a property takes is measured in benchmarks/.
settings.register_profile("vibecheck", deadline=None, max_examples=50)
# `pytest --hypothesis-profile thorough`: each week in CI, and after a change of what the properties are about.
settings.register_profile("thorough", deadline=None, max_examples=2_000)
settings.load_profile("vibecheck")

# No test may reach the Prefect server of whoever runs it, nor start one unasked: nothing listens here.
os.environ["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"
# No test speaks TLS to Prefect, whose clients would read the certificates of all public authorities, each for itself.
os.environ["PREFECT_API_SSL_CERT_FILE"] = str(Path(__file__).parent.parent / "deployments" / "forking" / "nobody.pem")

# The tests' files and databases are in memory where there is room. They make and drop thousands, and a disk's file
# system may take as long for that as all else takes. Some start programs there. A TMPDIR of yours is left alone.
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 4 * 2**30
if (
    "TMPDIR" not in os.environ
    and os.access(_MEMORY, os.W_OK)
    and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC
    and shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES
):
    os.environ["TMPDIR"] = str(_MEMORY)
    tempfile.tempdir = None

_numbers = itertools.count()

# `make test` deals file by file to its processes. The files that take longest come first, so that none waits for the
# others at the end.
_LONGEST = "overdue lost_runs up silent_processes ticks worker faults foreign_project forked_runs main_job wrong_clock"
_FIRST = [f"tests/end_to_end/test_{name}.py" for name in _LONGEST.split()]
# Far more than any of them takes, also on a machine that has much else to do: what they wait for has limits of its own.
END_TO_END_SECONDS = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the longest files to the front, other files that start servers behind them, and give all of these time."""

    def rank(item: pytest.Item) -> tuple[int, bool]:
        file = item.nodeid.split("::")[0]
        longest = _FIRST.index(file) if file in _FIRST else len(_FIRST)
        return longest, item.get_closest_marker("end_to_end") is None

    items.sort(key=rank)
    for item in items:
        if item.get_closest_marker("end_to_end"):
            item.add_marker(pytest.mark.timeout(END_TO_END_SECONDS))


@pytest.fixture(autouse=True)
def logging_of_its_own() -> None:
    """Each test begins anew: a handler that was made in another one would write to that one's standard output."""
    logging.getLogger(LOGGER_NAME).handlers.clear()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(scope="session")
def postgresql_address() -> Generator[URL, None, None]:
    """A PostgreSQL server (one for each pytest-xdist worker) on which databases may be created."""
    with postgresql_server() as address:
        yield address


@pytest.fixture(scope="session")
def postgresql_template(postgresql_address: URL) -> Generator[str, None, None]:
    """The name of a migrated database to copy."""
    with _created(postgresql_address) as url:
        _migrate(_text(url))
        assert url.database is not None
        yield url.database


@pytest.fixture(scope="session")
def own_postgresql() -> Generator[OwnServer]:
    """A PostgreSQL for tests that take every connection it has, or restart it. It keeps what it has committed."""
    with own_server(is_durable=True, connections=8) as server:
        yield server


@pytest.fixture
def own_postgresql_url(own_postgresql: OwnServer) -> Generator[str]:
    """The address of a migrated database there."""
    with _created(own_postgresql.url) as url:
        _migrate(_text(url))
        yield _text(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a migrated database to copy."""
    file = tmp_path_factory.mktemp("template") / "vibecheck.db"
    _migrate(f"sqlite+aiosqlite:///{file}")
    return file


@pytest.fixture
def postgresql_url(postgresql_address: URL, postgresql_template: str) -> Generator[str, None, None]:
    """The address of a migrated PostgreSQL database; it holds a password."""
    with _created(postgresql_address, postgresql_template) as url:
        yield _text(url)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The address of a migrated SQLite database."""
    file = tmp_path / "vibecheck.db"
    shutil.copyfile(sqlite_template, file)
    return f"sqlite+aiosqlite:///{file}"


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database, of each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[AsyncEngine, None]:
    """An engine on a migrated database, of each kind in turn."""
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def sqlite_database(sqlite_url: str) -> AsyncGenerator[AsyncEngine, None]:
    """An engine on SQLite alone, for a test of many cases whose statements others run on both kinds."""
    engine = create_engine(sqlite_url)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="module", params=KINDS)
def shared_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a migrated database of each kind in turn, for tests that only read what their file wrote."""
    if request.param == "sqlite":
        file = tmp_path_factory.mktemp("shared") / "vibecheck.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), file)
        yield f"sqlite+aiosqlite:///{file}"
    else:
        template = request.getfixturevalue("postgresql_template")
        with _created(request.getfixturevalue("postgresql_address"), template) as url:
            yield _text(url)


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str, None, None]:
    """The address of a database in which there is nothing yet, of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
    else:
        with _created(request.getfixturevalue("postgresql_address")) as url:
            yield _text(url)


@contextmanager
def _created(address: URL, template: str = "template0") -> Generator[URL, None, None]:
    name = f"vibecheck_test_{os.getpid()}_{next(_numbers)}"
    run_statements(address, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield address.set(database=name)
    finally:
        drop_database(address, name)


def _migrate(url: str) -> None:
    async def upgrade() -> None:
        engine = create_engine(url)
        await migrate(engine)
        await engine.dispose()

    run_apart(upgrade)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
