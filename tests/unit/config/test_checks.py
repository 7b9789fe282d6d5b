"""The checks: a wrong setting is named in one line, and its value is never shown."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from target_liveintent.config import SCHEMA, problems
from target_liveintent.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-T0ken-of-ours"
GOOD: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": SECRET}


@pytest.mark.parametrize("name", ["customer_id", "auth_token"])
def test_required_settings(name: str) -> None:
    """A required setting that is absent or null is named."""
    for config in ({k: v for k, v in GOOD.items() if k != name}, {**GOOD, name: None}):
        (line,) = problems(config)
        assert f"'{name}'" in line
        assert "required" in line


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
    ("source_url_parameters", "all", "all_but_secrets, attribution, none"),
    ("batch_size_rows", 0, "1"),
    ("batch_size_rows", 101, "100"),
    ("batch_size_rows", "100", "integer"),
    ("max_concurrent_requests", 0, "1"),
    ("max_concurrent_requests", 257, "256"),
    ("max_requests_per_minute", 0, "1"),
    ("flush_interval_seconds", 0, "1"),
    ("flush_interval_seconds", -5, "1"),
    ("request_timeout_seconds", 0, "1"),
    ("max_retry_seconds", -1, "0"),
    ("on_rejection", "stop", "dead_letter, fail"),
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


WRONG_OF_EACH_KIND: dict[str, Any] = {
    "customer_id": "c-1b2c",
    "auth_token": "to ken",
    "api_url": "https://",
    "timezone": "Mars/Olympus",
    "batch_size_rows": 0,
    "limit": "5",
    "ledger_path": "nowhere/ledger.sqlite",
    "report_path": "report.htm",
    "presets": {"__else__": "shopify"},
    "stream_maps": {"orders": {"email": "mail ="}},
}
"""Settings that are wrong, each for another of the checks."""


@pytest.mark.parametrize("name", WRONG_OF_EACH_KIND)
def test_a_wrong_setting_hides_no_other(name: str) -> None:
    """All of them are named at once, whatever is wrong with the others, or missing."""
    for others in (WRONG_OF_EACH_KIND, {name: WRONG_OF_EACH_KIND[name], "customer_id": None}):
        if others[name] is not None:
            found = problems({**GOOD, **others})
            assert [line for line in found if line.startswith(f"setting '{name}")], found
    rest = {key: value for key, value in WRONG_OF_EACH_KIND.items() if key != name}
    assert len(problems({**GOOD, **rest})) == len(rest)


def test_a_time_zone_is_named_where_nothing_is_set() -> None:
    """A first attempt: a time zone that does not exist, and no account yet."""
    lines = problems({"timezone": "Berlin"})
    assert [line.partition("' ")[0] for line in lines] == [
        "setting 'customer_id",
        "setting 'auth_token",
        "setting 'timezone",
    ]


RIGHT: list[tuple[str, Any]] = [
    ("customer_id", "b-zzzz"),
    ("customer_id", "a-0000"),
    ("pixel_id", 1),
    ("batch_size_rows", 1),
    ("batch_size_rows", 100),
    ("max_concurrent_requests", 1),
    ("max_concurrent_requests", 256),
    ("max_retry_seconds", 0),
    ("max_dead_letter_percent", 0),
    ("max_dead_letter_percent", 100),
    ("timezone", "Asia/Kathmandu"),
    ("email_normalization", "all_domains"),
    ("source_url_parameters", "attribution"),
    ("source_url_parameters", "none"),
    ("stream_maps", {}),
    ("stream_maps", {"orders": None, "*": "__NULL__", "__else__": "__NULL__"}),
    ("stream_maps", {"__else__": None}),
    ("stream_maps", {"orders": {"email": "_.get('email')", "x": None, "__filter__": "paid"}}),
    ("stream_maps", {"copy": {"__source__": "orders", "__else__": None, "__alias__": "x"}}),
    ("stream_maps", {"orders": {"__key_properties__": ["id"], "id": "id"}}),
    ("stream_maps", {"orders": {"__key_properties__": []}}),
    ("stream_maps", {"orders": {"__key_properties__": None}}),
    ("stream_maps", {"orders": {"__filter__": None}}),
    ("stream_maps", {"orders": {"__typename": None, "_": "id", "deleted__": "id"}}),
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
    {"x": {"__x__": SECRET}},
    {"x": {"__alias__": [SECRET]}},
    {"x": {"__key_properties__": SECRET}},
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
        assert f"'{name}" in line
        assert "\n" not in line


EXPRESSION = (
    "a Python expression. If the expression is a fixed text, write this text in two pairs of"
    " quotes, such as \"'web'\""
)
NULL = "null or '__NULL__'"
NO_MAP = (
    "setting 'stream_maps.orders' must be null, '__NULL__', or an object whose keys are column"
    " names"
)
WRONG_MAPS: list[tuple[dict[str, Any], str]] = [
    (
        {"orders": 5},
        NO_MAP,
    ),
    (
        {"orders": "x"},
        NO_MAP,
    ),
    ({"__else__": "x"}, f"setting 'stream_maps.__else__' must be {NULL}"),
    ({"__else__": {"a": "b"}}, f"setting 'stream_maps.__else__' must be {NULL}"),
]
WRONG_MAPS += [
    (
        {name: definition},
        (
            f"setting 'stream_maps.{name}' is in the wrong place: a key of stream_maps must be"
            " the name of a stream, or __else__. If this key is an option, move it into the map of"
            " a stream"
        ),
    )
    for name in ("__filter__", "__els__", "__foo__", "__foo")
    for definition in ("x", "__NULL__", None, {"a": "b"})
]
"""At the top level, a misspelled `__else__` would keep all other streams."""
WRONG_MAPS += [
    ({"orders": {column: value}}, f"setting 'stream_maps.orders.{column}' must be {wanted}")
    for column, wanted, values in [
        ("source", EXPRESSION, ("web shop", "total =", "", " ", 5, True, [], {"a": "b"})),
        ("__filter__", EXPRESSION, ("paid =", "", 5, ["paid"])),
        ("__else__", NULL, ("x", "", {}, False)),
        ("__source__", "text", ("", None, 5, ["orders"])),
        ("__alias__", "text", ("", None, 5, ["orders"])),
        (
            "__key_properties__",
            "a list of column names",
            ("id", "", 5, True, {"id": "id"}, ["id", 5], [None], [["id"]]),
        ),
    ]
    for value in values
]
WRONG_MAPS += [
    (
        {"orders": {name: value}},
        f"setting 'stream_maps.orders.{name}' is not an option of a stream map{hint}",
    )
    for name, hint in [
        ("__foo__", ""),
        ("__els__", "; did you mean '__else__'?"),
        ("__ELSE__", "; did you mean '__else__'?"),
        ("__key_property__", "; did you mean '__key_properties__'?"),
    ]
    for value in ("__NULL__", None, "x", ["id"])
]
"""In a stream's map, a misspelled `__else__` would send all other columns."""


