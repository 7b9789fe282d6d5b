"""Loading: settings from texts and files, with defaults, into `Settings`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from target_liveintent.config import (
    SCHEMA,
    from_environment,
    from_texts,
    problems,
    settings_of,
    unread_variables,
    warnings_of,
)
from target_liveintent.errors import ConfigurationError
from target_liveintent.settings import Settings
from target_liveintent.spark.options import unknown_options

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-T0ken-of-ours"
GOOD: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": SECRET}


def test_settings_in_use() -> None:
    """A setting that is not given has the default of its field; null means "not set"."""
    given = {"pixel_id": 7, "dry_run": True, "stream_maps": {"orders": {"value": "total"}}}
    assert settings_of(GOOD) == Settings(**GOOD)
    assert settings_of(
        {**GOOD, **given, "batch_size_rows": None, "presets": None, "unknown": 1}
    ) == Settings(**GOOD, **given)


def test_what_is_secret() -> None:
    """The schema marks what must not be shown."""
    for mark in ("secret", "writeOnly"):
        marked = {name for name, schema in SCHEMA["properties"].items() if schema.get(mark)}
        assert marked == {"auth_token", "ledger_url", "ledger_password"}


def test_null_is_no_value() -> None:
    """Each setting can be null, which means that it is not set, but for the one that is needed."""
    schemas = SCHEMA["properties"].items()
    assert [name for name, schema in schemas if "null" not in schema["type"]] == ["customer_id"]


def test_everything_that_is_wrong_in_one_line() -> None:
    """The user can fix all of it at once."""
    with pytest.raises(ConfigurationError) as raised:
        settings_of({"customer_id": "x", "batch_size_rows": 0, "on_rejection": "stop"})
    message = str(raised.value)
    assert "\n" not in message
    for name in ("customer_id", "auth_token", "batch_size_rows", "on_rejection"):
        assert f"'{name}'" in message


@pytest.mark.parametrize(
    ("name", "given", "used"),
    [
        ("auth_token", f"{SECRET}\n", SECRET),
        ("api_url", " https://x.example", "https://x.example"),
        ("api_url", "https://x.example\n", "https://x.example"),
        ("pixel_id", 12345.0, 12345),
    ],
)
def test_what_files_add_to_a_value_is_removed(name: str, given: Any, used: Any) -> None:
    """White space never ends up in the URL that is called, and a pixel is sent as an integer."""
    assert repr(getattr(settings_of({**GOOD, name: given}), name)) == repr(used)


@pytest.mark.parametrize("content", [SECRET, f"{SECRET}\n", f"\ufeff {SECRET}\r\n"])
def test_a_token_in_a_file(tmp_path: Path, content: str) -> None:
    """It stands in for the token; the space around it, and a byte-order mark, are not in it."""
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    settings = settings_of({"customer_id": "a-1b2c", "auth_token_path": str(file)})
    assert settings.auth_token == SECRET
    assert SECRET not in repr(settings)


def test_unknown_settings() -> None:
    """A misspelled setting is named, with the nearest that exists, and without its value."""
    given = {**GOOD, "batch_size_row": SECRET, "on_invalids": "fail", "zzz": 1}
    assert list(warnings_of(given)) == [
        "setting 'batch_size_row' is unknown and has no effect; did you mean 'batch_size_rows'?",
        "setting 'on_invalids' is unknown and has no effect",
        "setting 'zzz' is unknown and has no effect",
    ]


def test_texts() -> None:
    """Each text becomes a value of its setting's type; an empty or unknown one sets nothing."""
    texts = {
        "customer_id": " a-1b2c\n",
        "pixel_id": "12345",
        "dry_run": "True",
        "validate_records": "0",
        "stream_maps": '{"orders": null}',
        "timezone": " ",
        "unknown": "x",
    }
    assert from_texts(texts) == {
        "customer_id": "a-1b2c",
        "pixel_id": 12345,
        "dry_run": True,
        "validate_records": False,
        "stream_maps": {"orders": None},
    }


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("pixel_id", SECRET, "an integer from 1 to 9223372036854775807"),
        ("max_retry_seconds", "1.5", "an integer of at least 0"),
        ("dry_run", "maybe", "a boolean"),
        ("stream_maps", "{", "an object"),
        ("stream_maps", "[" * 100_000, "an object"),
    ],
)
def test_texts_that_do_not_fit(name: str, text: str, wanted: str) -> None:
    """The message names the setting, its variable and what it must be, not the text."""
    with pytest.raises(ConfigurationError) as raised:
        from_environment({f"X_{name.upper()}": text}, "X_")
    assert str(raised.value) == f"setting '{name}' (X_{name.upper()}) must be {wanted}"


def test_environment_variables_by_their_prefix() -> None:
    given = {"X_LIMIT": "5", "LIMIT": "6", "X_DRY_RUN": "", "X_STREAM_MAPS": "[]"}
    assert from_environment(given, "X_") == {"limit": 5, "stream_maps": []}


# Settings that had another name

DEFAULTS = {
    name: schema["default"] for name, schema in SCHEMA["properties"].items() if "default" in schema
}
"""What Meltano gives the target, whatever the user has set."""
WARNING = "setting 'on_invalid' has been renamed: use 'on_rejection' instead"
CONTRADICTION = (
    "'on_invalid' has been renamed to 'on_rejection', but both are set, and their values differ:"
    " remove 'on_invalid'"
)
OLD = {name: value for name, value in DEFAULTS.items() if name != "on_rejection"}
"""What an old lock file has: a default for the old name."""


