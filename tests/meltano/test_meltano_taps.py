"""Real taps on real sources: a database whose log tells of each change, and a file of text."""

import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs_support import blocks
from mariadb_server import PASSWORD, USER, MariaDB, mariadb_running
from meltano_support import ROOT, installed, project_of
from needs import not_installed
from postgres_server import Postgres, wal2json

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

PLAIN = {
    "event_id": "str(id)",
    "event_time": "created_at",
    "email": "email",
    "source": "'web'",
    "currency": "'EUR'",
    "value": "total",
    "order_id": "str(id)",
    "__else__": "__NULL__",
}
TOLD = {
    **PLAIN,
    "event_id": "'told ' + str(id)",
    "order_id": "'deleted' if get('_sdc_deleted_at') else 'there'",
    "__source__": "public-bookings",
}
"""The same for a map of its own, which reads the column that says that a row was deleted."""
TABLE = """
CREATE TABLE bookings (
    id integer PRIMARY KEY, email text, total numeric(10, 2), created_at timestamptz
);
ALTER TABLE bookings REPLICA IDENTITY FULL;
"""  # For all columns of a deletion.
ROWS = """
INSERT INTO bookings
    SELECT n, 'buyer' || n || '@example.com', n + 0.5, now() FROM generate_series(1, 3) AS n;
"""
CHANGES = """
DELETE FROM bookings WHERE id = 2;
UPDATE bookings SET total = 9.5 WHERE id = 1;
INSERT INTO bookings VALUES (4, 'buyer4@example.com', 4.5, now());
"""


@pytest.fixture
def wal_postgres(postgres: Postgres) -> Iterator[Postgres]:
    """The server, where it has what tap-postgres reads its log with."""
    if not wal2json(postgres.programs).exists():
        pytest.skip(not_installed("PostgreSQL's plugin wal2json"))
    yield postgres
    postgres.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@pytest.mark.postgres
