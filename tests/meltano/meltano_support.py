"""A Meltano project, and a PostgreSQL server of our own."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import programs
import pytest
import yaml
from postgres_server import Postgres
from preset_records import Sample

import hub
from target_liveintent.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
MELTANO = ROOT / ".venv-meltano" / "bin" / "meltano"
CONSTRAINED = f"--constraint {ROOT}/constraints.txt"
"""What pip is told, beside the package, to install tested versions."""
EMPTY = {"project_id": "test", "default_environment": "prod", "environments": [{"name": "prod"}]}
"""A project without plugins."""


def environment(**settings: str) -> dict[str, str]:
    """Return what commands have: Meltano, these settings, and none of this machine's."""
    others = ("MELTANO", "TAP_", "TARGET_", "VIRTUAL_ENV", "PYTEST")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {
        **kept,
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "0",
        "MELTANO_CLI_DISABLE_VERSION_CHECK": "1",
        "NO_COLOR": "1",
        "NO_PROXY": "127.0.0.1",
        "PATH": f"{MELTANO.parent}:{kept['PATH']}",
        **settings,
    }


class Project:
    """A folder to run Meltano in, with state and plugins of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "meltano.yml"

    def load(self) -> dict[str, Any]:
        settings: dict[str, Any] = yaml.safe_load(self.settings.read_text(encoding="utf-8"))
        return settings

    def save(self, settings: dict[str, Any]) -> None:
        self.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def run(self, *args: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run Meltano in the project; its exit code is for the test to judge."""
        return self._call([MELTANO, *args], settings)

    def shell(self, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a line for the shell, as documentation has it, in the project."""
        return self._call(["bash", "-euo", "pipefail", "-c", command], settings)

    def _call(
        self, command: Sequence[str | Path], settings: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return programs.run(command, self.folder, environment(**settings))


def copy_of_an_example(name: str, folder: Path, pip_url: str) -> Project:
    """An example, with the target installed from elsewhere than the public location."""
    shutil.copytree(ROOT / "examples" / name, folder, ignore=shutil.ignore_patterns(".meltano"))
    (folder / hub.LOCK).write_text(json.dumps(hub.lock(pip_url)), encoding="utf-8")
    return Project(folder)


def empty_project(folder: Path) -> Project:
    project = Project(folder)
    project.save(EMPTY)
    return project


def project_of(folder: Path, tap: dict[str, Any], **config: Any) -> Project:
    """A project of a tap that is there already, and of the target as it is here.

    The tap is as Meltano defines it, without what follows from its name; `config` is the target's.
    """
    loader = {
        "name": hub.NAME,
        "namespace": hub.NAME.replace("-", "_"),
        "executable": str(target_program(folder)),
        "commands": hub.definition()["commands"],
        "settings": hub.definition()["settings"],
        "config": config,
    }
    extractor = {"namespace": tap["name"].replace("-", "_"), **tap}
    project = Project(folder)
    project.save({**EMPTY, "plugins": {"extractors": [extractor], "loaders": [loader]}})
    return project


def replayed_shop(folder: Path, samples: Iterable[Sample], **config: Any) -> Project:
    """A project whose tap, `tap-shopify`, replays samples; `config` is that of the target."""
    return project_of(folder, replayed("tap-shopify", folder, samples), **config)


def locked_target(folder: Path) -> Project:
    """The project in a folder, with a lock file of the target as it is here."""
    lock = hub.lock() | {"executable": str(target_program(folder)), "pip_url": None}
    (folder / hub.LOCK).parent.mkdir(parents=True)
    (folder / hub.LOCK).write_text(json.dumps(lock), encoding="utf-8")
    return Project(folder)


def target_program(folder: Path) -> Path:
    """A program that is the target as it is here."""
    target = folder / "target-liveintent"
    target.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m target_liveintent "$@"\n'
    )
    target.chmod(0o755)
    return target


def installed(folder: Path, name: str, requirement: str) -> Path:
    """Install a tap by Meltano, and return its program; skip where it cannot be installed."""
    folder.mkdir()
    tap = {"name": name, "executable": name, "pip_url": requirement}
    done = project_of(folder, tap).run("install", name)
    if done.returncode != 0:
        pytest.skip(f"{requirement} cannot be installed: {done.stdout[-500:]}{done.stderr[-500:]}")
    return folder / ".meltano" / "extractors" / name / "venv" / "bin" / name


def changed_text(text: str, changes: Mapping[str, str]) -> str:
    """Text with other words, all of which it must have had."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def blocks(document: Path, kind: str = "sh") -> list[list[str]]:
    """The lines of each code block of a kind in a document."""
    text = document.read_text(encoding="utf-8")
    found = re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in found]


