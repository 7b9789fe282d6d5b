"""The definition survives Meltano Hub's weekly refresh, but for what the documentation says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hub_refresh import description, refreshed

hub = pytest.importorskip("hub", reason="not a checkout")

DEFINITION: dict[str, Any] = yaml.safe_load((hub.ROOT / hub.DEFINITION).read_text(encoding="utf-8"))
PAGE = hub.ROOT / "docs" / "contributing.md"
HEAD = "| setting | how the Hub marks it |\n| --- | --- |\n"


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    """What the target says of itself, as the Hub asks it."""
    command = [sys.executable, "-m", "target_liveintent", "--about", "--format=json"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=hub.ROOT, timeout=60)
    return json.loads(done.stdout)


def by_name(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {setting["name"]: setting for setting in definition["settings"]}


def meaning(setting: dict[str, Any]) -> dict[str, Any]:
    """A setting, of whatever spelling: a password is a text that is secret."""
    is_secret = setting["kind"] == "password" or setting.get("sensitive", False)
    kind = "string" if setting["kind"] == "password" else setting["kind"]
    return {**setting, "kind": kind, "sensitive": is_secret}


def test_what_is_damaged_is_what_the_documentation_says(about: dict[str, Any]) -> None:
    """Kind, default, choices, label and text of all others are what they were."""
    before, after = by_name(DEFINITION), by_name(refreshed(DEFINITION, about))
    assert list(before) == list(after)
    damaged = {
        name: "a password" if meaning(after[name])["sensitive"] else "not secret"
        for name in before
        if meaning(before[name]) != meaning(after[name])
    }
    table = PAGE.read_text(encoding="utf-8").partition(HEAD)[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| as ([\w ]+), although ", table, re.MULTILINE)
    assert len(rows) == table.count("\n") + 1
    assert dict(rows) == damaged
    for name in damaged:  # And nothing but that.
        assert meaning(before[name]) | {"sensitive": None} == meaning(after[name]) | {
            "sensitive": None
        }


def test_all_but_the_settings_is_kept(about: dict[str, Any]) -> None:
    """Capabilities and Python versions, which it also takes from the target, are the same."""
    after = refreshed(DEFINITION, about)
    assert {**after, "settings": None} == {**DEFINITION, "settings": None}


def test_a_pixel_id_is_no_password(about: dict[str, Any]) -> None:
    """Its name has `id`, but only texts are taken for passwords, and it is a number."""
    pixel = by_name(refreshed(DEFINITION, about))["pixel_id"]
    assert (pixel["kind"], "sensitive" in pixel) == ("integer", False)


def test_secrets_have_names_that_say_so(about: dict[str, Any]) -> None:
    """All but the URL, which is for the database's place and user."""
    secrets = {
        name
        for name, schema in about["settings"]["properties"].items()
        if schema.get("secret", False)
    }
    after = by_name(refreshed(DEFINITION, about))
    assert {name for name in secrets if not after[name].get("sensitive")} == {"ledger_url"}


def test_placeholders_and_links_are_kept(about: dict[str, Any]) -> None:
    """What the Hub's people add to a setting stays."""
    edited = json.loads(json.dumps(DEFINITION))
    added = {"documentation": "https://example.com", "placeholder": "a-1b2c"}
    by_name(edited)["customer_id"].update(added)
    assert by_name(refreshed(edited, about))["customer_id"].items() >= added.items()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("One.two of `a.b`. then 1.5 of it.", "One. Two of `a.b`. Then 1.5 of it."),
        ("See http://example.org/a.html", "See http://example.org/a.html"),
    ],
)
def test_how_a_description_is_changed(text: str, left: str) -> None:
    """The rule is at work, so that it is known to change none of the target's."""
    assert description(text) == left
