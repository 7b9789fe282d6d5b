"""What Meltano is told of the target is true, complete, and what the code would tell it today."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from target_liveintent import config
from target_liveintent.config import SCHEMA
from target_liveintent.config.renamed import READABLE

hub = pytest.importorskip("hub", reason="not a checkout")

if TYPE_CHECKING:
    from pathlib import Path

DEFINITION: dict[str, Any] = yaml.safe_load((hub.ROOT / hub.DEFINITION).read_text(encoding="utf-8"))
SETTINGS = {setting["name"]: setting for setting in DEFINITION["settings"]}
WORKING = {"customer_id": "a-1b2c", "auth_token": "token", "auth_token_path": "file"}


def test_settings() -> None:
    """Every setting, with its kind, default, choices and description."""
    assert list(SETTINGS) == sorted(SCHEMA["properties"])
    for name, schema in SCHEMA["properties"].items():
        setting = SETTINGS[name]
        choices = [value for value in schema.get("enum", []) if value is not None]
        assert setting["kind"] == ("options" if choices else schema["type"][0]), name
        assert [option["value"] for option in setting.get("options", [])] == choices, name
        assert setting.get("value") == schema.get("default"), name
        assert setting["description"] == schema["description"], name
    assert SETTINGS["auth_token_path"]["label"] == "Auth Token Path"
    assert SETTINGS["api_url"]["label"] == "API URL"


def test_secrets() -> None:
    """The token and the URL of a database are; what only looks like a secret is said to be none."""
    said = {
        name: setting["sensitive"] for name, setting in SETTINGS.items() if "sensitive" in setting
    }
    assert {name for name, is_secret in said.items() if is_secret} == {
        "auth_token",
        "ledger_password",
        "ledger_url",
    }
    assert set(said) >= {"customer_id", "auth_token", "auth_token_path", "pixel_id"}


@pytest.mark.parametrize("group", DEFINITION["settings_group_validation"])
def test_groups(group: list[str], tmp_path: Path) -> None:
    """Each group of settings is enough to run, and nothing in it can be left out."""
    assert len(DEFINITION["settings_group_validation"]) == 2
    (tmp_path / "token").write_text("token", encoding="utf-8")
    given = {name: WORKING[name] for name in group}
    if "auth_token_path" in given:
        given["auth_token_path"] = str(tmp_path / "token")
    assert config.problems(given) == []
    for name in group:
        assert config.problems({n: value for n, value in given.items() if n != name})


def test_all_there_is_to_say() -> None:
    """What the Hub shows of a loader is there, and the files that it names are."""
    named = ("name", "variant", "namespace", "label", "description", "docs", "repo", "domain_url")
    more = ("executable", "pip_url", "keywords", "maintenance_status", "quality", "next_steps")
    more += ("settings_preamble", "usage", "log_parser")
    assert all(DEFINITION[key] for key in named + more)
    assert set(DEFINITION["capabilities"]) == {
        "about",
        "batch",
        "stream-maps",
        "structured-logging",
        "validate-records",
    }
    maintainers = yaml.safe_load((hub.ROOT / hub.MAINTAINERS).read_text(encoding="utf-8"))
    assert set(maintainers[DEFINITION["variant"]]) == {"label", "name", "url"}
    assert DEFINITION["logo_url"] == hub.HUB_LOGO
    logo = ET.parse(hub.ROOT / hub.LOGO)  # noqa: S314 (our own)
    assert logo.getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_commands() -> None:
    """Meltano passes no `--config` to a command, so each begins with it."""
    commands = DEFINITION["commands"]
    assert set(commands) == {"dead-letters", "explain", "replay"}
    for name, command in commands.items():
        assert command["args"] == f"--config=ENV --{name}"


def test_no_old_name() -> None:
    """Whoever begins with the target sees the present names of settings only."""
    old = set(READABLE) - set(SCHEMA["properties"])
    text = (hub.ROOT / hub.DEFINITION).read_text(encoding="utf-8")
    assert old
    assert [name for name in old if name in text] == []


def test_one_public_location() -> None:
    """Where it is installed from is what one constant says; an example only adds extras."""
    assert DEFINITION["pip_url"] == hub.PIP_URL
    locks = sorted(hub.ROOT.glob(f"examples/*/{hub.LOCK}"))
    names = [lock.parents[2].name for lock in locks]
    assert names == ["no-disk", "postgres", "salesforce", "shopify"]
    for lock in locks:
        settings = lock.parents[2] / "meltano.yml"
        assert json.loads(lock.read_text(encoding="utf-8"))["pip_url"] == hub.PIP_URL
        project = yaml.safe_load(settings.read_text(encoding="utf-8"))
        named = project["plugins"]["loaders"][0].get("pip_url", hub.PIP_URL)
        assert named.partition("[")[0] == hub.PIP_URL


def test_stale_files_are_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lint finds every file that a changed setting has left behind, and says what to do."""
    assert hub.main(check=True) == 0
    monkeypatch.setitem(SCHEMA["properties"]["limit"], "description", "Another.")
    assert hub.main(check=True) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 6
    assert f"{hub.DEFINITION} is stale: run scripts/readme" in said
    assert f"examples/shopify/{hub.LOCK} is stale: run scripts/readme" in said
