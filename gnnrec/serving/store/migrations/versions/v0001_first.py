"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Makes them."""
    op.create_table(
        "users",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("version", NUMBER, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("user", sa.Text, nullable=False, index=True),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("time", NUMBER),
        sa.Column("fraction", sa.Float, nullable=False),
        sa.Column("request", sa.Text),
    )
    op.create_table(
        "items",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
    )
    op.create_table(
        "lists",
        sa.Column("request", sa.Text, primary_key=True),
        sa.Column("user", sa.Text, index=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("time", sa.Float, nullable=False, index=True),
        sa.Column("items", sa.Text, nullable=False),
    )
    op.create_table(
        "models",
        sa.Column("role", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("share", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Drops them."""
    for name in ("models", "lists", "items", "events", "users"):
        op.drop_table(name)
