"""Environment variables that a run does not read, as its command line has no `--config=ENV`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from target_liveintent.config.loading import READABLE, from_environment, from_texts
from target_liveintent.errors import ConfigurationError


class UnreadVariables(NamedTuple):
    """The variables whose values differ from the settings of a run, by their names alone.

    Attributes:
        guards: Those with which the run would send nothing, or less.
        others: The others.
    """

    guards: list[str]
    others: list[str]


def unread_variables(
    environment: Mapping[str, str], prefix: str, config: Mapping[str, Any]
) -> UnreadVariables:
    """Return the variables that would change the settings of a run.

    Meltano gives each setting in a configuration file and in the environment; these are equal.

    Args:
        environment: The environment variables.
        prefix: What the names of the variables of settings begin with.
        config: The settings of the run, without those of the environment.
    """
    found = UnreadVariables([], [])
    variables = {name: prefix + name.upper() for name in READABLE}
    for name, variable in variables.items():
        if variable not in environment:
            continue
        try:
            value = from_environment({variable: environment[variable]}, prefix).get(name)
        except ConfigurationError:  # It fits no setting, so it equals none.
            value = ...
        if value is None or not _differs(name, value, config):
            continue
        is_guard = name == "limit" or (name == "dry_run" and value is not False)
        (found.guards if is_guard else found.others).append(variable)
    return found


def _differs(name: str, value: Any, config: Mapping[str, Any]) -> bool:
    """Return whether a value is another one than that of the configuration, or of the default."""
    now = _parsed(name, config.get(name))
    if now is None:
        now = READABLE[name].get("default")
    if isinstance(value, dict):  # Meltano writes one object in several ways, so one will do.
        return bool(value) and not now
    return bool(value != now)


def _parsed(name: str, value: Any) -> Any:
    """Return a value of the configuration as the environment would give it."""
    try:
        return from_texts({name: value}).get(name) if isinstance(value, str) else value
    except ConfigurationError:  # A check of the settings will say so.
        return value
