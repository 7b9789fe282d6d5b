"""Two accounts by two loaders that inherit, as docs/how-to/two-accounts.md has them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from meltano_support import EMPTY, ROOT, Project, block_of, locked_target, replayed
from preset_records import Sample

from target_liveintent.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

PAGE = ROOT / "docs" / "how-to" / "two-accounts.md"
LETTERS = ("us-dead-letters.singer", "eu-dead-letters.singer")
LEDGERS = ("us-ledger.sqlite", "eu-ledger.sqlite")


def record(stream: str, id_: str, **columns: Any) -> Sample:
    made = {"id": id_, "created_at": int(time.time()) - 3600, "email": f"{id_}@example.com"}
    return Sample(stream, ["id"], {**made, **columns}, {})


RECORDS = [
    record("orders", "dollars", total=10, currency="USD"),
    record("orders", "euros", total=20, currency="EUR"),
    record("orders", "guest in dollars", total=30, currency="USD", email=None),
    record("orders", "guest in euros", total=40, currency="EUR", email=None),
    record("leads", "lead"),
    record("refunds", "refund"),
]


@pytest.fixture
def sandboxes() -> Iterator[tuple[Sandbox, Sandbox]]:
    """The API of each account, which knows no other one."""
    with Sandbox() as us, Sandbox(customer_id="b-2c3d", auth_token="another-token") as eu:
        yield us, eu


@pytest.fixture
def shop(tmp_path: Path, sandboxes: tuple[Sandbox, Sandbox]) -> Project:
    """The project of the page, with a tap."""
    settings = yaml.safe_load(block_of(PAGE, 'yaml title="meltano.yml"'))
    tap = replayed("tap-shop", tmp_path, RECORDS)
    settings["plugins"]["extractors"] = [tap | {"select": ["*.*"]}]
    Project(tmp_path).save(settings | EMPTY)
    us, eu = (sandbox.url for sandbox in sandboxes)
    env = block_of(PAGE, 'ini title=".env"')
    env += f"TARGET_LIVEINTENT_US_API_URL={us}\nTARGET_LIVEINTENT_EU_API_URL={eu}\n"
    (tmp_path / ".env").write_text(env, encoding="utf-8")
    return locked_target(tmp_path)


def ids(sandbox: Sandbox) -> list[str]:
    return sorted(event["eventId"] for event in sandbox.events)


def letters(project: Project, name: str) -> list[str]:
    lines = (project.folder / name).read_text(encoding="utf-8").splitlines()
    return [line["record"]["event_id"] for line in map(json.loads, lines) if "record" in line]


def test_each_account_gets_its_own(shop: Project, sandboxes: tuple[Sandbox, Sandbox]) -> None:
    """Events, dead letters and ledger of each loader are apart; maps are merged as it says.

    What both have sent is sent again only for the one whose ledger is gone.
    """
    us, eu = sandboxes
    *runs, look = block_of(PAGE, "sh").splitlines()
    done = shop.shell("\n".join(runs))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (ids(us), ids(eu)) == (["dollars", "lead"], ["euros"])
    assert "--config=ENV" not in done.stderr  # Meltano gives each setting twice, with one value.
    assert "metric_name=record_count" in done.stderr  # Meltano reads the log as it is defined.
    assert {event["pixelId"] for event in us.events} == {12345}
    assert {event["pixelId"] for event in eu.events} == {67890}
    assert [letters(shop, name) for name in LETTERS] == [["guest in dollars"], ["guest in euros"]]
    assert {path.name for path in shop.folder.glob("*.s*")} == {*LETTERS, *LEDGERS}

    looked = shop.shell(look)
    assert looked.returncode == 0, looked.stderr[-3000:]
    assert "guest in euros" in looked.stdout
    assert "guest in dollars" not in looked.stdout
    assert f"b-2c3d at 127.0.0.1, pixel 67890: {len(letters(shop, LETTERS[1]))}" in looked.stdout

    replay = shop.run("invoke", "target-liveintent-eu:replay")
    assert replay.returncode == 0, replay.stderr[-3000:]
    assert "rejected again 1" in replay.stdout
    assert [letters(shop, name) for name in LETTERS] == [["guest in dollars"], ["guest in euros"]]

    again = [line.replace("meltano run", "meltano run --full-refresh") for line in runs]
    done = shop.shell("\n".join(["rm us-ledger.sqlite*", *again]))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (us.stats.duplicates, eu.stats.duplicates) == (2, 0)


def test_the_parent_sends_nothing(shop: Project, sandboxes: tuple[Sandbox, Sandbox]) -> None:
    """Run by mistake, it fails for want of an account."""
    done = shop.run("run", "tap-shop", "target-liveintent")
    assert done.returncode != 0
    assert "setting 'customer_id' is required" in done.stdout + done.stderr
    assert [sandbox.stats.requests for sandbox in sandboxes] == [0, 0]
