"""The checks: a wrong setting is named in one line, and its value is never shown.

The tables here have each wrong setting; `tests/integration` has one of each kind in a process.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from target_liveintent.config import SCHEMA, problems
from target_liveintent.mapping import PRESETS
from target_liveintent.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-T0ken-of-ours"
GOOD: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": SECRET}


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that has entries of each kind."""
    monkeypatch.chdir(tmp_path)
    for name in ("folder", "file"):  # One of the folders is called "file".
        (tmp_path / name).mkdir()
    for name in ("there", "third"):
        (tmp_path / name).touch()
    links = {"here": ".", "symlink": "there", "dangling": "absent", "device": "/dev/null"}
    for name, place in links.items():
        (tmp_path / name).symlink_to(place)
    (tmp_path / "hard link").hardlink_to("there")
    os.mkfifo(tmp_path / "pipe")


# A setting alone

TAKE_URLS = (
    *("dead_letter_path", "delivered_path", "history_path", "report_path", "suppression_path"),
)
NO_FOLDER = "must name a file in a folder that exists"
NO_SECRETS = "must be a URL without a user, a password or parameters, such as s3://bucket/folder:"
NO_FILE = "must name an ordinary file, not a device such as /dev/null"
DEVICES = ("/dev/null", "device", "pipe")
ONE_OF = f"must be one of {', '.join(PRESETS)}"
EXPRESSION = (
    "must be a Python expression. If the expression is a fixed text, write this text in two pairs"
    " of quotes, such as \"'web'\""
)
NULL = "must be null or '__NULL__'"
NO_MAP = "must be null, '__NULL__', or an object whose keys are column names"
MISPLACED = (
    "is in the wrong place: a key of stream_maps must be the name of a stream, or __else__. If"
    " this key is an option, move it into the map of a stream"
)
COLUMNS = "must be a list of column names"
WRONG: list[tuple[Any, ...]] = [
    ("customer_id", "a-b", "c-1b2c", "a-1b2", "a-1b2cd", "A-1B2C", "", 5),
    ("auth_token", "must be a string that is not empty", "", 5),
    ("auth_token", "printable ASCII characters", "s3cr3t n", "s3cr3t\nen", "s3cr3t\x00en"),
    ("auth_token", "printable ASCII characters", "s3cr3tö", "   ", "s3cr3t\u2028en"),
    ("pixel_id", "an integer from 1", "12345", 1.5, True, 2**63),
    ("default_source", "one of web, app, offline", "pos", "WEB"),
    ("timezone", "IANA", "Mars/Olympus", "", "../UTC", "Europe"),
    ("timezone", "must be a string", 5),
    ("email_normalization", "one of gmail, all_domains, lowercase", "none"),
    ("source_url_parameters", "one of all_but_secrets, attribution, none", "all"),
    ("batch_size_rows", "an integer from 1 to 100", 0, 101, "100"),
    ("max_concurrent_requests", "an integer from 1 to 256", 0, 257),
    ("max_requests_per_minute", "an integer of at least 1", 0),
    ("flush_interval_seconds", "an integer of at least 1", 0, -5),
    ("request_timeout_seconds", "an integer of at least 1", 0),
    ("max_retry_seconds", "an integer of at least 0", -1),
    ("history_days", "an integer of at least 1", 0),
    ("on_rejection", "one of dead_letter, fail", "stop"),
    ("max_dead_letter_percent", "an integer from 0 to 100", -1, 101),
    ("dead_letter_path", "not empty", ""),
    ("delivered_path", "not empty", ""),
    ("delivered_path", "must name a file, not a folder: add a file name", "/", "folder"),
    ("metrics_path", "must name a file, not a folder: add a file name", "file"),
    ("metrics_path", NO_FOLDER, "nowhere/run.prom", "a\0b", "\ud800"),
    ("report_path", NO_FOLDER, "nowhere/report.html"),
    ("report_path", ".html", "report.htm", "report.json", ".html"),
    ("history_path", "must name a folder, not a file", "there", " ", "a\0b", "\ud800"),
    ("validate_records", "a boolean", "yes"),
    ("dry_run", "a boolean", 1),
    ("stream_maps", "an object", "x", []),
    ("stream_map_config", "an object", "x"),
    ("presets", "an object", "shopify"),
    # A run would change /dev/null for the whole machine; the line says what to use instead.
    ("dead_letter_path", "set on_rejection to 'fail'", *DEVICES),
    ("ledger_path", "set ledger to false", *DEVICES),
    ("delivered_path", f"{NO_FILE}, a pipe or a socket. If you do not need the file", *DEVICES),
    ("metrics_path", "remove the setting", *DEVICES),
    # The token never travels in the clear, and not to where the URL only seems to point.
    (
        "api_url",
        "must be an https URL that has a host and no query",
        *("", "conversions.liveintent.com", "//conversions.liveintent.com", "https://"),
        *("https:///x", "ftp://x.example", "file:///etc/passwd", "https://x.example:99999"),
        *("https://x.example:port", "https://[x.example", "https://x.example?a=s3cr3t"),
        *("https://x.example#s3cr3t", "http://x.example#@127.0.0.1", "https://x .example"),
        "https://x.example/a b",
    ),
    (
        "api_url",
        "must use https",
        *("http://x.example", "http://conversions.liveintent.com", "http://0.0.0.0"),
        *("http://10.0.0.1", "http://127.0.0.1.x.example", "http://localhost.x.example"),
        "http://x.example/127.0.0.1",
    ),
    (
        "api_url",
        "must not contain a user name or a password",
        *("http://localhost@x.example", "http://127.0.0.1:80@x.example"),
        *("https://user:s3cr3t@x.example", "http://x.example\\@127.0.0.1"),
    ),
    *((name, NO_SECRETS, "s3://AKIA1:s3cr3t@bucket/a.html") for name in TAKE_URLS),
    ("report_path", NO_SECRETS, "s3://s3cr3t@bucket/a.html", "s3://bucket/a#s3cr3t.html"),
    ("report_path", NO_SECRETS, "s3://bucket/a?s3cr3t=s3cr3t.html"),
    (
        "report_path",
        "must be a URL such as s3://bucket/folder",
        *("s3://AKIA1:s3cr3t/letters.html", "simplecache::s3://AKIA1:s3cr3t@bucket/a.html"),
        *("s3://[s3cr3t/a.html", "s3://bucket/s3cr3t\u2028a.html", "s3://bucket/s3cr3t a.html"),
    ),
    *((name, "give the path of the file, without file://", "file:///a.html") for name in TAKE_URLS),
    *((name, "cannot be a URL. ", "s3://s3cr3t/x") for name in ("ledger_path", "metrics_path")),
    # At the top of stream_maps, a misspelled `__else__` would keep all other streams.
    ("stream_maps.orders", NO_MAP, 5, "s3cr3t", ["s3cr3t"]),
    ("stream_maps.__else__", NULL, "s3cr3t", {"a": "s3cr3t"}),
    *((f"stream_maps.{name}", MISPLACED, "s3cr3t") for name in ("__filter__", "__foo__", "__foo")),
    ("stream_maps.__els__", MISPLACED, "x", "__NULL__", None, {"a": "b"}),
    # In a stream's map, it would send all other columns.
    ("stream_maps.orders.__foo__", "is not an option", None, "__NULL__", "s3cr3t", ["s3cr3t"]),
    ("stream_maps.orders.__els__", "; did you mean '__else__'?", None),
    ("stream_maps.orders.__ELSE__", "; did you mean '__else__'?", None),
    ("stream_maps.orders.__key_property__", "; did you mean '__key_properties__'?", None),
    (
        "stream_maps.orders.source",
        EXPRESSION,
        *("s3cr3t shop", "s3cr3t =", "", " ", 5, True, ["s3cr3t"], {"a": "s3cr3t"}),
    ),
    ("stream_maps.orders.email", EXPRESSION, {"a": "b"}),
    ("stream_maps.S.EU.email", EXPRESSION, "mail ="),
    ("stream_maps.orders.__filter__", EXPRESSION, "s3cr3t =", "", 5, ["s3cr3t"], {"a": "s3cr3t"}),
    ("stream_maps.orders.__else__", NULL, "s3cr3t", "", {}, False, ["s3cr3t"]),
    ("stream_maps.orders.__source__", "must be text", "", None, 5, ["s3cr3t"]),
    ("stream_maps.orders.__alias__", "must be text", "", None, 5, ["s3cr3t"], {"a": "s3cr3t"}),
    ("stream_maps.orders.__key_properties__", COLUMNS, "s3cr3t", "", 5, True, {"id": "s3cr3t"}),
    ("stream_maps.orders.__key_properties__", COLUMNS, ["s3cr3t", 5], [None], [["s3cr3t"]]),
    ("presets.orders", f"{ONE_OF}; did you mean 'shopify'?", "shopfy", ["shopify"]),
    ("presets.a", f"{ONE_OF}; did you mean 'postgres_orders'?", "Postgres-Orders"),
    ("presets.Sales.EU", f"{ONE_OF}; did you mean 'shopify'?", "shopfy"),
    ("presets.Sales.EU", ONE_OF, 5, {}, "s3cr3t", ["s3cr3t"]),
    ("presets.Sales.EU.C", ONE_OF, {}),
    ("presets.a", ONE_OF, None),
    ("presets.__else__", "does not name a stream: in presets, each key must be", "shopify"),
]