@pytest.mark.parametrize(("maps", "line"), WRONG_MAPS)
def test_wrong_stream_maps(maps: dict[str, Any], line: str) -> None:
    """They are found before the run; the SDK finds them when a stream comes, or not at all."""
    assert problems({**GOOD, "stream_maps": maps}) == [line]


def test_each_problem_of_stream_maps_is_named() -> None:
    maps = {"orders": {"value": "total =", "email": "e", "__foo__": None}, "__foo__": None}
    lines = problems({**GOOD, "stream_maps": maps})
    assert [line.partition("' ")[0] for line in lines] == [
        "setting 'stream_maps.orders.value",
        "setting 'stream_maps.orders.__foo__",
        "setting 'stream_maps.__foo__",
    ]


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


@pytest.mark.parametrize("token", ["to ken", "tok\nen", "tok\x00en", "tök", "   ", "tok\u2028en"])
def test_a_token_that_no_header_can_hold(token: str) -> None:
    """It is refused here and not shown, instead of failing at the first request."""
    (line,) = problems({**GOOD, "auth_token": token})
    assert "'auth_token'" in line
    assert token not in line or not token.strip()


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
        ({"delivered_path": "liveintent-ledger.sqlite"}, ("ledger_path", "delivered_path")),
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
    assert line.endswith("name the same file: give each setting its own file")
    assert all(name in line for name in both)


def test_a_folder_matters_only_to_settings_that_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder called 'file' says nothing about settings that are not given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").mkdir()
    assert problems(GOOD) == []
    (line,) = problems({**GOOD, "metrics_path": "file"})
    assert line == (
        "setting 'metrics_path' must name a file, not a folder: add a file name to the path"
    )


def test_settings_that_name_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"delivered_path": "a.csv", "metrics_path": "a.prom", "ledger_path": "a.sqlite"}
    assert problems({**GOOD, **names, "report_path": "a.html"}) == []