@pytest.mark.parametrize(
    ("config", "warnings", "used"),
    [
        # With a warning that names the new one; Meltano's default of that one says nothing.
        ({"on_invalid": "fail"}, [WARNING], "fail"),
        ({"on_invalid": "fail", "on_rejection": None}, [WARNING], "fail"),
        ({"on_invalid": "fail", "on_rejection": "fail"}, [WARNING], "fail"),
        ({**DEFAULTS, "on_invalid": "fail"}, [WARNING], "fail"),
        # The default of an old lock file says nothing, so the new name holds.
        ({**OLD, "on_invalid": "dead_letter"}, [], "dead_letter"),
        ({**OLD, "on_invalid": "dead_letter", "on_rejection": "fail"}, [], "fail"),
        # Null says nothing, as with each setting, and so there is nothing to warn of.
        ({"on_invalid": None, "on_rejection": "fail"}, [], "fail"),
    ],
)
def test_the_old_name(config: dict[str, Any], warnings: list[str], used: str) -> None:
    """It works, with a warning where the user has set it."""
    given = {**GOOD, **config}
    assert problems(given) == []
    assert settings_of(given).on_rejection == used
    assert list(warnings_of(given)) == warnings


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # Where nobody fills in defaults, a default is a value as any other.
        *(("fail", "dead_letter", CONTRADICTION), ("dead_letter", "fail", CONTRADICTION)),
        # A wrong value is named as the user calls it.
        ("fial", None, "'on_invalid' must be one of dead_letter, fail; did you mean 'fail'?"),
    ],
)
def test_wrong_values_of_the_old_name(old: str, new: str | None, said: str) -> None:
    given = {**GOOD, "on_invalid": old, "on_rejection": new}
    assert problems(given) == [f"setting {said}"]


def test_texts_and_variables() -> None:
    """Options of Spark and the environment know the old name as well."""
    assert from_texts({"on_invalid": "fail"}) == {"on_invalid": "fail"}
    assert from_environment({"X_ON_INVALID": "fail"}, "X_") == {"on_invalid": "fail"}
    assert list(unknown_options({"on_invalid": "fail", "stream_name": "orders"})) == [WARNING]


# Environment variables that a run does not read, and that would change its settings


def unread(environment: dict[str, str], **config: Any) -> tuple[list[str], list[str]]:
    """Return the variables of settings, without the prefix: the guards, and the others."""
    prefixed = {f"T_{name}": text for name, text in environment.items()}
    found = unread_variables(prefixed, "T_", {**GOOD, **config})
    guards, others = ([name.removeprefix("T_") for name in names] for names in found)
    return guards, others


EQUAL: list[tuple[dict[str, str], dict[str, Any]]] = [
    # A default is a value as any other, and an empty variable sets nothing.
    ({}, {}),
    ({"DRY_RUN": ""}, {}),
    ({"DRY_RUN": "false"}, {}),
    ({"DRY_RUN": "yes"}, {"dry_run": True}),
    ({"LIMIT": "5"}, {"limit": 5}),
    ({"LIMIT": "5"}, {"limit": 5.0}),
    ({"TIMEZONE": "UTC"}, {}),
    ({"TIMEZONE": "UTC"}, {"timezone": None}),
    ({"AUTH_TOKEN": SECRET}, {"auth_token": f"{SECRET}\n"}),
    ({"PIXEL_ID": "7"}, {"pixel_id": "7"}),
    ({"STREAM_MAPS": "{}"}, {}),
    ({"STREAM_MAPS": '{"a.email": "mail"}'}, {"stream_maps": {"a": {"email": "mail"}}}),
    ({"LOGLEVEL": "DEBUG", "UNKNOWN": "1"}, {}),
    ({"ON_INVALID": "fail"}, {"on_rejection": "fail"}),
    ({"ON_REJECTION": "fail"}, {"on_invalid": "fail"}),
]
GUARDS: list[tuple[dict[str, str], dict[str, Any]]] = [
    *(({"DRY_RUN": "true"}, {}), ({"DRY_RUN": "1"}, {"dry_run": False})),
    *(({"LIMIT": "5"}, {}), ({"LIMIT": "5"}, {"limit": 6})),
    # Also if their value cannot be read.
    *(({"DRY_RUN": "please"}, {}), ({"LIMIT": "five"}, {})),
]


@pytest.mark.parametrize(("environment", "config"), EQUAL + GUARDS)
def test_guards(environment: dict[str, str], config: dict[str, Any]) -> None:
    """They keep a run from sending, and what is equal in both places says nothing."""
    guards = list(environment) if (environment, config) in GUARDS else []
    assert unread(environment, **config) == (guards, [])


@pytest.mark.parametrize("changes", [{}, {"dry_run": True, "limit": 10, "on_rejection": "fail"}])
def test_meltano_says_nothing(changes: dict[str, Any]) -> None:
    """It gives each setting in both places, an old lock file also the old name of one."""
    config = {**GOOD, **DEFAULTS, "on_invalid": "dead_letter", "presets": {"a": "shopify"}}
    config |= changes
    environment = {
        name.upper(): value if isinstance(value, str) else json.dumps(value)
        for name, value in config.items()
    }
    assert unread(environment, **config) == ([], [])


def test_other_variables() -> None:
    """What differs is named, in the order of the settings."""
    environment = {
        "LEDGER": "false",
        "PIXEL_ID": "8",
        "AUTH_TOKEN": "another",
        "DRY_RUN": "false",
        "STREAM_MAPS": '{"a": null}',
        "ON_INVALID": "fail",
    }
    expected = ["AUTH_TOKEN", "PIXEL_ID", "LEDGER", "DRY_RUN", "STREAM_MAPS", "ON_INVALID"]
    assert unread(environment, dry_run=True, pixel_id="seven") == ([], expected)
