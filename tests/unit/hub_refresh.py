"""What Meltano Hub's weekly refresh makes of a definition, by rules like its own.

The Hub's own are in `hub-utils` of https://github.com/meltano/hub.
"""

from __future__ import annotations

from typing import Any

_SECRET_WORDS = ("id", "key", "password", "secret", "token")
_KEPT = ("documentation", "placeholder")
_LABELS = {"Api": "API", "Db": "Database", "Id": "ID", "Url": "URL"}
"""Parts of words that it writes differently."""
_CODE = ('"', "()", ".com", "`", "e.g.", "http", "i.e.", "ssh", "ssl")
"""In a word with one of these, a full stop ends no sentence."""


def refreshed(definition: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """Return the definition that a refresh leaves.

    Args:
        definition: What the Hub has.
        about: What the released target says at `--about --format=json`.
    """
    existing = {setting["name"]: setting for setting in definition["settings"]}
    settings = [
        _setting(name, schema, existing.get(name, {}))
        for name, schema in sorted(about["settings"]["properties"].items())
    ]
    groups = [sorted(about["settings"]["required"])]
    if len(str(groups)) < len(str(definition["settings_group_validation"])):
        groups = definition["settings_group_validation"]
    return {
        **definition,
        "capabilities": sorted(about["capabilities"]),
        "settings": settings,
        "settings_group_validation": groups,
        "supported_python_versions": about["supported_python_versions"],
    }


def _setting(name: str, schema: dict[str, Any], existing: dict[str, Any]) -> dict[str, Any]:
    kind = next(kind for kind in schema["type"] if kind != "null")
    setting: dict[str, Any] = {
        "name": name,
        "label": schema.get("title") or _label(name),
        "description": description(schema["description"]),
        "kind": kind,
    }
    old = existing.get("description", "")
    if "\n" in old and len(old) > len(setting["description"]):
        setting["description"] = old
    if kind == "string" and any(word in name for word in _SECRET_WORDS):
        setting |= {"kind": "password", "sensitive": True}
    elif kind == "string" and "enum" in schema:
        choices = [{"label": _label(value), "value": value} for value in schema["enum"]]
        setting |= {"kind": "options", "options": choices}
    if schema.get("default") is not None:
        setting["value"] = schema["default"]
    return setting | {name: existing[name] for name in _KEPT if name in existing}


def _label(name: str) -> str:
    words = name.replace("_", " ").title()
    for part, written in _LABELS.items():
        words = words.replace(part, written)
    return words


def description(text: str) -> str:
    """Return a description with a space after each full stop, and a capital letter after that."""
    words = [_with_spaces(word) for word in text.split()]
    sentences: list[str] = []
    for sentence in " ".join(words).split(". "):
        is_begun = bool(sentences) and sentences[-1].endswith(("e.g", "i.e"))
        is_right = sentence[0].isupper() or sentence.startswith(("'", "http", "tap-", "target-"))
        first, space, rest = sentence.partition(" ")
        sentences.append(sentence if is_begun or is_right else f"{first.capitalize()}{space}{rest}")
    return ". ".join(sentences)


def _with_spaces(word: str) -> str:
    before, _, after = word.partition(".")
    is_number = before[-1:].isnumeric() and after[:1].isnumeric()
    if is_number or word.startswith(".") or any(part in word for part in _CODE):
        return word
    return " ".join(word.replace(".", ". ").split())
