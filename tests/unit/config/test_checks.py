"""The settings: their table, what is said about wrong ones, and what is never shown."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from unit_support import body, order

from target_liveintent.config import SCHEMA, problems, settings_of, unknown_settings
from target_liveintent.errors import ConfigurationError
from target_liveintent.settings import endpoint, is_loopback

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-T0ken-of-ours"
GOOD: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": SECRET}

TABLE: dict[str, tuple[str, Any]] = {
    "customer_id": ("string", None),
    "auth_token": ("string", None),
    "auth_token_path": ("string", None),
    "pixel_id": ("integer", None),
    "api_url": ("string", "https://conversions.liveintent.com"),
    "default_source": ("string", None),
    "timezone": ("string", "UTC"),
    "email_normalization": ("string", "gmail"),
    "batch_size_rows": ("integer", 100),
    "max_concurrent_requests": ("integer", 8),
    "flush_interval_seconds": ("integer", 60),
    "request_timeout_seconds": ("integer", 30),
    "max_retry_seconds": ("integer", 300),
    "on_invalid": ("string", "dead_letter"),
    "max_dead_letter_percent": ("integer", 50),
    "dead_letter_path": ("string", "liveintent-dead-letters.singer"),
    "replay_unconfirmed": ("boolean", False),
    "ledger_path": ("string", None),
    "suppression_path": ("string", None),
    "report_path": ("string", None),
    "delivered_path": ("string", None),
    "metrics_path": ("string", None),
    "validate_records": ("boolean", False),
    "dry_run": ("boolean", False),
    "limit": ("integer", None),
}


def test_the_settings_are_those_of_the_specification() -> None:
    """Exactly these, and those of stream maps; nothing that does nothing."""
    assert set(SCHEMA["properties"]) == {*TABLE, "presets", "stream_maps", "stream_map_config"}
    assert set(SCHEMA["required"]) == {"customer_id"}  # And one of two ways to give the token.


@pytest.mark.parametrize("name", TABLE)
def test_types_and_defaults(name: str) -> None:
    """Type and default are those of the table; integers, so that environment variables work."""
    kind, default = TABLE[name]
    schema = SCHEMA["properties"][name]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert set(kinds) - {"null"} == {kind}
    assert schema.get("default") == default
    assert schema["description"]


def test_the_token_alone_is_secret() -> None:
    """The schema marks what must not be shown."""
    marked = {name for name, schema in SCHEMA["properties"].items() if schema.get("secret")}
    assert marked == {"auth_token"}


def test_defaults_in_use() -> None:
    """What is not set is what the table says."""
    settings = settings_of(GOOD)
    assert settings.url == "https://conversions.liveintent.com/conversions/a-1b2c"
    assert settings.batch_size_rows == 100
    assert settings.max_concurrent_requests == 8
    assert settings.flush_interval_seconds == 60
    assert settings.request_timeout_seconds == 30
    assert settings.max_retry_seconds == 300
    assert settings.max_dead_letter_percent == 50
    assert settings.dead_letter_path == "liveintent-dead-letters.singer"
    assert (settings.fail_on_invalid, settings.validate_records, settings.dry_run) == (False,) * 3
    assert (settings.events.pixel_id, settings.events.source) == (None, None)
    assert settings.events.normalization == "gmail"
    assert str(settings.events.zone) == "UTC"


def test_settings_in_use() -> None:
    """What is set gets there; null is as good as not set."""
    given = {
        **GOOD,
        "pixel_id": 7,
        "default_source": "offline",
        "timezone": "America/New_York",
        "email_normalization": "lowercase",
        "on_invalid": "fail",
        "batch_size_rows": None,
        "dry_run": True,
    }
    settings = settings_of(given)
    assert settings.events[:2] == (7, "offline")
    assert str(settings.events.zone) == "America/New_York"
    assert settings.events.normalization == "lowercase"
    assert (settings.fail_on_invalid, settings.dry_run) == (True, True)
    assert settings.batch_size_rows == 100


def test_the_repr_hides_the_token() -> None:
    """A log line or a traceback with the settings shows no token."""
    settings = settings_of({**GOOD, "pixel_id": 7})
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
    assert settings.auth_token == SECRET


def test_settings_are_frozen() -> None:
    """Nobody changes a setting during the run."""
    settings = settings_of(GOOD)
    with pytest.raises(AttributeError):
        settings.dry_run = True  # type: ignore[misc]


@pytest.mark.parametrize("name", ["customer_id", "auth_token"])
def test_required_settings(name: str) -> None:
    """A required setting that is absent or null is named."""
    for config in ({k: v for k, v in GOOD.items() if k != name}, {**GOOD, name: None}):
        (line,) = problems(config)
        assert f"'{name}'" in line
        assert "required" in line


def test_everything_that_is_wrong_in_one_line() -> None:
    """The user mends all of it at once."""
    with pytest.raises(ConfigurationError) as raised:
        settings_of({"customer_id": "x", "batch_size_rows": 0, "on_invalid": "stop"})
    message = str(raised.value)
    assert "\n" not in message
    for name in ("customer_id", "auth_token", "batch_size_rows", "on_invalid"):
        assert f"'{name}'" in message


WRONG: list[tuple[str, Any, str]] = [
    ("customer_id", "c-1b2c", "a-b"),
    ("customer_id", "a-1b2", "a-b"),
    ("customer_id", "a-1b2cd", "a-b"),
    ("customer_id", "A-1B2C", "a-b"),
    ("customer_id", "", "a-b"),
    ("customer_id", 5, ""),
    ("auth_token", "", ""),
    ("auth_token", 5, ""),
    ("pixel_id", "12345", "integer"),
    ("pixel_id", 1.5, "integer"),
    ("pixel_id", True, "integer"),
    ("default_source", "pos", "web, app, offline"),
    ("default_source", "WEB", "web, app, offline"),
    ("timezone", "Mars/Olympus", "IANA"),
    ("timezone", "", "IANA"),
    ("timezone", "../UTC", "IANA"),
    ("timezone", "Europe", "IANA"),
    ("timezone", 5, ""),
    ("email_normalization", "none", "gmail, all_domains, lowercase"),
    ("batch_size_rows", 0, "1"),
    ("batch_size_rows", 101, "100"),
    ("batch_size_rows", "100", "integer"),
    ("max_concurrent_requests", 0, "1"),
    ("max_concurrent_requests", 65, "64"),
    ("flush_interval_seconds", 0, "1"),
    ("flush_interval_seconds", -5, "1"),
    ("request_timeout_seconds", 0, "1"),
    ("max_retry_seconds", -1, "0"),
    ("on_invalid", "stop", "dead_letter, fail"),
    ("max_dead_letter_percent", -1, "0"),
    ("max_dead_letter_percent", 101, "100"),
    ("dead_letter_path", "", "empty"),
    ("report_path", "report.htm", ".html"),
    ("report_path", "report.json", ".html"),
    ("report_path", ".html", ".html"),
    ("report_path", "nowhere/report.html", "folder"),
    ("delivered_path", "", "empty"),
    ("delivered_path", "nowhere/sent.csv", "folder"),
    ("delivered_path", "/", "folder"),
    ("metrics_path", "nowhere/run.prom", "folder"),
    ("validate_records", "yes", "boolean"),
    ("dry_run", 1, "boolean"),
    ("stream_maps", "x", "object"),
    ("stream_maps", [], "object"),
    ("stream_map_config", "x", "object"),
]


@pytest.mark.parametrize(("name", "value", "hint"), WRONG)
def test_wrong_values(name: str, value: Any, hint: str) -> None:
    """One line names the setting and what it must be."""
    (line,) = problems({**GOOD, name: value})
    assert line.startswith(f"setting '{name}'")
    assert hint in line
    assert "\n" not in line


RIGHT: list[tuple[str, Any]] = [
    ("customer_id", "b-zzzz"),
    ("customer_id", "a-0000"),
    ("pixel_id", 1),
    ("batch_size_rows", 1),
    ("batch_size_rows", 100),
    ("max_concurrent_requests", 1),
    ("max_concurrent_requests", 64),
    ("max_retry_seconds", 0),
    ("max_dead_letter_percent", 0),
    ("max_dead_letter_percent", 100),
    ("timezone", "Asia/Kathmandu"),
    ("email_normalization", "all_domains"),
    ("stream_maps", {}),
    ("stream_maps", {"orders": None, "*": "__NULL__", "__else__": "__NULL__"}),
    ("stream_maps", {"__else__": None}),
    ("stream_maps", {"orders": {"email": "_.get('email')", "x": None, "__filter__": "paid"}}),
    ("stream_maps", {"copy": {"__source__": "orders", "__else__": None, "__alias__": "x"}}),
    ("stream_maps", {"orders": {"__key_properties__": ["id"], "id": "id"}}),
    ("stream_map_config", {"a": 1}),
]


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_right_values(name: str, value: Any) -> None:
    """The ends of each range, and stream maps of every kind, are fine."""
    assert problems({**GOOD, name: value}) == []


SHAPES: list[Any] = [
    SECRET,
    [SECRET],
    {"x": SECRET},
    {"x": [SECRET]},
    {"x": {"y": [SECRET]}},
    {"x": {"y": f"{SECRET} ]"}},
    {"x": {"__filter__": f"{SECRET} ]"}},
    {"x": {"y": {"z": SECRET}}},
    {"x": {"__else__": SECRET}},
    {"x": {"__else__": [SECRET]}},
    {"__else__": SECRET},
    {"__else__": {"x": SECRET}},
    {"__x__": SECRET},
    f"https://user:{SECRET}@example.com",
    f"http://{SECRET}.example.com",
    f"https://example.com?{SECRET}",
]


@pytest.mark.parametrize("name", SCHEMA["properties"])
@pytest.mark.parametrize("value", SHAPES, ids=str)
def test_no_value_is_ever_shown(name: str, value: Any) -> None:
    """A token that slipped into another setting does not end up in a log."""
    found = problems({**GOOD, name: value})
    assert SECRET not in "".join(found)
    for line in found:
        assert f"setting '{name}" in line
        assert "\n" not in line
    with contextlib.suppress(ConfigurationError):
        assert SECRET not in repr(settings_of({"customer_id": "a-1b2c", "auth_token": "x"}))


@pytest.mark.parametrize(
    ("maps", "place"),
    [
        ({"orders": {"source": "web shop"}}, "stream_maps.orders.source"),
        ({"orders": {"value": "total ="}}, "stream_maps.orders.value"),
        ({"orders": {"__filter__": "paid ="}}, "stream_maps.orders.__filter__"),
        ({"orders": {"value": ""}}, "stream_maps.orders.value"),
        ({"orders": {"value": 5}}, "stream_maps.orders"),
        ({"orders": 5}, "stream_maps.orders"),
        ({"orders": {"__else__": "x"}}, "stream_maps.orders.__else__"),
        ({"orders": {"__else__": {}}}, "stream_maps.orders.__else__"),
        ({"__else__": "x"}, "stream_maps.__else__"),
        ({"__else__": {"a": "b"}}, "stream_maps.__else__"),
        ({"__filter__": "x"}, "stream_maps.__filter__"),
    ],
)
def test_wrong_stream_maps(maps: dict[str, Any], place: str) -> None:
    """What the SDK would only find when a stream arrives is found before, and placed."""
    (line, *_) = problems({**GOOD, "stream_maps": maps})
    assert f"'{place}" in line or line.startswith("setting 'stream_maps")


@pytest.mark.parametrize(
    "url",
    [
        "https://conversions.liveintent.com",
        "https://conversions.liveintent.com/",
        "https://proxy.example:8443/prefix",
        "https://x.example/{customer_id}/events",
        "http://127.0.0.1:8086",
        "http://127.9.9.9",
        "http://localhost:8086/",
        "http://LOCALHOST",
        "http://[::1]:8086",
    ],
)
def test_good_urls(url: str) -> None:
    """Https anywhere, http on loopback."""
    assert problems({**GOOD, "api_url": url}) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "conversions.liveintent.com",
        "//conversions.liveintent.com",
        "https://",
        "https:///x",
        "ftp://x.example",
        "file:///etc/passwd",
        "https://x.example:99999",
        "https://x.example:port",
        "https://[x.example",
        "https://x.example?a=1",
        "https://x.example#a",
        "http://x.example",
        "http://conversions.liveintent.com",
        "http://0.0.0.0",
        "http://10.0.0.1",
        "http://127.0.0.1.x.example",
        "http://localhost.x.example",
        "http://localhost@x.example",
        "http://127.0.0.1:80@x.example",
        "http://x.example\\@127.0.0.1",
        "http://x.example#@127.0.0.1",
        "http://x.example/127.0.0.1",
        "https://user:pass@x.example",
    ],
)
def test_bad_urls(url: str) -> None:
    """The token never travels in the clear, and not to where the URL only seems to point."""
    (line,) = problems({**GOOD, "api_url": url})
    assert line.startswith("setting 'api_url'")
    assert "pass" not in line.replace("password", "")


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


@pytest.mark.parametrize("token", ["to ken", "tok\nen", "tok\x00en", "tök", "   ", "tok\u2028en"])
def test_a_token_that_no_header_can_hold(token: str) -> None:
    """It is refused here and not shown, instead of failing at the first request."""
    (line,) = problems({**GOOD, "auth_token": token})
    assert "'auth_token'" in line
    assert token not in line or not token.strip()


def test_a_token_in_a_file(tmp_path: Path) -> None:
    """It stands in for the token; the space around it, and a byte-order mark, are not in it."""
    file = tmp_path / "token"
    for content in (SECRET, f"{SECRET}\n", f"\ufeff {SECRET}\r\n"):
        file.write_text(content, encoding="utf-8")
        settings = settings_of({"customer_id": "a-1b2c", "auth_token_path": str(file)})
        assert settings.auth_token == SECRET
        assert SECRET not in repr(settings)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"to ken", b"a\nb", b"\xff", b"t\xc3\xb6k"])
def test_a_token_file_that_cannot_be_used(tmp_path: Path, content: bytes | None) -> None:
    """It is named by its setting, and its content is not shown."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    (line,) = problems({"customer_id": "a-1b2c", "auth_token_path": str(file)})
    assert "'auth_token_path'" in line
    assert (
        not content or content.decode(errors="replace").strip() not in line or not content.strip()
    )
    for path in (str(tmp_path), "a\0b"):
        (line,) = problems({"customer_id": "a-1b2c", "auth_token_path": path})
        assert "'auth_token_path'" in line


