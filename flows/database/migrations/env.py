"""Run by Alembic, on the connection that `flows.database.migrate` (or a test) put into its configuration."""

from alembic import context

from flows.database.base import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    # SQLite can roll back a change of the schema, and cannot alter a column in place.
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
