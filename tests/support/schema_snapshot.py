"""What a release's code may rely on in its database, frozen: `python -m tests.support.schema_snapshot 0.1.0`.

Done once for each release, on its last commit. `tests/deployments/test_upgrades.py` holds later schemas against it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect

from flows.database.engine import create_engine
from flows.database.migrate import migrate, newest_revision
from tests.database.postgresql_server import postgresql_server, run_apart

FOLDER = Path(__file__).parent.parent / "deployments" / "releases"
BOOKKEEPING = "alembic_version"


def snapshot(connection: Connection) -> dict[str, Any]:
    """The tables with their columns and keys, in order of dependence. Types are the dialect's own names."""
    inspector = inspect(connection)
    tables: dict[str, Any] = {}
    for name, _ in inspector.get_sorted_table_and_fkc_names():
        if name is None or name == BOOKKEEPING:
            continue
        unique = [constraint["column_names"] for constraint in inspector.get_unique_constraints(name)]
        unique += [index["column_names"] for index in inspector.get_indexes(name) if index["unique"]]
        tables[name] = {
            "columns": {
                column["name"]: {
                    "type": str(column["type"]),
                    "optional": bool(column["nullable"] or column["default"] or column.get("identity")),
                }
                for column in inspector.get_columns(name)
            },
            "primary_key": inspector.get_pk_constraint(name)["constrained_columns"],
            "unique": sorted({tuple(columns) for columns in unique}),
        }
    return tables


def freeze(release: str) -> None:
    """Write the file of `release`, from a freshly migrated PostgreSQL."""

    async def write() -> None:
        engine = create_engine(address.render_as_string(hide_password=False))
        await migrate(engine)
        async with engine.connect() as connection:
            tables = await connection.run_sync(snapshot)
        await engine.dispose()
        content = {"revision": newest_revision(), "tables": tables}
        (FOLDER / f"{release}.json").write_text(json.dumps(content, indent=1) + "\n")

    with postgresql_server() as address:
        run_apart(write)


if __name__ == "__main__":
    freeze(sys.argv[1])
