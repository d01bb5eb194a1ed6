"""The tables of the store, as the last migration leaves them."""

from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, Table, Text

NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only what is called INTEGER

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("attributes", Text, nullable=False),  # JSON
    Column("version", NUMBER, nullable=False),  # one more with each change of the user or its events
)
events = Table(
    "events",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),  # the order in which they came
    Column("id", Text, nullable=False, unique=True),
    Column("user", Text, nullable=False, index=True),
    Column("item", Text, nullable=False),
    Column("kind", Text, nullable=False),  # empty for the kind that is predicted
    Column("value", Float),
    Column("time", NUMBER),
    Column("fraction", Float, nullable=False),
    Column("request", Text),
)
items = Table(
    "items",
    metadata,
    Column("id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("attributes", Text, nullable=False),  # JSON
)
lists = Table(
    "lists",
    metadata,
    Column("request", Text, primary_key=True),
    Column("user", Text, index=True),
    Column("model", Text, nullable=False),
    Column("time", Float, nullable=False, index=True),
    Column("items", Text, nullable=False),  # JSON
)
models = Table(
    "models",
    metadata,
    Column("role", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("share", Float, nullable=False),
)
