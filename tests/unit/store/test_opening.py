"""Opening a store that cannot be opened."""

import sqlite3
from typing import Any

import pytest
from store_support import Stores

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.run_id import new_run_id
from target_liveintent.store.database import Database
from target_liveintent.store.opening import open_for_reading, open_store


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://loader:pw-4711@db.example.com/shop?no_option=1", id="option"),
        pytest.param("postgresql://loader:pw-4711@[db.example.com/shop", id="host"),
        pytest.param("postgresql://loader:pw-4711%zz@db.example.com/shop", id="escape"),
    ],
)
def test_a_malformed_url_is_a_wrong_setting(url: str) -> None:
    """The message shows the form of a URL, and neither the user nor the password."""
    settings = Stores(url).settings()
    for opens in (
        lambda: open_store(settings.storage, new_run_id()),
        lambda: open_for_reading(settings.storage),
    ):
        with pytest.raises(ConfigurationError, match="'store' must be a path, or a URL") as info:
            opens()
        assert not [word for word in ("pw-4711", "loader:") if word in str(info.value)]
        assert info.value.__cause__ is None
        assert info.value.__suppress_context__


@pytest.mark.parametrize("dry_run", [False, True], ids=["run", "dry run"])
def test_the_database_is_closed_if_a_run_cannot_begin(
    in_file: Stores, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    """Otherwise its locks would stay until the end of the process."""
    in_file().close()
    opened: list[Any] = []

    def fail(database: Database, *_: object, **__: object) -> None:
        opened.append(database)
        raise StorageError("no answer")  # noqa: TRY003

    for method in ("transact", "ask"):
        monkeypatch.setattr(Database, method, fail)
    with pytest.raises(StorageError):
        open_store(in_file.settings(dry_run=dry_run).storage, new_run_id())
    (database,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database._db.execute("SELECT 1")  # noqa: SLF001
