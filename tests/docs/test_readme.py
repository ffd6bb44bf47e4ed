"""What the README shows is what works."""

import re

from sqlalchemy.ext.asyncio import AsyncEngine

from deployments.server.environments import server_settings
from flows.settings import PROJECT_ROOT

README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")


def test_the_servers_settings_are_those_of_its_file() -> None:
    shown = re.findall(r"^export (PREFECT_SERVER_\w+)=(.+)$", README, re.MULTILINE)
    assert dict(shown) == server_settings()


async def test_the_query_about_the_week_runs(database: AsyncEngine) -> None:
    (query,) = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    if database.dialect.name == "sqlite":
        query = re.sub(r"> .* -- SQLite: (.*)", r"> \1", query)
    async with database.begin() as connection:
        assert (await connection.exec_driver_sql(query)).all() == []