@pytest.mark.parametrize(
    ("name", "said", "value"),
    [(name, said, one) for name, said, *values in WRONG for one in values],
)
def test_a_wrong_value(name: str, said: str, value: Any) -> None:
    """One line names the setting and what it must be, before the run, and never the value."""
    for step in reversed(name.split(".")):
        value = {step: value}
    (line,) = set(problems({**GOOD, **value}))
    assert line.startswith(f"setting '{name}' ")
    assert said in line
    assert not [hidden for hidden in ("\n", "s3cr3t", "AKIA1") if hidden in line]


RIGHT: list[tuple[Any, ...]] = [
    ("customer_id", "b-zzzz", "a-0000"),
    ("pixel_id", 1),
    ("batch_size_rows", 1, 100),
    ("max_concurrent_requests", 1, 256),
    ("max_retry_seconds", 0),
    ("max_dead_letter_percent", 0, 100),
    ("timezone", "Asia/Kathmandu"),
    ("email_normalization", "all_domains"),
    ("source_url_parameters", "attribution", "none"),
    ("history_path", "folder", "new/folder"),
    ("stream_map_config", {"a": 1}),
    ("presets", {"orders": "shopify"}),
    (
        "api_url",
        *("https://conversions.liveintent.com", "https://conversions.liveintent.com/"),
        *("https://proxy.example:8443/prefix", "https://x.example/{customer_id}/events"),
        *("http://127.0.0.1:8086", "http://127.9.9.9", "http://localhost:8086/"),
        *("http://LOCALHOST", "http://[::1]:8086"),
    ),
    # Whether a store is there is found out when a run begins.
    *((name, "s3://bucket/a.html") for name in TAKE_URLS),
    ("report_path", "gs://bucket/a-b@c.html", "az://c/d/e.html", " s3://b/x.html"),
    ("ledger_url", "postgresql://loader:p%40rt@db.example.com/l?application_name=a@b"),
    (
        "stream_maps",
        {},
        {"orders": None, "*": "__NULL__", "__else__": "__NULL__"},
        {"__else__": None},
        {"orders": {"email": "_.get('email')", "x": None, "__filter__": "paid"}},
        {"copy": {"__source__": "orders", "__else__": None, "__alias__": "x"}},
        {"orders": {"__key_properties__": ["id"], "id": "id"}},
        {"orders": {"__key_properties__": []}},
        {"orders": {"__key_properties__": None}},
        {"orders": {"__filter__": None}},
        {"orders": {"__typename": None, "_": "id", "deleted__": "id"}},
    ),
]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, *values in RIGHT for value in values]
)
def test_right_values(name: str, value: Any) -> None:
    """The ends of each range, https anywhere, http on loopback, and stream maps of every kind."""
    assert problems({**GOOD, name: value}) == []


