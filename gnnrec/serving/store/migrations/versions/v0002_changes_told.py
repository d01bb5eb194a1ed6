"""A trigger of PostgreSQL that notifies all services of a changed user, so that no list needs a query."""

from alembic import op

revision = "0002"
down_revision = "0001"

FUNCTION = """
CREATE FUNCTION gnnrec_tell_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    PERFORM pg_notify('gnnrec_users', '0 ' || OLD.id);
  ELSE
    PERFORM pg_notify('gnnrec_users', NEW.version || ' ' || NEW.id);
  END IF;
  RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER gnnrec_tell_user AFTER INSERT OR UPDATE OR DELETE ON users
FOR EACH ROW EXECUTE FUNCTION gnnrec_tell_user()
"""


def upgrade() -> None:
    """Makes the trigger; SQLite has one service for each file, which needs none."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(FUNCTION)
        op.execute(TRIGGER)


def downgrade() -> None:
    """Drops it."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER gnnrec_tell_user ON users")
        op.execute("DROP FUNCTION gnnrec_tell_user")
