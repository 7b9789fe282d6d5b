"""The password for the ledger's database: where it may be, and that nobody sees it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from integration_support import orders, schema, state
from postgres_server import GUARDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration_support import Launcher
    from postgres_server import Postgres

    from target_liveintent.sandbox import Sandbox

pytestmark = pytest.mark.postgres

PASSWORD = "s3cret/4711@of#guarded"
SPELLINGS = (PASSWORD, "s3cret%2F4711%40of%23guarded", "4711")


@pytest.fixture
def guarded_url(postgres: Postgres, ledger_url: str) -> Iterator[str]:
    """The URL, without a password, of a database that asks for one."""
    found = re.search(r"search_path%3D(\w+)", ledger_url)
    assert found is not None
    postgres.sql(
        f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}';"
        f" GRANT ALL ON SCHEMA {found[1]} TO {GUARDED}"
    )
    yield re.sub("//.*@", f"//{GUARDED}@", ledger_url)
    postgres.sql(f"DROP OWNED BY {GUARDED}; DROP ROLE {GUARDED}")


@pytest.mark.parametrize("place", ["ledger_password", "PGPASSWORD", ".pgpass", "ledger_url"])
def test_places_of_the_password(
    target: Launcher, sandbox: Sandbox, guarded_url: str, place: str
) -> None:
    """Each does; and it is in nothing that a run writes, at any level of the log."""
    env = {"TARGET_LIVEINTENT_LOGLEVEL": "DEBUG"}
    settings = {"ledger_url": guarded_url}
    if place == "ledger_password":
        settings["ledger_password"] = PASSWORD
    elif place == "ledger_url":
        settings["ledger_url"] = guarded_url.replace("@", f":{SPELLINGS[1]}@")
    elif place == "PGPASSWORD":
        env["PGPASSWORD"] = PASSWORD
    else:
        file = target.folder / ".pgpass"
        file.write_text(f"127.0.0.1:*:*:{GUARDED}:{PASSWORD}\n", encoding="utf-8")
        file.chmod(0o600)
    written = {"report_path": "run.html", "history_path": "history", "delivered_path": "sent.csv"}
    bad = orders(1, 2, email=None)
    run = target.run(schema(), *orders(1), *bad, state(1), env=env, **settings, **written)
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 1)
    files = {path.relative_to(target.folder): path for path in target.folder.rglob("*.*")}
    assert {"run.html", "run.json", "sent.csv"} <= {str(name) for name in files}
    assert any(name.parts[0] == "history" for name in files)
    said = [run.log, run.stdout]
    for name, path in files.items():
        if path.is_file() and not name.match("config-*.json") and name.name != ".pgpass":
            said.append(path.read_bytes().decode(errors="replace"))
    assert not [text for text in said for spelling in SPELLINGS if spelling in text]


@pytest.mark.parametrize("place", ["ledger_password", "PGPASSWORD", "ledger_url"])
def test_a_wrong_password(target: Launcher, sandbox: Sandbox, guarded_url: str, place: str) -> None:
    """It ends the run before anything is sent; the message says where it is, and not what it is."""
    wrong = "wr0ng-4711"
    settings, env = {"ledger_url": guarded_url}, {}
    if place == "ledger_password":
        settings["ledger_password"] = wrong
        env["PGPASSWORD"] = PASSWORD  # The setting goes before it.
    elif place == "ledger_url":
        settings["ledger_url"] = guarded_url.replace("@", f":{wrong}@")
    else:
        env["PGPASSWORD"] = wrong
    run = target.run(schema(), *orders(1), state(1), env=env, **settings)
    assert (run.code, run.stdout, sandbox.stats.requests) == (1, "", 0)
    assert run.last_line.startswith("the database named in ledger_url cannot be used: ")
    assert run.last_line.endswith(f". The password came from {place}")
    for secret in (wrong, PASSWORD, GUARDED, settings["ledger_url"]):
        assert secret not in run.log


def test_no_password(target: Launcher, sandbox: Sandbox, guarded_url: str) -> None:
    """The message names the setting for it."""
    run = target.run(schema(), *orders(1), state(1), ledger_url=guarded_url)
    assert (run.code, sandbox.stats.requests) == (1, 0)
    assert run.last_line.endswith(". The database asks for a password: set ledger_password")
