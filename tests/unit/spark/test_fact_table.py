"""The table of outcomes in a folder: whole files, what they say, and what can go wrong."""

import resource
import uuid
from pathlib import Path
from typing import Any

import pytest
from write_support import ATTEMPT, facts

from target_liveintent.errors import StorageError
from target_liveintent.spark.outcomes import FactTable


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "outcomes"


@pytest.fixture
def table(outcomes: Path) -> FactTable:
    return FactTable(str(outcomes), create=True)


def row(event_id: str, outcome: str = "delivered", **values: Any) -> dict[str, Any]:
    account = {"customer_id": "a-1b2c", "host": "127.0.0.1", "pixel": 1, "stream": "orders"}
    return {**account, "event_id": event_id, "outcome": outcome, **values}


def add(table: FactTable, write: str, partition: int, *rows: dict[str, Any]) -> None:
    table.add(f"write={write}/{partition:05}-{uuid.uuid4().hex}.parquet", list(rows))


def test_rows(table: FactTable, outcomes: Path) -> None:
    """They are there for any reader, with their write; an empty table can be read as well."""
    assert facts(outcomes) == []
    add(table, "w1", 3, row("1", sent_at=1_500_000), row("2", "rejected", record="{}"))
    first, second = facts(outcomes)
    assert (first["write"], first["event_id"], first["sent_at"].timestamp()) == ("w1", "1", 1.5)
    assert (second["record"], second["sent_at"]) == ("{}", None)
    assert {path.stat().st_mode & 0o777 for path in outcomes.glob("write=*/*")} == {0o600}


def test_a_file_appears_at_once(table: FactTable, outcomes: Path) -> None:
    """A writer that is killed before the last step leaves a name that no reader looks at."""

    class Killed:
        """A file system whose process ends just before it renames a file."""

        def __init__(self, files: Any) -> None:
            self._files = files

        def __getattr__(self, name: str) -> Any:
            if name == "move":
                raise KeyboardInterrupt
            return getattr(self._files, name)

    table._files = Killed(table._files)  # noqa: SLF001
    with pytest.raises(KeyboardInterrupt):
        add(table, "w1", 0, row("1"))
    (begun,) = (outcomes / "write=w1").iterdir()
    begun.write_bytes(b"half")
    table = FactTable(str(outcomes))
    assert facts(outcomes) == []
    assert table.sent_before(ATTEMPT._replace(write="w1")) == {}


def test_what_a_write_has_delivered(table: FactTable) -> None:
    """By account, pixel and stream; not what others have delivered, or what was rejected."""
    others = [row("2", pixel=2), row("3", stream="others"), row("4", "dropped")]
    add(table, "w1", 0, row("1"), *others)
    add(table, "w1", 1, row("5", customer_id="b-2c3d"), row("6", host="api.example.com"))
    add(table, "w2", 0, row("7"))
    here = ("a-1b2c", "127.0.0.1")
    expected = {
        (*here, 1, "orders"): {"1"},
        (*here, 2, "orders"): {"2"},
        (*here, 1, "others"): {"3"},
        ("b-2c3d", "127.0.0.1", 1, "orders"): {"5"},
        ("a-1b2c", "api.example.com", 1, "orders"): {"6"},
    }
    for write, partition, is_first, found in (
        ("w1", 2, False, expected),
        ("w1", 1, True, expected),
        ("w1", 2, True, {}),
        ("w3", 0, False, {}),
    ):
        attempt = ATTEMPT._replace(write=write, partition=partition, is_first=is_first)
        assert table.sent_before(attempt) == found


def test_what_cannot_be_used(table: FactTable, outcomes: Path, tmp_path: Path) -> None:
    """The message names the option, without an address; nothing of a file that failed appears."""
    for url in ("nope://bucket/x", "s3://"):
        with pytest.raises(StorageError, match="'outcomes_path': the table of outcomes cannot be"):
            FactTable(url, create=True)
    (tmp_path / "ann@example.com").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written: ") as raised:
        FactTable(str(tmp_path / "ann@example.com"), create=True)
    assert "ann@" not in str(raised.value)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot be written: .*File too large"):
            add(table, "w1", 0, *(row(str(number)) for number in range(5_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert facts(outcomes) == []
