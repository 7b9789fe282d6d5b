"""Settings that had another name: the old one works, with a warning."""

from __future__ import annotations

from typing import Any

import pytest

from target_liveintent.config import (
    SCHEMA,
    from_environment,
    from_texts,
    problems,
    settings_of,
    warnings_of,
)
from target_liveintent.spark.options import unknown_options

GOOD: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": "made-up-token"}
DEFAULTS = {
    name: schema["default"] for name, schema in SCHEMA["properties"].items() if "default" in schema
}
"""What Meltano gives the target, whatever the user has set."""
WARNING = "setting 'on_invalid' has been renamed: use 'on_rejection' instead"
CONTRADICTION = (
    "setting 'on_invalid' has been renamed to 'on_rejection', but both are set, and their values"
    " differ: remove 'on_invalid'"
)


@pytest.mark.parametrize("defaults", [{}, DEFAULTS], ids=["plain", "Meltano"])
@pytest.mark.parametrize("given", [{}, {"on_rejection": None}, {"on_rejection": "fail"}])
def test_the_old_name_works(defaults: dict[str, Any], given: dict[str, Any]) -> None:
    """With a warning that names the new one; Meltano's default of that one says nothing."""
    config = {**GOOD, **defaults, **given, "on_invalid": "fail"}
    assert problems(config) == []
    assert settings_of(config).on_rejection == "fail"
    assert list(warnings_of(config)) == [WARNING]


@pytest.mark.parametrize("values", [("fail", "dead_letter"), ("dead_letter", "fail")])
def test_two_values_contradict(values: tuple[str, str]) -> None:
    """Where nobody fills in defaults, a default is a value as any other."""
    old, new = values
    assert problems({**GOOD, "on_invalid": old, "on_rejection": new}) == [CONTRADICTION]


def test_an_old_lock_file() -> None:
    """Its default for the old name says nothing, so there is no warning, and the new name holds."""
    for given, expected in (({}, "dead_letter"), ({"on_rejection": "fail"}, "fail")):
        old = {name: value for name, value in DEFAULTS.items() if name != "on_rejection"}
        config = {**GOOD, **old, "on_invalid": "dead_letter", **given}
        assert problems(config) == []
        assert list(warnings_of(config)) == []
        assert settings_of(config).on_rejection == expected


def test_null_says_nothing() -> None:
    """As with each setting, and so there is nothing to warn of."""
    config = {**GOOD, "on_invalid": None, "on_rejection": "fail"}
    assert problems(config) == []
    assert list(warnings_of(config)) == []
    assert settings_of(config).on_rejection == "fail"


def test_a_wrong_value_is_named_as_the_user_calls_it() -> None:
    (line,) = problems({**GOOD, "on_invalid": "fial"})
    assert line == ("setting 'on_invalid' must be one of dead_letter, fail; did you mean 'fail'?")


def test_texts_and_variables() -> None:
    """Options of Spark and the environment know the old name as well."""
    assert from_texts({"on_invalid": "fail"}) == {"on_invalid": "fail"}
    assert from_environment({"X_ON_INVALID": "fail"}, "X_") == {"on_invalid": "fail"}
    assert list(unknown_options({"on_invalid": "fail", "stream_name": "orders"})) == [WARNING]


def test_a_misspelled_name_is_led_to_the_new_one() -> None:
    (line,) = warnings_of({"on_invalids": "fail"})
    assert "'on_invalids' is unknown" in line
    assert "'on_invalid'" not in line
