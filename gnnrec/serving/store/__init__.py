"""What a service is told: users, events, new items, lists that were shown. SQLite or PostgreSQL."""

from gnnrec.serving.store.store import Event, Shown, Store, StoreError, User

__all__ = ["Event", "Shown", "Store", "StoreError", "User"]
