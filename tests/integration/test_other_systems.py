"""Runs and commands on macOS and Windows, as far as this machine can pretend to be one of them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration_support import Launcher, Message, schema, state
from other_systems import SYSTEMS, environment, lacking, pretend

from target_liveintent.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]


def is_wanted(row: dict[str, Any]) -> bool:
    """Whether the demo's map sends an order."""
    return row["status"] == "paid" and not row["is_test"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Message]]:
    """Return the demo's map, and its orders as a tap writes them."""
    if not (ROOT / "demo").exists():
        pytest.skip("not a checkout")
    file = tmp_path_factory.mktemp("demo") / "orders.jsonl"
    subprocess.run([sys.executable, ROOT / "demo" / "orders.py", "--out", file], check=True)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    young = max(filter(is_wanted, rows), key=lambda row: str(row["created_at"]))
    nobody = dict.fromkeys(("email", "loyalty_hash", "idfa", "aaid", "landing_url"))
    rows.append(young | nobody | {"id": "nobody", "order_number": "№ 1"})  # No code page has №.
    meltano = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    (loader,) = meltano["plugins"]["loaders"]
    columns = dict.fromkeys(name for row in rows for name in row)
    records = [{"type": "RECORD", "stream": "orders", "record": row} for row in rows]
    return loader["config"]["stream_maps"], [schema(columns=columns), *records, state({"n": 1})]


COMMANDS = ("health", "report", "report --format=json", "dead-letters", "delivered", "replay")


@pytest.mark.parametrize("system", SYSTEMS)
def test_demo(
    system: str, demo: tuple[dict[str, Any], list[Message]], target: Launcher, sandbox: Sandbox
) -> None:
    """The demo's orders arrive or become dead letters, and each command works."""
    maps, messages = demo
    settings = {
        "default_source": ...,
        "stream_maps": maps,
        "keep_delivered": True,
        "max_dead_letter_percent": 100,
        "report_path": "page.html",
    }
    pretend(target, system)
    explained = target.explain(*messages, **settings)
    assert "Of 301 records, " in explained.stdout, explained.log
    run = target.run(*messages, **settings)
    assert (run.code, run.states) == (0, [{"n": 1}]), run.log
    rows = [one["record"] for one in messages if one["type"] == "RECORD"]
    wanted = {row["id"] for row in rows if is_wanted(row)}
    assert len(sandbox.events) + len(target.letters) == len(wanted)
    assert wanted == {event["eventId"] for event in sandbox.events} | target.letters.keys()
    assert "</html>" in (target.folder / "page.html").read_text(encoding="utf-8")

    ended = {name: target.ask(*name.split(), **settings) for name in COMMANDS}
    assert {name: run.code for name, run in ended.items()} == dict.fromkeys(COMMANDS, 0)
    assert len(list(csv.reader(ended["delivered"].out))) == 1 + len(sandbox.events)
    letters = target.folder / "letters.singer"
    letters.write_text(target.exported(**settings), encoding="utf-8")
    assert target.letters["nobody"]["order_id"] == "№ 1"
    replay = target.ask("replay", letters.name, **settings)
    assert f"read {len(target.letters)}, " in replay.totals[0]
    assert replay.code == 0


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_unit_tests(system: str, tmp_path: Path) -> None:
    """They pass with what the package sees there."""
    env = {**os.environ, **environment(system, tmp_path, os.environ.get("PYTHONPATH", ""))}
    quick = ("-m", "not (browser or postgres or slow)", "-n", "2", "-p", "no:cacheprovider")
    command = (sys.executable, "-m", "pytest", "-q", *quick, "tests/unit")
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-5_000:]


# What the pretence itself must do


@pytest.mark.parametrize(
    ("system", "module", "name"),
    [
        *(
            pytest.param("darwin", "os", "posix_fallocate", id="no function of macOS"),
            pytest.param("win32", "signal", "SIGALRM", id="no signal of Windows"),
        ),
        *(
            pytest.param("win32", "os", "fchmod", id="no function of Windows"),
            pytest.param("win32", "resource", None, id="no resource on Windows"),
            pytest.param("win32", "fcntl", None, id="no locks on Windows"),
        ),
    ],
)
def test_what_a_system_lacks(system: str, module: str, name: str | None) -> None:
    """The types of the standard library say so, also that a whole module is not there."""
    found = lacking(system)[module]
    assert found is None if name is None else name in (found or [])