def test_both_ways_to_give_the_token() -> None:
    """Which one is meant cannot be known."""
    (line,) = problems({**GOOD, "auth_token_path": "token"})
    assert "'auth_token'" in line
    assert "'auth_token_path'" in line


@pytest.mark.parametrize(
    ("api_url", "url"),
    [
        ("https://x.example", "https://x.example/conversions/a-1b2c"),
        ("https://x.example/", "https://x.example/conversions/a-1b2c"),
        ("https://x.example/v1/", "https://x.example/v1/conversions/a-1b2c"),
        ("https://x.example/{customer_id}/events", "https://x.example/a-1b2c/events"),
        ("https://x.example/{customer_id}", "https://x.example/a-1b2c"),
    ],
)
def test_endpoint(api_url: str, url: str) -> None:
    """A base URL, or with `{customer_id}` the whole of it."""
    assert endpoint(api_url, "a-1b2c") == url
    assert settings_of({**GOOD, "api_url": api_url}).url == url


def test_loopback() -> None:
    """This machine by address or name, and nothing that only looks like it."""
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert is_loopback(f"http://{host}:80/x")
    for host in ("x.example", "0.0.0.0", "127.0.0.1.x.example", "localhost.x.example"):  # noqa: S104
        assert not is_loopback(f"http://{host}/")