IN_URLS = (
    *(f"https://user:{SECRET}@example.com", f"http://{SECRET}.example.com"),
    f"https://example.com?{SECRET}",
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in SCHEMA["properties"] for value in (SECRET, [SECRET])),
        *((name, url) for name in ("api_url", "delivered_path", "ledger_url") for url in IN_URLS),
    ],
)
def test_no_value_is_ever_shown(name: str, value: Any) -> None:
    """A token that slipped into another setting does not end up in a log."""
    found = problems({**GOOD, name: value})
    assert SECRET not in "".join(found)
    for line in found:
        assert f"'{name}" in line
        assert "\n" not in line


# Several settings


@pytest.mark.parametrize(
    ("one", "path", "other", "same_path"),
    [
        ("delivered_path", "a", "metrics_path", "a"),
        ("ledger_path", "folder/../a", "delivered_path", "./a"),
        ("dead_letter_path", None, "delivered_path", "liveintent-dead-letters.singer"),
        ("ledger_path", None, "delivered_path", Settings.ledger_path),
        ("metrics_path", "a.json", "report_path", "a.html"),
        ("suppression_path", "a.html", "report_path", "a.html"),
        ("dead_letter_path", "s3://bucket/a", "delivered_path", "s3://bucket/a/"),
        ("dead_letter_path", "there", "delivered_path", "symlink"),
        ("dead_letter_path", "there", "delivered_path", "hard link"),
        ("dead_letter_path", "there", "delivered_path", "here/there"),
        ("dead_letter_path", "absent", "delivered_path", "dangling"),
    ],
)
def test_settings_that_name_the_same_file(
    one: str, path: str | None, other: str, same_path: str
) -> None:
    """One of them would destroy what the other keeps, whatever kind of link one of them is."""
    way = " through a link" if path in {"there", "absent"} else ""
    assert problems({**GOOD, one: path, other: same_path}) == [
        f"settings '{one}' and '{other}' name the same file{way}: give each setting its own file"
    ]


