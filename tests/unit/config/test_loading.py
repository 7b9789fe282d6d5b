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
        assert marked == {"auth_token", "store"}


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
    """A misspelled setting is named, with the nearest that exists, and without its value.

    Of one that is gone, the checks say more.
    """
    given = {**GOOD, "batch_size_row": SECRET, "on_invalid": "fail", "zzz": 1}
    assert list(warnings_of(given)) == [
        "setting 'batch_size_row' is unknown and has no effect; did you mean 'batch_size_rows'?",
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


# Paths


@pytest.mark.parametrize("root", [None, "project"])
def test_relative_paths_start_at_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str | None
) -> None:
    """Meltano starts the target in a folder of its own, and names the project's root.

    The checks look there as well.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MELTANO_PROJECT_ROOT", raising=False)
    where = tmp_path
    if root is not None:
        where = tmp_path / root
        monkeypatch.setenv("MELTANO_PROJECT_ROOT", str(where))
    (where / "output").mkdir(parents=True)
    (where / "token").write_text(SECRET)
    paths = {
        "auth_token_path": "token",
        "suppression_path": "people.txt",
        "store": "output/store.sqlite",
        "report_path": "output/run.html",
        "metrics_path": "output/run.prom",
    }
    given = {"customer_id": "a-1b2c", **paths}
    assert problems(given) == []
    settings = settings_of(given)
    assert settings.auth_token == SECRET
    for name, path in paths.items():
        assert (tmp_path / getattr(settings, name)) == where / path
    assert tmp_path / settings_of(GOOD).store == where / Settings.store


def test_other_places_do_not_start_at_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELTANO_PROJECT_ROOT", "/nowhere")
    metrics = str(tmp_path / "run.prom")
    urls = {"store": "postgresql://db.example.com/l", "suppression_path": "s3://bucket/people.txt"}
    settings = settings_of({**GOOD, "metrics_path": metrics, **urls})
    assert settings.metrics_path == metrics
    assert (settings.store, settings.suppression_path) == tuple(urls.values())


# Environment variables that a run does not read, and that would change its settings

DEFAULTS = {
    name: schema["default"] for name, schema in SCHEMA["properties"].items() if "default" in schema
}
"""What Meltano gives the target, whatever the user has set."""


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
    """It gives each setting in both places."""
    config = {**GOOD, **DEFAULTS, "presets": {"a": "shopify"}, **changes}
    environment = {
        name.upper(): value if isinstance(value, str) else json.dumps(value)
        for name, value in config.items()
    }
    assert unread(environment, **config) == ([], [])


def test_other_variables() -> None:
    """What differs is named, what is gone first, in the order of the settings."""
    environment = {
        "KEEP_DELIVERED": "true",
        "PIXEL_ID": "8",
        "AUTH_TOKEN": "another",
        "DRY_RUN": "false",
        "STREAM_MAPS": '{"a": null}',
        "LEDGER_PATH": "ledger.sqlite",
    }
    expected = ["LEDGER_PATH", "AUTH_TOKEN", "PIXEL_ID", "KEEP_DELIVERED", "DRY_RUN", "STREAM_MAPS"]
    assert unread(environment, dry_run=True, pixel_id="seven") == ([], expected)
