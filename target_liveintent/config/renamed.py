"""Settings that have another name than before; the old name still works, with a warning.

Meltano gives each setting its default. So in a configuration with all defaults, a default does not
say what the user wants: not that of the setting, and not that of its old name, which the lock file
of an older version has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from target_liveintent.config.schema import SCHEMA

_NEW_NAMES = {"on_invalid": "on_rejection"}
"""The names of settings by their old ones."""
READABLE: dict[str, Any] = SCHEMA["properties"] | {
    old: SCHEMA["properties"][new] for old, new in _NEW_NAMES.items()
}
"""The schemas of all settings that can be given, by their names and old names."""
_WITH_DEFAULT = {
    name for name, schema in SCHEMA["properties"].items() if "default" in schema
}.difference(_NEW_NAMES.values())


def old_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the old names that a configuration uses, by the names of their settings."""
    return {new: old for old, new in _NEW_NAMES.items() if _is_set(config, old)}


def renamed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without old names: what they give is under the new ones."""
    kept = {name: value for name, value in config.items() if name not in _NEW_NAMES}
    return kept | {new: config[old] for new, old in old_names(config).items()}


def renaming_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each setting that its two names give different values."""
    for new, old in old_names(config).items():
        if _is_set(config, new) and config[new] != config[old]:
            yield (
                f"setting '{old}' has been renamed to '{new}', but both are set, and their values"
                f" differ: remove '{old}'"
            )


def _is_set(config: Mapping[str, Any], name: str) -> bool:
    """Return whether the user gives a value to a setting, as far as can be known."""
    value = config.get(name)
    is_by_meltano = value == READABLE[name].get("default") and config.keys() >= _WITH_DEFAULT
    return value is not None and not is_by_meltano