def test_the_folder_of_the_history(tmp_path: Path) -> None:
    """It need not be there; a file in its place is no folder, nor is what cannot be a path."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "new" / "folder", "s3://bucket/history"):
        assert problems({**GOOD, "history_path": str(path)}) == []
    for wrong in (str(tmp_path / "file"), " ", "a\0b", "\ud800"):
        (line,) = problems({**GOOD, "history_path": wrong})
        assert line.startswith("setting 'history_path' must name a folder")
    for url in ("s3://user:secret@bucket/x", "file:///tmp/history"):
        (line,) = problems({**GOOD, "history_path": url})
        assert "'history_path'" in line
        assert "secret" not in line
    (line,) = problems({**GOOD, "history_days": 0})
    assert "'history_days'" in line


def test_a_ledger_that_is_off_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another setting may name the file that the ledger would have."""
    monkeypatch.chdir(tmp_path)
    given = {**GOOD, "delivered_path": "liveintent-ledger.sqlite"}
    assert problems({**given, "ledger": False}) == []
    assert problems({**given, "ledger": None})


def test_a_report_without_what_draws_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The problem is found before anything is sent, and the message has the command that helps."""
    monkeypatch.setitem(sys.modules, "pygal", None)
    (line,) = problems({**GOOD, "report_path": "a.html"})
    assert line.startswith("setting 'report_path'")
    assert "pip install 'target-liveintent[report]'" in line
    assert problems(GOOD) == []


SPECIAL = {
    "dead_letter_path": "set on_rejection to 'fail'",
    "ledger_path": "set ledger to false",
    "delivered_path": "remove the setting",
    "metrics_path": "remove the setting",
}


@pytest.mark.parametrize("name", SPECIAL)
def test_a_device_is_no_file(tmp_path: Path, name: str) -> None:
    """A run would change /dev/null for the whole machine; the line says what to use instead."""
    (tmp_path / "link").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/null", str(tmp_path / "link"), str(tmp_path / "pipe")):
        (line,) = problems({**GOOD, name: path})
        assert line.startswith(f"setting '{name}' must name an ordinary file, not a device")
        assert SPECIAL[name] in line


@pytest.mark.parametrize("way", ["symlink", "hard link", "dangling", "folder"])
def test_one_file_through_a_link(tmp_path: Path, way: str) -> None:
    """Two settings of one file are found whatever kind of link one of them is."""
    path, other = tmp_path / "one", tmp_path / "other"
    if way != "dangling":
        path.touch()
    if way == "hard link":
        other.hardlink_to(path)
    elif way == "folder":
        (tmp_path / "folder").symlink_to(tmp_path)
        other = tmp_path / "folder" / "one"
    else:
        other.symlink_to(path)
    (line,) = problems({**GOOD, "dead_letter_path": str(path), "delivered_path": str(other)})
    assert line == (
        "settings 'dead_letter_path' and 'delivered_path' name the same file through a link: give"
        " each setting its own file"
    )
    apart = {"dead_letter_path": str(path), "delivered_path": str(tmp_path / "third")}
    assert problems({**GOOD, **apart}) == []


@pytest.mark.parametrize("path", [Settings.ledger_path, "other.sqlite"])
def test_a_database_takes_the_place_of_the_ledgers_file(path: str) -> None:
    """Meltano gives each setting its default, so only another path contradicts the database."""
    found = problems({**GOOD, "ledger_url": "postgresql://db.example.com/l", "ledger_path": path})
    said = any("'ledger_path' and 'ledger_url' are both set" in line for line in found)
    assert said == (path == "other.sqlite")


@pytest.mark.parametrize("password", ["p@rt", "pa/rt", "a#b", "p@a/rt"])
def test_a_password_of_the_database_that_is_not_encoded(password: str) -> None:
    """A part of it would be taken for the host, and be shown in messages."""
    found = problems({**GOOD, "ledger_url": f"postgresql://loader:{password}@db.example.com/l"})
    assert any("write %40 for @" in line for line in found)
    assert password not in "".join(found)
    encoded = "postgresql://loader:p%40rt@db.example.com/l?application_name=a@b"
    assert problems({**GOOD, "ledger_url": encoded}) == []


@pytest.mark.parametrize(
    "url",
    ["postgresql://loader:s3cr@db.example.com/l", "postgresql://db.example.com/l?password=s3cr"],
)
def test_two_passwords_of_the_database(url: str) -> None:
    """It is in the setting for it, or in the URL."""
    found = problems({**GOOD, "ledger_url": url, "ledger_password": "pa/ss@word"})
    said = (
        "settings 'ledger_password' and 'ledger_url' both contain a password: remove the"
        " password from ledger_url"
    )
    assert found == [said]
    for plain in ("postgresql://loader@db.example.com/l", "postgresql://db.example.com:5432/l"):
        assert problems({**GOOD, "ledger_url": plain, "ledger_password": "pa/ss@word"}) == []


def test_a_password_of_no_database() -> None:
    """The ledger would be a file, where a database was meant."""
    found = problems({**GOOD, "ledger_password": "pa/ss@word"})
    said = (
        "setting 'ledger_password' has no effect without 'ledger_url': set ledger_url, or remove"
        " ledger_password"
    )
    assert found == [said]
