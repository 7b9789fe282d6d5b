"""The example projects, by their READMEs' own commands; a tap that needs an account is replayed."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from integration_support import STORE
from meltano_support import (
    ROOT,
    Project,
    blocks,
    copy_of_an_example,
    expected,
    replace_tap,
    replaying_tap,
    seen,
)
from postgres_server import Postgres
from preset_records import Record, Sample, changed, sample
from store_tables import read_letters

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

CANARY = 10


def walk(example: str, project: Project, sandbox: Sandbox, **tap: str) -> tuple[str, str]:
    """Go through an example's README, command by command; return what its last two parts said.

    Nothing is sent while the reader looks, then ten events, then the rest, once each.
    """
    settings = {"TARGET_LIVEINTENT_API_URL": sandbox.url, **tap}

    def take(*commands: str) -> str:
        said = ""
        for command in commands:
            done = project.shell(command, **settings)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr[-3000:]}"
            said += done.stdout + done.stderr
        return said

    setup, look, (canary, job) = blocks(ROOT / "examples" / example / "README.md")
    take(*setup)
    looked = take(*look)
    assert sandbox.stats.requests == 0
    sent = take(canary)
    assert len(sandbox.events) == CANARY
    sent += take(job)
    assert sandbox.stats.duplicates == 0
    assert "@" not in sent
    return looked, sent


def numbered(preset: str, count: int) -> list[Sample]:
    """Samples of a preset under IDs of their own."""
    of = sample(preset, time.time())
    key = of.keys[0]
    return [
        Sample(of.stream, of.keys, {**of.record, key: f"{n}"}, {**of.event, "eventId": f"{n}"})
        for n in range(count)
    ]


def without_pixel(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = [{name: value for name, value in e.items() if name != "pixelId"} for e in events]
    assert {event["pixelId"] for event in events} == {12345}
    return sorted(kept, key=lambda event: int(event["eventId"]))


class Replayed(NamedTuple):
    """What an example's tap sends: how many records of which preset make events, and two others.

    Of the others, which are changed records of the first preset, one is filtered, and one is
    nobody's.
    """

    tap: str
    presets: dict[str, int]
    no_conversion: Record
    nobody: Record

    def events(self) -> list[Sample]:
        """The samples that make events."""
        found: list[Sample] = []
        for preset, count in self.presets.items():
            found += numbered(preset, len(found) + count)[len(found) :]
        return found

    def others(self) -> list[Sample]:
        """One that is filtered, one that becomes a dead letter."""
        of = self.events()[0]
        changes = [self.no_conversion, self.nobody]
        return [
            of._replace(record=changed(of.record, {of.keys[0]: f"other-{n}", **changes}))
            for n, changes in enumerate(changes)
        ]


REPLAYED = {
    "shopify": Replayed(
        "tap-shopify==3.13.0",
        {"shopify": 12},
        {"displayFinancialStatus": "PENDING"},
        {"email": None, "customer": None, "customerJourneySummary": None},
    ),
    "salesforce": Replayed(
        "tap-salesforce==2.8.1",
        {"salesforce_opportunity": 7, "salesforce_lead": 5},
        {"IsWon": False},
        {"Contact_Email__c": None, "LI_Decision_Id__c": None},
    ),
}


@pytest.mark.parametrize("example", REPLAYED)
def test_replayed(example: str, sandbox: Sandbox, wheel: str, tmp_path: Path) -> None:
    """What the README says happens; one record is filtered, and one has a dead letter."""
    replayed = REPLAYED[example]
    wanted = replayed.events()
    project = copy_of_an_example(example, tmp_path / example, wheel)
    replace_tap(project, replayed.tap, replaying_tap(tmp_path, [*replayed.others(), *wanted]))
    looked, said = walk(example, project, sandbox)
    assert all(f"(preset {preset})" in looked for preset in replayed.presets)
    assert f"total: read {len(wanted) + 2}, filtered 1, unmapped 0, would be delivered" in looked
    assert without_pixel(sandbox.events) == [each.event for each in wanted]
    assert f"unmapped 0, delivered {len(wanted) - CANARY}, dead-lettered 1 (no_identity 1)" in said
    (letter,) = read_letters(project.folder / STORE)
    assert letter["event_id"] == "other-1"
    assert "@" not in str(letter)


@pytest.mark.postgres
def test_postgres(
    postgres: Postgres, orders: dict[str, str], sandbox: Sandbox, wheel: str, tmp_path: Path
) -> None:
    """The same with the real tap and a real server."""
    project = copy_of_an_example("postgres", tmp_path / "postgres", wheel)
    looked, _ = walk("postgres", project, sandbox, **orders)
    assert "public-orders" in looked
    assert seen(sandbox) == expected(postgres)