def test_unknown_settings() -> None:
    """A misspelled setting is named, with the nearest that exists, and without its value."""
    (line,) = unknown_settings({**GOOD, "batch_size_row": SECRET})
    assert "'batch_size_row'" in line
    assert "'batch_size_rows'" in line
    assert SECRET not in line
    assert list(unknown_settings(GOOD)) == []
    (line,) = unknown_settings({"zzz": 1})
    assert "'zzz'" in line


@pytest.mark.parametrize("name", ["load_method", "add_record_metadata", "faker_config"])
def test_settings_of_the_sdk_that_do_nothing_are_unknown(name: str) -> None:
    """They are not in the schema, and said to do nothing."""
    assert name not in SCHEMA["properties"]
    assert len(list(unknown_settings({name: True}))) == 1


@pytest.mark.parametrize("pixel_id", [12345, 12345.0])
def test_a_pixel_id_is_sent_as_an_integer(pixel_id: Any) -> None:
    """A setting that JSON wrote with a fraction is refused, or an integer in every event."""
    config = {**GOOD, "pixel_id": pixel_id, "default_source": "web"}
    if not problems(config):
        made = body(order(), defaults=settings_of(config).events)
        assert json.dumps(made["pixelId"]) == "12345"


def test_a_pixel_id_fits_where_the_record_s_own_would() -> None:
    """A setting that is too large for the API is found before any input is read."""
    assert problems({**GOOD, "pixel_id": 2**63})


