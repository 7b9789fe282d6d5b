"""The table of outcomes in a folder: whole files, what they say, and what can go wrong."""

import os
from pathlib import Path
from typing import Any

import pytest
from write_support import ATTEMPT, facts, make_job, pa

from target_liveintent.errors import StorageError
from target_liveintent.spark.outcomes import OUTCOME_SCHEMA, OutcomeTable

resource = pytest.importorskip("resource", reason="Windows has no limits of a process")


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "outcomes"


@pytest.fixture
def table(outcomes: Path) -> OutcomeTable:
    return OutcomeTable(make_job(outcomes))


def row(event_id: str, outcome: str = "delivered", **values: Any) -> dict[str, Any]:
    place = {"customer_id": "a-1b2c", "host": "conversions.liveintent.com", "stream": "orders"}
    return {**place, "pixel": 1, "event_id": event_id, "outcome": outcome, **values}


def rows(*rows: dict[str, Any]) -> Any:
    return pa.Table.from_pylist([*rows], OUTCOME_SCHEMA)


def test_any_reader_finds_the_rows_with_their_write(table: OutcomeTable, outcomes: Path) -> None:
    """They are there for any reader, with their write; an empty table can be read as well."""
    assert facts(outcomes) == []
    table.add(ATTEMPT, rows(row("1", sent_at=1_500_000), row("2", "rejected", record="{}")))
    first, second = facts(outcomes)
    assert (first["write"], first["event_id"], first["sent_at"].timestamp()) == ("run-1", "1", 1.5)
    assert (second["record"], second["sent_at"]) == ("{}", None)
    assert {path.stat().st_mode & 0o777 for path in outcomes.glob("write=*/*")} == {0o600}


def test_a_file_is_on_the_disk_before_it_appears(
    table: OutcomeTable, outcomes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut loses no facts that a reader has seen, and leaves no file that is cut off."""
    synced: list[tuple[int, list[dict[str, Any]]]] = []

    def sync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, facts(outcomes)))

    monkeypatch.setattr("target_liveintent.spark.outcomes.sync", sync)
    table.add(ATTEMPT, rows(row("1")))
    (path,) = outcomes.glob("write=run-1/*")
    assert synced == [(path.stat().st_size, [])]


def test_a_file_appears_at_once(table: OutcomeTable, outcomes: Path) -> None:
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
        table.add(ATTEMPT, rows(row("1")))
    (begun,) = (outcomes / "write=run-1").iterdir()
    begun.write_bytes(b"half")
    assert facts(outcomes) == []
    assert OutcomeTable(make_job(outcomes)).sent_before(ATTEMPT) == {}


def test_what_a_write_has_delivered(table: OutcomeTable) -> None:
    """By pixel and stream; not what others have delivered, or what was rejected.

    It is read if this partition, or another execution of the write, has rows.
    """
    own = [row("1"), row("2", pixel=2), row("3", stream="others"), row("4", "dropped")]
    table.add(ATTEMPT, rows(*own, row("5", customer_id="b-2c3d"), row("6", host="example.com")))
    table.add(ATTEMPT._replace(writes=("another",)), rows(row("7")))
    table.add(ATTEMPT._replace(partition=1), rows(row("8")))
    expected = {(1, "orders"): {"1", "8"}, (2, "orders"): {"2"}, (1, "others"): {"3"}}
    for changes, found in (
        ({}, expected),
        ({"partition": 1}, expected),
        ({"partition": 2}, {}),
        ({"partition": 2, "run_id": "run-2"}, expected),
        ({"partition": 2, "run_id": "run-2", "writes": ("nothing",)}, {}),
    ):
        assert table.sent_before(ATTEMPT._replace(**changes)) == found


def test_a_failure_of_the_table_names_the_option_and_no_address(
    table: OutcomeTable, outcomes: Path, tmp_path: Path
) -> None:
    for url in ("nope://bucket/x", "s3://"):
        with pytest.raises(StorageError, match=r"option 'outcomes_path': .* cannot be used: \w"):
            OutcomeTable(make_job(None)._replace(outcomes_path=url), create=True)
    with pytest.raises(StorageError, match="cannot be used: this machine does not find the"):
        OutcomeTable(make_job(None)._replace(outcomes_path=str(tmp_path / "there")))
    (tmp_path / "ann@example.com").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written: ") as raised:
        OutcomeTable(
            make_job(None)._replace(outcomes_path=f"{tmp_path}/ann@example.com"), create=True
        )
    assert "ann@" not in str(raised.value)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot be written: .*File too large"):
            table.add(ATTEMPT, rows(*(row(str(number)) for number in range(5_000))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert facts(outcomes) == []
