"""Two accounts by two loaders that inherit, as docs/how-to/two-accounts.md has them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration_support import STORE
from meltano_support import EMPTY, ROOT, Project, block_of, blocks, locked_target, replayed
from preset_records import Sample
from store_tables import ask

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

PAGE = ROOT / "docs" / "how-to" / "two-accounts.md"


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


def letters(project: Project) -> list[tuple[str, str]]:
    query = "SELECT customer_id, event_id FROM dead_letter ORDER BY customer_id"
    return ask(project.folder / STORE, query)


def test_each_account_gets_its_own(shop: Project, sandboxes: tuple[Sandbox, Sandbox]) -> None:
    """Each loader has its own events and dead letters in one store; maps are merged as it says."""
    us, eu = sandboxes
    *runs, look = blocks(PAGE, "sh")[0]  # The other one is without Meltano.
    done = shop.shell("\n".join(runs))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (ids(us), ids(eu)) == (["dollars", "lead"], ["euros"])
    assert "environment variables that differ" not in done.stderr
    # Meltano reads the log as it is defined.
    assert "target-liveintent-us total: read 6" in done.stderr
    assert {event["pixelId"] for event in us.events} == {12345}
    assert {event["pixelId"] for event in eu.events} == {67890}
    guests = [("a-1b2c", "guest in dollars"), ("b-2c3d", "guest in euros")]
    assert letters(shop) == guests

    looked = shop.shell(look)
    assert looked.returncode == 0, looked.stderr[-3000:]
    assert "a-1b2c at 127.0.0.1, pixel 12345: 1" in looked.stdout
    assert "b-2c3d at 127.0.0.1, pixel 67890: 1" in looked.stdout
    assert "written for another account or pixel" in looked.stdout

    replay = shop.run("invoke", "target-liveintent-eu:replay")
    assert replay.returncode == 0, replay.stderr[-3000:]
    assert "dead-lettered 1 (no_identity 1)" in replay.stderr
    assert "not replayed 1 (other_account 1)" in replay.stderr
    assert letters(shop) == guests

    again = [line.replace("meltano run", "meltano run --full-refresh") for line in runs]
    done = shop.shell("\n".join(again))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (us.stats.duplicates, eu.stats.duplicates) == (0, 0)
    assert letters(shop) == guests

    # Run by mistake, the parent fails for want of an account.
    requests = us.stats.requests, eu.stats.requests
    done = shop.run("run", "tap-shop", "target-liveintent")
    assert done.returncode != 0
    assert "setting 'customer_id' is required" in done.stdout + done.stderr
    assert (us.stats.requests, eu.stats.requests) == requests
