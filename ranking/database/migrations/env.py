"""Run by Alembic: migrates on the connection, and in the transaction, that ``upgrade`` was given."""

from alembic import context

from ranking.database.monitoring_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