def test_the_log_of_postgres(
    wal_postgres: Postgres, account: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    """New and changed rows arrive; a deleted one does not, unless the map reads that it is."""
    slot = "SELECT pg_create_logical_replication_slot('tappostgres', 'wal2json')"
    for statements in (TABLE, slot, ROWS):  # (The slot begins in a transaction of its own.)
        wal_postgres.sql(statements)
    config = {
        "host": "127.0.0.1",
        "user": "tester",
        "port": int(wal_postgres.port),
        "password": "not used",
        "database": "postgres",
        "filter_schemas": ["public"],
        "replication_idle_exit_seconds": 1,
    }
    tap = {
        "name": "tap-postgres",
        "executable": str(
            installed(tmp_path / "tap", "tap-postgres", "meltanolabs-tap-postgres==0.10.0")
        ),
        "capabilities": ["catalog", "discover", "state"],
        "select": ["public-bookings.*"],
        # Without the key, the tap forgets how far it has read.
        "metadata": {
            "public-bookings": {"replication-method": "LOG_BASED", "replication-key": "_sdc_lsn"}
        },
        "settings": [{"name": name} for name in config],
        "config": config,
    }
    maps = {"__else__": "__NULL__", "public-bookings": PLAIN, "told": TOLD}
    project = project_of(tmp_path, tap, stream_maps=maps)
    command = ("run", "--no-install", "tap-postgres", "target-liveintent")
    first = project.run(*command, **account)
    assert first.returncode == 0, first.stderr[-3000:]
    events = {event["eventId"]: event["purchaseData"] for event in sandbox.events}
    assert set(events) == {"1", "2", "3", "told 1", "told 2", "told 3"}
    assert {events[f"told {n}"]["orderId"] for n in (1, 2, 3)} == {"there"}
    sandbox.reset()
    wal_postgres.sql(CHANGES)
    # With another store, a changed row is sent again under the same event ID.
    other = {"TARGET_LIVEINTENT_STORE": str(project.folder / "other.sqlite")}
    second = project.run(*command, **{**account, **other})
    assert second.returncode == 0, second.stderr[-3000:]
    said = second.stdout + second.stderr
    assert "told: read 3," in said, said[-3000:]
    assert "deleted 1" in said
    assert "@" not in said.replace("tester@", "")
    arrived = {
        event["eventId"]: (event["purchaseData"]["value"], event["purchaseData"]["orderId"])
        for event in sandbox.events
    }
    assert "2" not in arrived
    assert (arrived["1"], arrived["4"]) == ((9.5, "1"), (4.5, "4"))
    assert arrived["told 2"] == (2.5, "deleted")
    assert (arrived["told 1"], arrived["told 4"]) == ((9.5, "there"), (4.5, "there"))


def _block_of_page(title: str) -> Any:
    """Return the data in a YAML block of the quickstart."""
    (block,) = [block for block in blocks(ROOT / "docs" / "quickstart.md") if block.title == title]
    return yaml.safe_load(block.text)


def _tap_of_page(title: str, folder: Path, **config: Any) -> dict[str, Any]:
    """Install the tap of a block of the quickstart, and return its definition.

    `config` replaces the page's settings, such as the port of the database.
    """
    (tap,) = _block_of_page(title)["extractors"]
    tap["executable"] = str(installed(folder / "tap", tap["name"], tap.pop("pip_url")))
    tap["config"] |= config
    return dict(tap)


OWN_MAP = {
    **_block_of_page("your own map"),  # its filter
    "__else__": "__NULL__",
    "event_id": "get('id')",
    "event_time": "get('updated_at')",
    "email": "get('email')",
    "value": "get('total')",
    "currency": "'EUR'",
    "source": "'web'",
}
"""A map of a reader's own."""
SHOP_TABLE = """
CREATE TABLE orders (id integer PRIMARY KEY, email varchar(99), total numeric(10, 2),
    status varchar(20), is_test boolean, updated_at timestamp);
INSERT INTO orders VALUES
    (1, 'ann@example.com', 12.5, 'paid', false, {now}),
    (2, 'bo@example.com', -3, 'paid', false, {now}),
    (3, 'cy@example.com', 9, 'open', false, {now}), (4, 'di@example.com', 9, 'paid', true, {now}),
    (5, NULL, 9, 'paid', false, {now}), (6, 'ed@example.com', NULL, 'paid', false, {now});
"""


def _send_table(folder: Path, tap: dict[str, Any], stream: str, account: dict[str, str]) -> None:
    """Run the pipeline of a table twice: one order arrives, once."""
    project = project_of(folder, tap, stream_maps={"__else__": "__NULL__", stream: OWN_MAP})
    for delivered in (1, 0):
        done = project.run("run", "--no-install", tap["name"], "target-liveintent", **account)
        assert done.returncode == 0, done.stderr[-3000:]
        assert f"delivered {delivered}," in done.stdout + done.stderr


@pytest.mark.postgres
def test_a_table_of_postgres(
    postgres: Postgres, account: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    """The block for PostgreSQL reads a table, and the filter leaves out what is no sale."""
    postgres.sql(SHOP_TABLE.format(now="now() AT TIME ZONE 'UTC'"))
    place = {"host": "127.0.0.1", "port": int(postgres.port)}
    who = {"user": "tester", "password": "not used", "database": "postgres"}
    tap = _tap_of_page("PostgreSQL", tmp_path, **place, **who)
    _send_table(tmp_path, tap, "public-orders", account)
    assert [event["purchaseData"]["value"] for event in sandbox.events] == [12.5]
    postgres.sql("DROP TABLE orders")


@pytest.fixture
def mariadb() -> Iterator[MariaDB]:
    with mariadb_running() as server:
        yield server


def test_a_table_of_mysql(
    mariadb: MariaDB, account: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    """The block for MySQL reads a table, and the filter leaves out what is no sale."""
    mariadb.sql(SHOP_TABLE.format(now="utc_timestamp()"), "shop")
    tap = _tap_of_page("MySQL", tmp_path, port=mariadb.port, user=USER, password=PASSWORD)
    _send_table(tmp_path, tap, "shop-orders", account)
    assert [event["purchaseData"]["value"] for event in sandbox.events] == [12.5]


def test_a_file_of_text(account: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    """The tap of the page reads a CSV: each column is text, and only `strptime` reads its times.

    PyPI has this tap; MeltanoLabs' tap-csv is not there.
    """
    tap = _tap_of_page("CSV", tmp_path)
    paid = dt.datetime.now(dt.timezone.utc).replace(second=0, microsecond=0) - dt.timedelta(hours=2)
    written = paid.strftime("%d/%m/%Y %H:%M")
    (tmp_path / "orders.csv").write_text(
        "Order No,Guest E-Mail,Total,Currency,Paid At,Status\n"
        f"1, Ann@Example.com ,1234.50,EUR,{written},paid\n"
        f"2,,12,eur,{written},paid\n"
        f"3,bo@example.com,7.1,usd,{written},cancelled\n",
        encoding="utf-8",
    )
    orders = {
        "__filter__": "status == 'paid'",
        "__else__": "__NULL__",
        "event_id": "order_no",
        "event_time": "datetime.datetime.strptime(paid_at, '%d/%m/%Y %H:%M').isoformat() + 'Z'",
        "email": "guest_e_mail",
        "source": "'web'",
        "currency": "currency",
        "value": "total",
        "order_id": "order_no",
    }
    project = project_of(tmp_path, tap, stream_maps={"__else__": "__NULL__", "orders": orders})
    done = project.run("run", "--no-install", tap["name"], "target-liveintent", **account)
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout + done.stderr
    assert "orders: read 3, filtered 1, unmapped 0, delivered 1, dead-lettered 1" in said
    (event,) = sandbox.events
    assert (event["eventId"], event["eventTime"]) == ("1", int(paid.timestamp()))
    assert event["userData"]["sha2"] == hashlib.sha256(b"ann@example.com").hexdigest()
    assert event["purchaseData"] == {"currency": "EUR", "value": 1234.5, "orderId": "1"}
