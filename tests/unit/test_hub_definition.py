"""What Meltano is told of the target is true, complete, and what the code would tell it today."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

from target_liveintent import cli, config
from target_liveintent.config import SCHEMA
from target_liveintent.config.checks import GONE

hub = pytest.importorskip("hub", reason="not a checkout")

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
    said = {name: one["sensitive"] for name, one in SETTINGS.items() if "sensitive" in one}
    secrets = {"auth_token", "store"}
    assert {name for name, is_secret in said.items() if is_secret} == secrets
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
    named = (
        *("name", "variant", "namespace", "label", "description", "docs", "repo", "domain_url"),
        *("executable", "pip_url", "keywords", "maintenance_status", "quality", "next_steps"),
        *("settings_preamble", "usage", "log_parser"),
    )
    assert all(DEFINITION[key] for key in named)
    capabilities = ["about", "batch", "stream-maps", "structured-logging", "validate-records"]
    assert DEFINITION["capabilities"] == capabilities
    maintainers = yaml.safe_load((hub.ROOT / hub.MAINTAINERS).read_text(encoding="utf-8"))
    assert set(maintainers[DEFINITION["variant"]]) == {"label", "name", "url"}
    assert DEFINITION["logo_url"] == hub.HUB_LOGO == "/assets/logos/loaders/liveintent.svg"
    logo = ET.parse(hub.ROOT / hub.LOGO)  # noqa: S314 (our own)
    assert logo.getroot().tag == "{http://www.w3.org/2000/svg}svg"


def is_in_order(value: Any) -> bool:
    if isinstance(value, dict):
        return list(value) == sorted(value) and all(map(is_in_order, value.values()))
    return not isinstance(value, list) or all(map(is_in_order, value))


def test_the_form_that_the_hub_wants() -> None:
    """Sorted keys, and only kinds of settings that it knows: it has none for any number."""
    assert is_in_order(DEFINITION)
    kinds = {"array", "boolean", "integer", "object", "options", "string"}
    assert {setting["kind"] for setting in SETTINGS.values()} <= kinds
    assert all(re.fullmatch(r"3\.\d+", one) for one in DEFINITION["supported_python_versions"])


def test_commands() -> None:
    """Each command of the program is one of the plugin, but nobody forgets people in a pipeline.

    Meltano passes no `--config` to a command, but it sets environment variables.
    """
    commands = DEFINITION["commands"]
    assert {name: command["args"] for name, command in commands.items()} == {
        name: name for name in cli.main.commands if name != "forget"
    }


def test_no_old_name() -> None:
    """Whoever begins with the target sees the present names of settings only."""
    text = (hub.ROOT / hub.DEFINITION).read_text(encoding="utf-8")
    assert [name for name in GONE if name in text] == []


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


# The Hub's weekly refresh; its rules here are like those of `hub-utils` in meltano/hub on GitHub

PAGE = hub.ROOT / "docs" / "contributing.md"
HEAD = "| setting | how the Hub marks it |\n| --- | --- |\n"
SECRET_WORDS = ("id", "key", "password", "secret", "token")


def refreshed(setting: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return a setting as a refresh leaves it, in the spelling of the definition."""
    kind = next(kind for kind in schema["type"] if kind != "null")
    is_secret = kind == "string" and any(word in setting["name"] for word in SECRET_WORDS)
    if kind == "string" and not is_secret and "enum" in schema:
        kind = "options"
    value = {} if schema.get("default") is None else {"value": schema["default"]}
    kept = {name: setting[name] for name in ("name", "label", "options") if name in setting}
    described = {"description": schema["description"], "kind": kind, "sensitive": is_secret}
    return {**kept, **described, **value}


def test_what_is_damaged_is_what_the_documentation_says() -> None:
    """Of the settings in the page's table only the secrecy changes, and nothing of all others."""
    command = [sys.executable, "-m", "target_liveintent", "--about", "--format=json"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=hub.ROOT, timeout=60)
    about = json.loads(done.stdout)
    table = PAGE.read_text(encoding="utf-8").partition(HEAD)[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| as ([\w ]+), although ", table, re.MULTILINE))
    assert len(rows) == table.count("\n") + 1
    marked = {"a password": True, "not secret": False}
    schemas = about["settings"]["properties"]
    assert sorted(schemas) == [setting["name"] for setting in DEFINITION["settings"]]
    for setting in DEFINITION["settings"]:
        name, before = setting["name"], setting.get("sensitive", False)
        after = marked[rows[name]] if name in rows else before
        assert (name in rows) == (after != before)
        assert refreshed(setting, schemas[name]) == {**setting, "sensitive": after}
    assert sorted(about["capabilities"]) == DEFINITION["capabilities"]
    assert about["supported_python_versions"] == DEFINITION["supported_python_versions"]
