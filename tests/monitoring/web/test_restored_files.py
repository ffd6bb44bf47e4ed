"""A SQLite file that is restored under a running health app."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from flows.database.engine import create_engine
from tests.monitoring.verdicts.seeding import seed_healthy
from tests.monitoring.web.serving import asking, until


@pytest.mark.parametrize("restore", [shutil.move, shutil.copyfile], ids=["replaced", "written over"])
async def test_a_restored_file_is_read_without_a_restart(
    restore: Callable[[Path, Path], object], sqlite_url: str, tmp_path: Path
) -> None:
    file, backup = Path(str(make_url(sqlite_url).database)), tmp_path / "backup.db"
    shutil.copyfile(file, backup)
    engine = create_engine(f"sqlite+aiosqlite:///{backup}")
    await seed_healthy(engine)
    await engine.dispose()
    async with asking(sqlite_url) as client:
        await until(client, "no_jobs")
        restore(backup, file)
        await until(client, None)
