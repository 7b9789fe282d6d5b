"""The quickstart for a reader without a shop: the tap with invented orders, and all that follows.

The pages about the sandbox and the schedule go on with its project.
"""

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml
from docs_support import PROGRAMS, SANDBOX_URL, Block, blocks, unseen
from integration_support import STORE
from meltano_support import MELTANO, ROOT, Project, changed_text
from needs import not_installed
from store_tables import read_letters

import hub
from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

PAGE = ROOT / "docs" / "quickstart.md"
TAP = ROOT / "examples" / "quickstart" / "tap_orders.py"
SANDBOX = blocks(ROOT / "docs" / "how-to" / "sandbox.md")
WITHOUT_MELTANO = [b for b in blocks(ROOT / "docs" / "how-to" / "schedule.md") if b.excuse]
BLOCKS = [*blocks(PAGE), *WITHOUT_MELTANO, *SANDBOX]
WITH_PIPES = "tap-shopify --config shopify.json --catalog catalog.json"


def place(kind: str, words: str) -> int:
    """Where the page has its only block of a kind with these words."""
    (found,) = (
        number for number, block in enumerate(BLOCKS) if block.kind == kind and words in block.text
    )
    return found


def text_of(kind: str, words: str) -> str:
    """The only block of a kind with these words."""
    return BLOCKS[place(kind, words)].text


class Reader:
    """Somebody who does what the page says, with the invented orders.

    Only what is not here is replaced: the public location by a wheel, the sandbox by the test's.
    """

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.project = Project(folder)
        self._url = sandbox.url

    def run(self, command: str) -> str:
        """Run lines for the shell, with the tap's name in them; return all that they said."""
        command = command.replace(WITH_PIPES, "./tap_orders.py").replace(SANDBOX_URL, self._url)
        command = command.replace("tap-shopify", "tap-orders")
        path = f"{MELTANO.parent}:{PROGRAMS}:{os.environ['PATH']}"
        done = self.project.shell(command, PATH=path)
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}\n{said[-3000:]}"
        return said

    def explain(self, tap: str) -> str:
        """What `explain` says of a tap without a map, as the page calls it."""
        command = text_of("sh", ":explain").replace("meltano invoke tap-shopify", tap)
        return self.project.shell(command).stdout

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        text = text.replace(SANDBOX_URL, self._url)
        (self.project.folder / name).write_text(text, encoding="utf-8")

    def change_project(self, changes: dict[str, str]) -> None:
        """Put other lines in the place of lines of `meltano.yml`."""
        text = self.project.settings.read_text(encoding="utf-8")
        assert all(text.count(line) == 1 for line in changes)
        self.project.settings.write_text(changed_text(text, changes), encoding="utf-8")

    def go_through(self, part: list[Block]) -> None:
        """Do what each block of a part of the page says, and see what it says is seen."""
        said = ""
        for block in part:
            if block.kind == "sh":
                said = self.run(block.text)
            elif block.kind == "text":
                assert unseen(block.text, said) == [], said
            elif block.kind == "json":
                assert block.title is not None
                self.write(block.title, block.text)
            elif block.title != "your own map" and block.kind != "crontab":
                assert block.kind == "yaml"
                assert block.text in self.project.settings.read_text(encoding="utf-8")


def _project(folder: Path, sandbox: Sandbox, wheel: str) -> Reader:
    """The project, as the page has it before its section "Map"."""
    _, init, add = text_of("sh", "meltano init").splitlines()
    done = Project(folder).shell(init)
    assert done.returncode == 0, done.stderr
    reader = Reader(folder / "shop", sandbox)
    reference = folder / "target.yml"
    reference.write_text(yaml.safe_dump(hub.definition(wheel)), encoding="utf-8")
    reader.run(changed_text(add, {f"{hub.FILES}/{hub.DEFINITION}": str(reference)}))

    reader.write(".env", text_of("ini", "CUSTOMER_ID"))
    public = f"{hub.FILES}/{TAP.relative_to(ROOT)}"
    reader.run(changed_text(text_of("sh", "chmod"), {public: TAP.as_uri()}))
    reader.change_project({"plugins:\n": "plugins:\n" + text_of("yaml", "tap-orders")})
    said = reader.run("meltano invoke tap-orders")
    types = re.findall(r'^\{"type": "(\w+)"', said, re.MULTILINE)
    assert Counter(types) == {"SCHEMA": 1, "RECORD": 6, "STATE": 1}
    return reader


@pytest.mark.skipif(shutil.which("curl") is None, reason=not_installed("curl"))
def test_without_a_shop(sandbox: Sandbox, wheel: str, tmp_path: Path) -> None:
    """The page leads a reader without a shop through all its sections.

    The invented orders give the outputs on the page, and nothing is sent twice.
    """
    reader = _project(tmp_path, sandbox, wheel)
    assert "set `presets: {orders: shopify}`" in reader.explain("meltano invoke tap-orders")
    other = {"processedAt": "placed", "displayFinancialStatus": "state", "sourceName": "origin"}
    reader.write("other_tap.py", changed_text(TAP.read_text(encoding="utf-8"), other))
    said = reader.explain("python3 other_tap.py")
    assert unseen("A map to start from:\nstream_maps:\norders:\nevent_id: get('id')\n", said) == []

    loader = f"  - name: {hub.NAME}\n"
    reader.change_project({loader: loader + text_of("yaml", "presets:")})
    reader.go_through(BLOCKS[place("sh", ":explain") : len(blocks(PAGE))])
    orders = [f"gid://shopify/Order/{number}" for number in (1001, 1002, 1003)]
    assert sorted(event["eventId"] for event in sandbox.events) == orders
    letters = read_letters(reader.project.folder / STORE)
    assert sorted(letter["reason"] for letter in letters) == ["event_too_old", "no_identity"]

    again = reader.run("meltano run tap-shopify target-liveintent")
    assert (
        unseen("total: read 0, filtered 0, unmapped 0, delivered 0, dead-lettered 0", again) == []
    )
    reader.go_through(WITHOUT_MELTANO)
    failing = place("sh", "rm -f liveintent.sqlite*")
    reader.go_through(BLOCKS[place("sh", "/events?limit=1") : failing])
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (3, 0)
    reader.go_through(BLOCKS[failing:])
    assert sorted(event["eventId"] for event in sandbox.events) == [orders[0], orders[2]]
