"""Loading: settings from texts and files, with defaults, into `Settings`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from unit_support import body, order

from target_liveintent.config import (
    SCHEMA,
    from_environment,
    from_texts,
    problems,
    settings_of,
    warnings_of,
)
from target_liveintent.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-T0ken-of-ours"
GOOD: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": SECRET}


def test_defaults_in_use() -> None:
    """A setting that is not given has the default of its field."""
    settings = settings_of(GOOD)
    assert settings.url == "https://conversions.liveintent.com/conversions/a-1b2c"
    assert settings.batch_size_rows == 100
    assert settings.max_concurrent_requests == 64
    assert settings.flush_interval_seconds == 60
    assert settings.request_timeout_seconds == 30
    assert settings.max_retry_seconds == 300
    assert settings.max_dead_letter_percent == 50
    assert settings.dead_letter_path == "liveintent-dead-letters.singer"
    assert (settings.fail_on_rejection, settings.validate_records, settings.dry_run) == (False,) * 3
    assert (settings.events.pixel_id, settings.events.source) == (None, None)
    assert settings.events.normalization == "gmail"
    assert str(settings.events.zone) == "UTC"
    assert (settings.presets, settings.stream_maps, settings.stream_map_config) == ({}, {}, {})
    assert (settings.ledger, settings.ledger_path) == (True, "liveintent-ledger.sqlite")
    assert settings.limit is None


def test_settings_in_use() -> None:
    """A given value is used; null means "not set"."""
    given = {
        **GOOD,
        "pixel_id": 7,
        "default_source": "offline",
        "timezone": "America/New_York",
        "email_normalization": "lowercase",
        "on_rejection": "fail",
        "batch_size_rows": None,
        "stream_maps": {"orders": {"value": "total"}},
        "presets": None,
        "dry_run": True,
        "unknown": 1,
    }
    settings = settings_of(given)
    assert settings.events[:2] == (7, "offline")
    assert str(settings.events.zone) == "America/New_York"
    assert settings.events.normalization == "lowercase"
    assert (settings.fail_on_rejection, settings.dry_run) == (True, True)
    assert settings.batch_size_rows == 100
    assert (settings.stream_maps, settings.presets) == ({"orders": {"value": "total"}}, {})


def test_everything_that_is_wrong_in_one_line() -> None:
    """The user can fix all of it at once."""
    with pytest.raises(ConfigurationError) as raised:
        settings_of({"customer_id": "x", "batch_size_rows": 0, "on_rejection": "stop"})
    message = str(raised.value)
    assert "\n" not in message
    for name in ("customer_id", "auth_token", "batch_size_rows", "on_rejection"):
        assert f"'{name}'" in message


@pytest.mark.parametrize(
    "url",
    [" https://x.example", "https://x.example\n", "https://x .example", "https://x.example/a b"],
)
def test_urls_with_white_space(url: str) -> None:
    """White space is refused, or trimmed; it never ends up in the URL that is called."""
    config = {**GOOD, "api_url": url}
    assert problems(config) or not any(c.isspace() for c in settings_of(config).url)


@pytest.mark.parametrize("name", ["customer_id", "auth_token"])
def test_a_line_end_from_a_file_does_no_harm(name: str) -> None:
    """A secret that was read with its newline is refused, or trimmed."""
    config = {**GOOD, name: f"{GOOD[name]}\n"}
    if not problems(config):
        settings = settings_of(config)
        assert "\n" not in settings.url + settings.auth_token + settings.customer_id


def test_a_token_in_a_file(tmp_path: Path) -> None:
    """It stands in for the token; the space around it, and a byte-order mark, are not in it."""
    file = tmp_path / "token"
    for content in (SECRET, f"{SECRET}\n", f"\ufeff {SECRET}\r\n"):
        file.write_text(content, encoding="utf-8")
        settings = settings_of({"customer_id": "a-1b2c", "auth_token_path": str(file)})
        assert settings.auth_token == SECRET
        assert SECRET not in repr(settings)


@pytest.mark.parametrize("pixel_id", [12345, 12345.0])
def test_a_pixel_id_is_sent_as_an_integer(pixel_id: Any) -> None:
    """A setting that JSON wrote with a fraction is refused, or an integer in every event."""
    config = {**GOOD, "pixel_id": pixel_id, "default_source": "web"}
    if not problems(config):
        made = body(order(), defaults=settings_of(config).events)
        assert json.dumps(made["pixelId"]) == "12345"


def test_unknown_settings() -> None:
    """A misspelled setting is named, with the nearest that exists, and without its value."""
    (line,) = warnings_of({**GOOD, "batch_size_row": SECRET})
    assert "'batch_size_row'" in line
    assert "'batch_size_rows'" in line
    assert SECRET not in line
    assert list(warnings_of(GOOD)) == []
    (line,) = warnings_of({"zzz": 1})
    assert "'zzz'" in line


@pytest.mark.parametrize("name", ["load_method", "add_record_metadata", "faker_config"])
def test_settings_of_the_sdk_that_do_nothing_are_unknown(name: str) -> None:
    """They are not in the schema, and said to do nothing."""
    assert name not in SCHEMA["properties"]
    assert len(list(warnings_of({name: True}))) == 1


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
    found = from_environment({"X_LIMIT": "5", "LIMIT": "6", "X_DRY_RUN": ""}, "X_")
    assert found == {"limit": 5}
