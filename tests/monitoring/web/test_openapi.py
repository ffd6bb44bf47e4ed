"""The endpoint against its own OpenAPI document, as schemathesis sees it from outside."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.database.engine import create_engine
from flows.monitoring.web.app import create_app
from flows.settings import Settings
from tests.monitoring.verdicts.seeding import seed_healthy
from tests.monitoring.web.serving import running_health


async def test_schemathesis_finds_nothing_when_all_is_healthy(sqlite_url: str, tmp_path: Path) -> None:
    engine = create_engine(sqlite_url)
    await seed_healthy(engine)
    await engine.dispose()
    check(sqlite_url, tmp_path)


@pytest.mark.parametrize("kind", ["nothing is expected to run", "the database was never migrated"])
def test_schemathesis_finds_nothing_when_the_answer_is_503(sqlite_url: str, tmp_path: Path, kind: str) -> None:
    url = sqlite_url if kind == "nothing is expected to run" else f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
    # 503 is what the document promises; to this check it is a failure of the server.
    check(url, tmp_path, "--exclude-checks=not_a_server_error")


def check(database_url: str, folder: Path, *options: str) -> None:
    """Run every check of schemathesis on a running service. Fails with its output if it finds something."""
    with running_health(Settings.model_validate({"database_url": database_url})) as base_url:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                *("run", f"{base_url}/openapi.json", "--checks=all", "--max-examples=20", "--no-color", *options),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "4 selected / 4 total" in done.stdout


def test_the_document_describes_200_and_503_of_all_that_read(sqlite_url: str) -> None:
    paths = create_app(Settings.model_validate({"database_url": sqlite_url})).openapi()["paths"]
    assert set(paths) == {"/health", "/health/scheduler", "/metrics", "/"}
    for path in ("/health/scheduler", "/metrics", "/"):
        assert set(paths[path]["get"]["responses"]) == {"200", "503"}
        assert set(paths[path]) == {"get"}
