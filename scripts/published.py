"""Generates two files of the site for other programs: a JSON Schema, and `llms.txt`.

Editors use the JSON Schema to complete and check files with settings. Assistants find the pages of
the documentation in `llms.txt`. `scripts/generate.py` writes the files.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from target_liveintent.config import SETTINGS_SCHEMA
from target_liveintent.explain.proposal_text import SCHEMA_URL
from target_liveintent.mapping.map_settings import _EXPRESSION, _OPTIONS, _Null

_ROOT = Path(__file__).parents[1]
_DOCS = _ROOT / "docs"
_OPTION_MEANINGS = {
    "__else__": "With null, the event has only the columns of this map.",
    "__filter__": "A Python expression. Only records for which it is true become events.",
    "__key_properties__": "The columns of the mapped record from which event IDs are derived.",
    "__source__": "The name of the stream that this stream is a copy of.",
    "__alias__": "The name under which the stream is counted, or an expression for this name.",
}
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def settings_schema() -> dict[str, Any]:
    """Return a JSON Schema for files with settings, with the options and columns of stream maps.

    The schema requires no setting, because environment variables may contain any setting.
    """
    expression = msgspec.json.schema(_EXPRESSION[0])
    columns = re.findall(r"^\| `(\w+)` \| (.+) \|$", _page("reference/columns.md"), re.MULTILINE)
    options = {
        name: {**msgspec.json.schema(kind), "description": _OPTION_MEANINGS[name]}
        for name, (kind, _) in _OPTIONS.items()
    }
    stream = {
        "type": "object",
        "properties": {
            **{
                name: {**expression, "description": _LINK.sub(r"\1", text)}
                for name, text in columns
            },
            **options,
        },
        "patternProperties": {f"^(?!({'|'.join(options)})$)__.*__$": False},
        "additionalProperties": expression,
    }
    nothing = msgspec.json.schema(_Null)
    maps = {
        **SETTINGS_SCHEMA["properties"]["stream_maps"],
        "properties": {
            "__else__": {**nothing, "description": "Streams without a map are not sent."}
        },
        "propertyNames": {"pattern": "^(?!__)|^__else__$"},
        "additionalProperties": {"anyOf": [stream, nothing]},
    }
    properties = {name: _or_null(rules) for name, rules in SETTINGS_SCHEMA["properties"].items()}
    return {
        "$schema": SETTINGS_SCHEMA["$schema"],
        "$id": SCHEMA_URL,
        "title": "Settings of target-liveintent",
        "type": "object",
        "properties": {**properties, "stream_maps": maps},
        "additionalProperties": False,
    }


def _or_null(rules: dict[str, Any]) -> dict[str, Any]:
    """Return the rules of a setting, where null ("not set") is an option, as editors need it."""
    return {**rules, "enum": [*rules["enum"], None]} if "enum" in rules else rules


def llms() -> str:
    """Return the list of pages in the format of llmstxt.org, each with its first sentence."""
    site = yaml.safe_load((_ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    url = f"{site['extra']['repository'].replace('github.com', 'raw.githubusercontent.com')}/main"
    lines = [f"# {site['site_name']}", "", f"> {site['site_description']}"]
    groups: dict[str, list[tuple[str, str]]] = {}
    for entry in site["nav"]:  # Each entry maps a name to a page or to a group of pages.
        ((name, content),) = entry.items()
        if isinstance(content, list):
            groups.setdefault(name, []).extend(next(iter(page.items())) for page in content)
        else:
            groups.setdefault("About", []).append((name, content))
    for group, pages in groups.items():
        lines += ["", f"## {group}", ""]
        lines += [f"- [{name}]({url}/docs/{path}): {_first_sentence(path)}" for name, path in pages]
    return "\n".join(lines) + "\n"


def _first_sentence(path: str) -> str:
    paragraph = re.search(r"^[^#<\s|](?:.|\n(?!\n))*", _page(path), re.MULTILINE)
    text = _LINK.sub(r"\1", " ".join(paragraph[0].split())) if paragraph else ""
    return re.split(r"[.:](?: |$)", text)[0] + "."


def _page(path: str) -> str:
    return (_DOCS / path).read_text(encoding="utf-8")


def files() -> dict[Path, str]:
    """Return the text of each generated file, by its path."""
    return {
        _DOCS / SCHEMA_URL.rpartition("/")[2]: json.dumps(settings_schema(), indent=2) + "\n",
        _DOCS / "llms.txt": llms(),
    }
