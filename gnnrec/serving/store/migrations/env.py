"""What Alembic runs: the migrations, within the connection that the store hands over."""

from alembic import context

from gnnrec.serving.store.tables import metadata

if hasattr(context, "config"):  # run by Alembic, and not merely imported
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
