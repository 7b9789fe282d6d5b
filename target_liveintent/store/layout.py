"""The tables of the store, which `tables.sql` creates, and statements about their rows.

The SQL of a step is the same for each database. It has these placeholders:

- `?` stands for a value.
- `{now}` stands for the Unix time by the clock that all runs with this store share.
- `{sum}` stands for the name of a function like `sum` that is exact.
- `{keys}` stands for a query that returns keys of events in the column `key`.
- `{rows}`, after INSERT INTO … (…) or in IN (…), stands for the rows of the step.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

UNCOUNTED = -900
"""The value of `first_read` and `read_at` of an event that counts elsewhere: no ledger has it. An
event that has arrived and is sent once more does not arrive twice, and if its record is rejected,
is not lost."""
LAYOUT_VERSION = 3
"""The version of the layout. Increase it when a table changes."""
_SQL = pathlib.Path(__file__).with_name("tables.sql").read_text(encoding="ascii")
_IN_SQLITE = {
    "/* WITHOUT ROWID */": "WITHOUT ROWID",  # SQLite then sorts the rows by the key.
    " numeric": " text",  # SQLite has no exact numbers; `sum` reads such text as a number.
    "bigint PRIMARY KEY": "integer PRIMARY KEY",  # SQLite then sorts the rows by the number.
}

SqlRow = tuple[Any, ...]


class Step(NamedTuple):
    """A statement with its values.

    Attributes:
        sql: The statement, with the placeholders that this module's docstring explains.
        values: The values for `?`.
        rows: The rows for `{rows}`.
        types: The SQL types of the columns of `rows`.
        keys: The keys for `{keys}`, which must come after each `?` in the statement.
    """

    sql: str
    values: Sequence[Any] = ()
    rows: Sequence[SqlRow] | None = None
    types: Sequence[str] = ()
    keys: Sequence[bytes] | None = None


def creation(*, in_sqlite: bool = False) -> list[str]:
    """Return the statements that create a new store, for PostgreSQL or SQLite."""
    sql = _SQL
    if in_sqlite:
        for words, instead in _IN_SQLITE.items():
            sql = sql.replace(words, instead)
    *statements, _ = sql.split(";")
    return [*statements, f"INSERT INTO store VALUES ({LAYOUT_VERSION})"]  # noqa: S608 (a number)


class SqlTable:
    """A table of the store: its columns with their SQL types. The columns of the key come first.

    `put` does not change the `fixed` columns of an existing row.
    """

    def __init__(self, name: str, *key: str, fixed: Sequence[str] = ()) -> None:
        self._name = name
        self._fixed = {*key, *fixed}
        _, _, definition = _SQL.partition(f"CREATE TABLE {name} (\n")
        lines = definition.partition("\n)")[0].replace(",", "").splitlines()
        pairs = [line.split()[:2] for line in lines]
        self.columns = {column: kind for column, kind in pairs if column != "PRIMARY"}
        self.key = {column: self.columns[column] for column in key}

    def put(self, rows: Sequence[SqlRow]) -> Step:
        """Return the step that inserts rows, or updates the rows that have the same keys.

        No two of these rows may have the same key.
        """
        sql = f"INSERT INTO {self._name} ({', '.join(self.columns)}) {{rows}} {self._replacing}"
        return Step(sql, (), rows, list(self.columns.values()))

    def put_computed(
        self, rows: Sequence[SqlRow], further: dict[str, str], expressions: dict[str, str]
    ) -> Step:
        """Return the step that puts rows of which the database computes some columns.

        Args:
            rows: The rows, which have further columns at the end.
            further: The types of these columns, by their names.
            expressions: What a column gets in place of its value in the row, by its name. The row
                is called `given`.
        """
        given = {**self.columns, **further}
        values = [expressions.get(name, f"given.{name}") for name in self.columns]
        into = f"INSERT INTO {self._name} ({', '.join(self.columns)})"
        chosen = f"SELECT {', '.join(values)} FROM given WHERE true"  # noqa: S608 (names)
        sql = f"WITH given ({', '.join(given)}) AS ({{rows}}) {into} {chosen} {self._replacing}"
        return Step(sql, (), rows, list(given.values()))

    @property
    def _replacing(self) -> str:
        changes = [f"{name} = excluded.{name}" for name in self.columns if name not in self._fixed]
        return f"ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {', '.join(changes)}"

    def add(self, rows: Sequence[SqlRow]) -> Step:
        """Return the step that inserts the rows whose keys the table does not have yet."""
        sql = (
            f"INSERT INTO {self._name} ({', '.join(self.columns)}) {{rows}}"
            f" ON CONFLICT ({', '.join(self.key)}) DO NOTHING"
        )
        return Step(sql, (), rows, list(self.columns.values()))

    def find(self, keys: Sequence[SqlRow], columns: str) -> Step:
        """Return the step that reads some columns of the rows with these keys."""
        return self._with_keys(f"SELECT {columns} FROM", keys)

    def remove(self, keys: Sequence[SqlRow]) -> Step:
        """Return the step that deletes the rows with these keys."""
        return self._with_keys("DELETE FROM", keys)

    def _with_keys(self, action: str, keys: Sequence[SqlRow]) -> Step:
        sql = f"{action} {self._name} WHERE ({', '.join(self.key)}) IN ({{rows}})"
        return Step(sql, (), keys, list(self.key.values()))


_EVENT_COLUMNS = ("customer_id", "api_host", "stream", "event_id", "pixel_id")
RESERVATION = SqlTable("reservation", "run", "batch")
WAITING_EVENT = SqlTable("waiting", "hash")
PLACE_COUNT = SqlTable(
    "place_count",
    *("read_at", "customer_id", "api_host", "run_pixel_id", "writer", "place", "reason"),
    "currency",
)
DEAD_LETTER = SqlTable(
    "dead_letter",
    *_EVENT_COLUMNS,
    fixed=("run_pixel_id", "first_read", "first_run", "first_transaction"),
)
DELIVERED = SqlTable("delivered", *_EVENT_COLUMNS)