@pytest.mark.parametrize(
    ("settings", "both"),
    [
        ({"delivered_path": "a", "metrics_path": "a"}, ("delivered_path", "metrics_path")),
        ({"delivered_path": "./a", "ledger_path": "b/../a"}, ("ledger_path", "delivered_path")),
        (
            {"delivered_path": "liveintent-dead-letters.singer"},
            ("dead_letter_path", "delivered_path"),
        ),
        ({"report_path": "a.html", "metrics_path": "a.json"}, ("metrics_path", "report_path")),
        ({"report_path": "a.html", "suppression_path": "a.html"}, ("suppression", "report")),
    ],
)
def test_settings_that_name_the_same_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    both: tuple[str, str],
) -> None:
    """One of them would destroy what the other keeps."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    (line,) = problems({**GOOD, **settings})
    assert line.endswith("must not name the same file")
    assert all(name in line for name in both)


def test_settings_that_name_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"delivered_path": "a.csv", "metrics_path": "a.prom", "ledger_path": "a.sqlite"}
    assert problems({**GOOD, **names, "report_path": "a.html"}) == []


def test_a_report_without_what_draws_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told before anything is sent, with the command that helps."""
    monkeypatch.setitem(sys.modules, "pygal", None)
    (line,) = problems({**GOOD, "report_path": "a.html"})
    assert line.startswith("setting 'report_path'")
    assert "pip install 'target-liveintent[report]'" in line
    assert problems(GOOD) == []