DATABASE = "postgresql://db.example.com/l"
PASSWORD = {"ledger_password": "pa/ss@word"}
TWO = "s 'ledger_password' and 'ledger_url' both contain a password: remove the password from"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"auth_token_path": "token"}, "s 'auth_token' and 'auth_token_path' are both set: remove"),
        # Meltano gives each setting its default, so only another path contradicts the database.
        ({"ledger_url": DATABASE, "ledger_path": "a"}, "s 'ledger_path' and 'ledger_url' are both"),
        (PASSWORD, " 'ledger_password' has no effect without 'ledger_url': set ledger_url, or"),
        ({**PASSWORD, "ledger_url": "postgresql://u:s3cr@db.example.com/l"}, TWO),
        ({**PASSWORD, "ledger_url": f"{DATABASE}?password=s3cr"}, TWO),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], said: str) -> None:
    (line,) = problems({**GOOD, **settings})
    assert line.startswith(f"setting{said}")


@pytest.mark.parametrize("password", ["p@rt", "pa/rt", "a#b", "p@a/rt"])
def test_a_password_of_the_database_that_is_not_encoded(password: str) -> None:
    """A part of it would be taken for the host, and be shown in messages."""
    (line,) = problems({**GOOD, "ledger_url": f"postgresql://u:{password}@db.example.com/l"})
    assert line == (
        "the user or the password in setting 'ledger_url' contains special characters: write %40"
        " for @, %2F for /, %3F for ? and %23 for #"
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"delivered_path": "a.csv", "metrics_path": "a.prom", "report_path": "a.html"},
        {"dead_letter_path": "there", "delivered_path": "third"},
        {"delivered_path": Settings.ledger_path, "ledger": False},
        {"ledger_url": DATABASE, "ledger_path": Settings.ledger_path},
        {**PASSWORD, "ledger_url": "postgresql://loader@db.example.com/l"},
        {**PASSWORD, "ledger_url": "postgresql://db.example.com:5432/l"},
    ],
)
def test_settings_that_go_together(settings: dict[str, Any]) -> None:
    assert problems({**GOOD, **settings}) == []


