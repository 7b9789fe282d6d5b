"""What Meltano is told of the target: `scripts/lint` checks that it is what the code says today."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from target_liveintent import cli, config
from target_liveintent.config import SETTINGS_SCHEMA

hub = pytest.importorskip("hub", reason="not a checkout")

DEFINITION: dict[str, Any] = yaml.safe_load((hub.ROOT / hub.DEFINITION).read_text(encoding="utf-8"))
SETTINGS = {setting["name"]: setting for setting in DEFINITION["settings"]}
WORKING = {"customer_id": "a-1b2c", "auth_token": "token", "auth_token_path": "file"}


def test_settings() -> None:
    """Every setting, of a kind that the Hub knows: it has none for any number."""
    assert list(SETTINGS) == sorted(SETTINGS_SCHEMA["properties"])
    kinds = {"array", "boolean", "integer", "object", "options", "string"}
    assert {setting["kind"] for setting in SETTINGS.values()} <= kinds


def test_secrets() -> None:
    """The token and the URL of a database are; what only looks like a secret is said to be none."""
    said = {name: one["sensitive"] for name, one in SETTINGS.items() if "sensitive" in one}
    secrets = {"auth_token", "store"}
    assert {name for name, is_secret in said.items() if is_secret} == secrets
    assert set(said) >= {"customer_id", "auth_token", "auth_token_path", "pixel_id"}


@pytest.mark.parametrize("group", DEFINITION["settings_group_validation"], ids=" and ".join)
def test_each_group_of_settings_is_enough_to_run(group: list[str], tmp_path: Path) -> None:
    """Nothing in a group can be left out."""
    assert len(DEFINITION["settings_group_validation"]) == 2
    (tmp_path / "token").write_text("token", encoding="utf-8")
    given = {name: WORKING[name] for name in group}
    if "auth_token_path" in given:
        given["auth_token_path"] = str(tmp_path / "token")
    assert config.problems(given) == []
    for name in group:
        assert config.problems({n: value for n, value in given.items() if n != name})


def test_commands() -> None:
    """Each command of the program is one of the plugin, but nobody forgets people in a pipeline.

    Meltano passes no `--config` to a command, but it sets environment variables.
    """
    commands = DEFINITION["commands"]
    assert {name: command["args"] for name, command in commands.items()} == {
        name: name for name in cli.main.commands if name != "forget"
    }


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
        assert named.replace("[postgres]", "") == hub.PIP_URL
