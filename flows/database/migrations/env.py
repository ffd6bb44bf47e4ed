"""Run by Alembic, on the connection that `flows.database.migrate` (or a test) put into its configuration."""

from alembic import context

from flows.database.base import Base
from flows.database.parts import migrating

connection = context.config.attributes["connection"]
part = context.config.attributes["part"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    version_table=part.version_table,
    # SQLite can roll back a change of the schema, and cannot alter a column in place.
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction(), migrating(context.get_context(), part):
    context.get_context().run_migrations()