@pytest.mark.parametrize("content", [None, b"", b"\n", b"to ken", b"a\nb", b"\xff", b"t\xc3\xb6k"])
def test_a_token_file_that_cannot_be_used(tmp_path: Path, content: bytes | None) -> None:
    """It is named by its setting, and its content is not shown."""
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    shown = (content or b"").decode(errors="replace").strip()
    for path in ("token", "folder", "a\0b"):
        (line,) = problems({"customer_id": "a-1b2c", "auth_token_path": path})
        assert "'auth_token_path'" in line
        assert not shown or shown not in line


@pytest.mark.parametrize(
    ("name", "value", "module", "extra"),
    [("report_path", "a.html", "pygal", "report"), ("ledger_url", DATABASE, "psycopg", "postgres")],
)
def test_a_library_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, module: str, extra: str
) -> None:
    """The problem is found before anything is sent, and the message has the command that helps."""
    monkeypatch.setitem(sys.modules, module, None)
    (line,) = problems({**GOOD, name: value})
    assert line.startswith(f"setting '{name}'")
    assert f"pip install 'target-liveintent[{extra}]'" in line
    assert problems(GOOD) == []


# Several problems

WRONG_OF_EACH_KIND: dict[str, Any] = {
    "customer_id": "c-1b2c",
    "batch_size_rows": 0,
    "report_path": "report.htm",
    "limit": "5",
    "auth_token": "to ken",
    "api_url": "https://",
    "timezone": "Mars/Olympus",
    "ledger_path": "nowhere/ledger.sqlite",
    "presets": {"__else__": "shopify"},
    "stream_maps": {"orders": {"email": "mail ="}},
}
"""Settings that are wrong, each for another of the checks."""
EACH = [*list(WRONG_OF_EACH_KIND)[:-2], "presets.__else__", "stream_maps.orders.email"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        # A required setting is absent or null.
        ({"auth_token": SECRET}, ["customer_id"]),
        ({**GOOD, "customer_id": None}, ["customer_id"]),
        ({"customer_id": "a-1b2c"}, ["auth_token"]),
        ({**GOOD, "auth_token": None}, ["auth_token"]),
        # A wrong setting hides no other; nor does one that is missing.
        (WRONG_OF_EACH_KIND, EACH),
        ({**WRONG_OF_EACH_KIND, "customer_id": None}, EACH),
        # A first attempt: a time zone that does not exist, and no account yet.
        ({"timezone": "Berlin"}, ["customer_id", "auth_token", "timezone"]),
        (
            {**GOOD, "stream_maps": {"a": {"value": "total =", "__foo__": 1}, "__foo__": None}},
            ["stream_maps.a.value", "stream_maps.a.__foo__", "stream_maps.__foo__"],
        ),
    ],
)
def test_each_problem_is_named(settings: dict[str, Any], names: list[str]) -> None:
    found = {line.partition("' ")[0].removeprefix("setting '"): line for line in problems(settings)}
    assert list(found) == names
    for name in found.keys() & {"customer_id", "auth_token"}:
        assert ("is required" in found[name]) == (settings.get(name) is None)
