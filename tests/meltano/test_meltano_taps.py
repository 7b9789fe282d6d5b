"""Real taps on real sources: databases whose logs tell of each change, and a file of text."""

from __future__ import annotations

import datetime as dt
import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mariadb_server import PASSWORD, MariaDB
from meltano_support import MELTANO, ROOT, Project, installed, project_of
from needs import not_installed
from postgres_server import wal2json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postgres_server import Postgres

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
}
"""The same for a map of its own, which reads the column that says that a row was deleted."""
CHANGES = (
    "DELETE FROM {table} WHERE id = 2",
    "UPDATE {table} SET total = 9.5 WHERE id = 1",
    "INSERT INTO {table} VALUES (4, 'd@example.com', 4.5, {now})",
)


def rows(now: str) -> str:
    """The first rows of the table, as values of SQL."""
    return ", ".join(
        f"({n}, '{name}@example.com', {n}.5, {now})" for n, name in enumerate("abc", 1)
    )


def database_project(folder: Path, program: Path, stream: str, **tap: Any) -> Project:
    """A project that reads the log of a table, and maps it twice: see `PLAIN` and `TOLD`."""
    config = {"host": "127.0.0.1", "user": "tester", **tap.pop("config")}
    metadata = {"replication-method": "LOG_BASED", **tap.pop("metadata", {})}
    definition = {
        "name": program.name,
        "executable": str(program),
        "select": [f"{stream}.*"],
        "metadata": {stream: metadata},
        "settings": [{"name": name} for name in config],
        "config": config,
        **tap,
    }
    maps = {"__else__": "__NULL__", stream: PLAIN, "told": {**TOLD, "__source__": stream}}
    return project_of(folder, definition, stream_maps=maps)


def follow(
    project: Project,
    account: dict[str, str],
    sandbox: Sandbox,
    sql: Callable[[str], str],
    *,
    table: str,
    now: str,
) -> None:
    """Send a table, change it, and send the changes: what is new, changed and deleted."""
    (tap,) = project.load()["plugins"]["extractors"]
    command = ("run", "--no-install", tap["name"], "target-liveintent")
    first = project.run(*command, **account)
    assert first.returncode == 0, first.stderr[-3000:]
    events = {event["eventId"]: event["purchaseData"] for event in sandbox.events}
    assert set(events) == {"1", "2", "3", "told 1", "told 2", "told 3"}
    assert {events[f"told {n}"]["orderId"] for n in (1, 2, 3)} == {"there"}
    sandbox.reset()
    for change in CHANGES:
        sql(change.format(table=table, now=now))
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
    assert arrived["1"] == (9.5, "1")
    assert arrived["4"] == (4.5, "4")
    assert arrived["told 2"] == (2.5, "deleted")
    assert arrived["told 1"] == (9.5, "there")
    assert arrived["told 4"] == (4.5, "there")


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
    wal_postgres.sql(
        "CREATE TABLE bookings (id integer PRIMARY KEY, email text, total numeric(10, 2),"
        " created_at timestamptz)"
    )
    wal_postgres.sql("ALTER TABLE bookings REPLICA IDENTITY FULL")  # For all columns of a deletion.
    wal_postgres.sql("SELECT pg_create_logical_replication_slot('tappostgres', 'wal2json')")
    wal_postgres.sql(f"INSERT INTO bookings VALUES {rows('now()')}")  # noqa: S608 (constants)
    program = installed(tmp_path / "tap", "tap-postgres", "meltanolabs-tap-postgres==0.10.0")
    project = database_project(
        tmp_path,
        program,
        "public-bookings",
        capabilities=["catalog", "discover", "state"],
        metadata={"replication-key": "_sdc_lsn"},  # Or the tap forgets how far it has read.
        config={
            "port": int(wal_postgres.port),
            "password": "not used",
            "database": "postgres",
            "filter_schemas": ["public"],
            "replication_idle_exit_seconds": 1,
        },
    )
    follow(project, account, sandbox, wal_postgres.sql, table="bookings", now="now()")


@pytest.fixture
def mariadb() -> Iterator[MariaDB]:
    """A running server."""
    with tempfile.TemporaryDirectory(prefix="target-liveintent-") as folder:
        server = MariaDB(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.mark.mariadb
def test_the_log_of_mariadb(
    mariadb: MariaDB, account: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    """The same through tap-mysql, whose SCHEMA does not name the column that says it."""
    if not list(MELTANO.parents[1].glob("lib/python3.1[01]")):
        pytest.skip("tap-mysql runs on Python 3.11 at most: it uses ssl.match_hostname")
    now = "utc_timestamp()"
    mariadb.sql(
        "CREATE TABLE shop.bookings (id integer PRIMARY KEY, email varchar(100),"
        " total decimal(10, 2), created_at datetime)"
    )
    mariadb.sql(f"INSERT INTO shop.bookings VALUES {rows(now)}")  # noqa: S608 (constants)
    project = database_project(
        tmp_path,
        installed(tmp_path / "tap", "tap-mysql", "pipelinewise-tap-mysql==1.6.0"),
        "shop-bookings",
        capabilities=["properties", "discover", "state"],
        config={
            "port": int(mariadb.port),
            "password": PASSWORD,
            "engine": "mariadb",
            "filter_dbs": "shop",
        },
    )
    follow(project, account, sandbox, mariadb.sql, table="shop.bookings", now=now)


def test_a_file_of_text(account: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    """The tap of the page reads a CSV: each column is text, and only `strptime` reads its times.

    PyPI has this tap; MeltanoLabs' tap-csv is not there.
    """
    page = (ROOT / "docs" / "my-own-table.md").read_text(encoding="utf-8")
    text = page.partition('```yaml title="meltano.yml"\n')[2].partition("```")[0]
    (tap,) = yaml.safe_load(text)["extractors"]
    tap["executable"] = str(installed(tmp_path / "tap", tap["name"], tap.pop("pip_url")))
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
