"""What no message about a database shows: its user, its password, its URL."""

from __future__ import annotations

import pytest
from ledger_support import open_database

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.privacy import without_secrets


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("postgresql://bob-77:pa%2Fss-4711@127.0.0.1:1/x", {}),
        ("postgresql://127.0.0.1:1/x?user=bob-77&password=pa%2Fss-4711", {}),
        ("postgresql://127.0.0.1:1/x", {"PGUSER": "bob-77", "PGPASSWORD": "pa/ss-4711"}),
        ("postgresql://bob-77@127.0.0.1:1/pa%2Fss-4711", {"PGPASSWORD": "pa/ss-4711"}),
    ],
)
def test_a_message_shows_neither_user_nor_password(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str]
) -> None:
    """Wherever they come from; and the password is hidden in each log line from then on."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageError) as raised:
        open_database(url)
    said = str(raised.value)
    assert said.startswith("the database named in ledger_url cannot be used: ")
    assert "\n" not in said
    for secret in ("bob-77", "pa/ss-4711", "pa%2Fss-4711", url):
        assert secret not in said
    line = without_secrets("a library says pa/ss-4711 and pa%2Fss-4711")
    assert line == "a library says *** and ***"


@pytest.mark.parametrize("url", ["postgresql://%%", "postgresql://h/d?secret-4711=1", "nonsense"])
def test_a_url_that_is_none(url: str) -> None:
    """It is a wrong setting, and the message does not repeat it."""
    with pytest.raises(ConfigurationError) as raised:
        open_database(url)
    assert str(raised.value) == (
        "setting 'ledger_url' must be a URL such as postgresql://user@host/database"
    )


@pytest.mark.postgres
def test_a_transaction_that_fails_leaves_nothing_behind(ledger_url: str) -> None:
    """What could not be written goes into the next exchange, as with a file."""
    import psycopg
    from ledger_support import claim, events, unsent

    ledger = open_database(ledger_url)
    number, claimed = claim(ledger, events(3))
    ledger.end(number, claimed.mine)
    table = "liveintent_ledger_last_accepted"
    with psycopg.connect(ledger_url, autocommit=True) as database:
        database.execute(f"ALTER TABLE {table} RENAME TO away")
        with pytest.raises(StorageError, match="does not exist"):
            ledger.write()
        database.execute(f"ALTER TABLE away RENAME TO {table}")
    ledger.write()
    ledger.close()
    again = open_database(ledger_url, run_id="run-2")
    assert unsent(again, events(4)) == events(3, 4)
    again.close()


@pytest.mark.postgres
def test_expired_keys_are_removed_little_by_little(ledger_url: str) -> None:
    """With each batch, the oldest keys go, a few at a time, so that the table stops growing."""
    import psycopg
    from ledger_support import events, remember

    ledger = open_database(ledger_url)
    remember(ledger, *events(1))
    with psycopg.connect(ledger_url, autocommit=True) as database:
        database.execute(
            "INSERT INTO liveintent_ledger_accepted"
            " SELECT decode(lpad(to_hex(n), 32, '0'), 'hex') FROM generate_series(1, 500) AS n"
        )
        left = []
        for first in (1, 2, 3):
            remember(ledger, *events(first, first + 1))
            left += database.execute("SELECT count(*) FROM liveintent_ledger_accepted").fetchall()
    ledger.close()
    assert left == [(302,), (103,), (4,)]