def block_of(document: Path, kind: str) -> str:
    """The only code block of a kind in a document."""
    (lines,) = blocks(document, kind)
    return "".join(f"{line}\n" for line in lines)


def replaying_tap(folder: Path, samples: Iterable[Sample], name: str = "replaying-tap") -> Path:
    """A program that stands in for a tap: it sends samples, where Meltano selects them."""
    data = folder / "replayed.json"
    streams: dict[str, Any] = {}
    for sample in samples:
        stream = streams.setdefault(sample.stream, {"keys": sample.keys, "records": []})
        stream["records"].append(sample.record)
    data.write_text(json.dumps(streams), encoding="utf-8")
    program = folder / name
    replay = Path(__file__).with_name("replay_tap.py")
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{replay}" "{data}" "$@"\n')
    program.chmod(0o755)
    return program


def replayed(name: str, folder: Path, samples: Iterable[Sample]) -> dict[str, Any]:
    """The definition of a tap that sends samples."""
    return {
        "name": name,
        "namespace": name.replace("-", "_"),
        "executable": str(replaying_tap(folder, samples)),
        "capabilities": ["catalog", "discover", "state"],
    }


def replace_tap(project: Project, requirement: str, program: Path) -> None:
    """Let a program stand in for the tap that a project installs; all else stays."""
    name = requirement.partition("==")[0]
    text = changed_text(
        project.settings.read_text(encoding="utf-8"),
        {f"pip_url: {requirement}\n": "\n", f"executable: {name}": f"executable: {program}"},
    )
    project.settings.write_text(text, encoding="utf-8")


ROWS = 5_000
TABLE = f"""
CREATE TABLE orders (
    id uuid PRIMARY KEY, order_no integer, created_at timestamptz, paid_at timestamptz,
    updated_at timestamptz, status text, customer_email text, channel text, currency char(3),
    total numeric(12, 2), client jsonb, client_ip text, landing_url text, is_test boolean
);
INSERT INTO orders SELECT
    md5('order ' || n)::uuid, 100000 + n,
    now() - n * interval '1 minute', now() - n * interval '1 minute',
    now() - n * interval '1 minute',
    CASE WHEN n % 10 = 0 THEN 'cancelled' ELSE 'paid' END,
    CASE WHEN n % 7 = 0 THEN NULL ELSE '  User' || n || '+shop@Example.COM ' END,
    CASE WHEN n % 3 = 0 THEN 'pos' ELSE 'web' END, 'usd', n + 0.1,
    jsonb_build_object('ua', 'Agent/' || n), '192.0.2.' || (n % 250 + 1),
    CASE WHEN n % 14 = 0 OR n % 15 = 2
        THEN 'https://shop.example.com/?li_did=' || md5('did ' || n)::uuid END,
    n % 20 = 1
FROM generate_series(1, {ROWS}) AS n;
"""  # noqa: S608 (a constant)


def expected(postgres: Postgres) -> dict[str, dict[str, object]]:
    """What must arrive, by SQL and plain Python; nothing of the target has a part in it."""
    rows = postgres.sql(
        "SELECT json_agg(json_build_object('id', id, 'at', floor(extract(epoch FROM paid_at)),"
        " 'mail', lower(trim(customer_email)), 'no', order_no, 'total', total,"
        " 'channel', channel, 'did', substring(landing_url FROM 'li_did=(.*)'))) FROM orders"
        " WHERE status = 'paid' AND NOT is_test"
        " AND (customer_email IS NOT NULL OR landing_url IS NOT NULL)"
    )
    return {
        row["id"]: {
            "eventTime": row["at"],
            "sha2": row["mail"] and hashlib.sha256(row["mail"].encode()).hexdigest(),
            "orderId": str(row["no"]),
            "value": row["total"],
            "source": "offline" if row["channel"] == "pos" else "web",
            "decisionId": row["did"],
        }
        for row in json.loads(rows)
    }


def seen(sandbox: Sandbox) -> dict[str, dict[str, object]]:
    """What arrived, as `expected` has it."""
    return {
        event["eventId"]: {
            "eventTime": event["eventTime"],
            "sha2": event["userData"].get("sha2"),
            "orderId": event["purchaseData"]["orderId"],
            "value": event["purchaseData"]["value"],
            "source": event["source"],
            "decisionId": event.get("decisionId"),
        }
        for event in sandbox.events
    }
