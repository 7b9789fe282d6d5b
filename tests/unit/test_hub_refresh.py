"""The definition survives Meltano Hub's weekly refresh, but for what the documentation says.

The rules here are like those of the Hub's `hub-utils`, in https://github.com/meltano/hub.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

hub = pytest.importorskip("hub", reason="not a checkout")

DEFINITION: dict[str, Any] = yaml.safe_load((hub.ROOT / hub.DEFINITION).read_text(encoding="utf-8"))
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
