"""The checks: a wrong setting is named in one line, and its value is never shown.

The tables here have each wrong setting; `tests/integration` has one of each kind in a process.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from target_liveintent.config import SETTINGS_SCHEMA, problems, setting_warnings
from target_liveintent.mapping.presets import PRESETS

SECRET = "s3cr3t-T0ken-of-ours"
GOOD: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": SECRET}


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that has entries of each kind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("there", "third"):
        (tmp_path / name).touch()
    links = {"here": ".", "symlink": "there", "dangling": "absent", "device": "/dev/null"}
    for name, place in links.items():
        (tmp_path / name).symlink_to(place)
    getattr(os, "mkfifo", os.mkdir)(tmp_path / "pipe")


# A setting alone

NO_FILE = "must be the path of an ordinary file in an existing folder, not of a folder or device"
URL = "must be an https URL with a host, and without a user name, a password, a query"
ONE_OF = f"must be one of {', '.join(PRESETS)}"
EXPRESSION = (
    "must be a Python expression. If you mean a fixed text, write the text in two pairs of quotes,"
    " such as \"'web'\""
)
NULL = "must be null or '__NULL__'."
NO_MAP = "must be null or '__NULL__', or an object whose keys are column names"
MISPLACED = (
    "is in the wrong place: a key of stream_maps must be the name of a stream, or __else__. If"
    " this key is an option, move it into the map of a stream"
)
COLUMNS = "must be a list of column names"
WRONG: list[tuple[Any, ...]] = [
    ("customer_id", "a-b", "c-1b2c", "a-1b2", "a-1b2cd", "A-1B2C", "", 5),
    ("auth_token", "must be a string that is not empty", "", "   ", 5),
    ("auth_token", "printable ASCII characters", "s3cr3t n", "s3cr3t\nen", "s3cr3t\x00en"),
    ("auth_token", "printable ASCII characters", "s3cr3tö", "s3cr3t\u2028en"),
    ("pixel_id", "an integer from 1", SECRET, "1.5", 1.5, True, 2**63, "0"),
    ("default_source", "one of app, offline, web", "pos", "WEB"),
    ("timezone", "IANA", "Mars/Olympus", "", "../UTC", "Europe"),
    ("timezone", "must be a string", 5),
    ("email_normalization", "one of all_domains, gmail, lowercase", "none"),
    ("source_url_parameters", "one of all_but_secrets, attribution, none", "all"),
    ("batch_size_rows", "an integer from 1 to 100", 0, 101, "101"),
    ("max_concurrent_requests", "an integer from 1 to 256", 0, 257),
    ("max_requests_per_minute", "an integer of at least 1", 0),
    ("flush_interval_seconds", "an integer of at least 1", 0, -5),
    ("request_timeout_seconds", "an integer of at least 1", 0),
    ("max_retry_seconds", "an integer of at least 0", -1),
    ("history_days", "an integer of at least 1", 0),
    ("on_rejection", "one of dead_letter, fail", "stop"),
    ("max_dead_letter_percent", "an integer from 0 to 100", -1, 101),
    ("partial_answer", "one of failed, processed, unknown", "named", ""),
    ("store", "not empty", ""),
    ("store", NO_FILE, "/", "folder", "nowhere/liveintent.sqlite", "/dev/null", "device", "pipe"),
    ("store", "must be a path, or a URL such as postgresql://", "mysql://s3cr3t@x.example/l"),
    ("store", "must be a path, or a URL such as postgresql://", "s3://s3cr3t/x", "postgresql://"),
    ("store", "must be a path, or a URL", "host=db.example.com password=s3cr3t dbname=x"),
    ("keep_delivered", "a boolean", "yes"),
    ("suppression_path", "not empty", ""),
    ("metrics_path", NO_FILE, "folder", "nowhere/run.prom", "a\0b", "\ud800", "/dev/null"),
    ("report_path", NO_FILE, "nowhere/report.html"),
    ("report_path", ".html", "report.htm", "report.json", ".html"),
    # Only the suppression list can be anywhere.
    ("metrics_path", NO_FILE, "s3://s3cr3t/run.prom"),
    ("report_path", NO_FILE, "s3://AKIA1:s3cr3t@bucket/a.html", "file:///s3cr3t.html"),
    ("validate_records", "a boolean", "yes"),
    ("dry_run", "a boolean", "maybe", 2),
    ("stream_maps", "an object", "x", [], "{", "[]", '{"a":' * 100_000),
    ("stream_map_config", "an object", "x"),
    ("presets", "an object", "shopify"),
    # The token never travels in the clear, and not to where the URL only seems to point.
    (
        "api_url",
        URL,
        *("", "conversions.liveintent.com", "//conversions.liveintent.com", "https://"),
        *("https:///x", "ftp://x.example", "file:///etc/passwd", "https://x.example:99999"),
        *("https://x.example:port", "http://[x.example", "https://x.example?a=s3cr3t"),
        *("https://x.example#s3cr3t", "http://x.example#@127.0.0.1", "https://x .example"),
        *("https://x.example/a b", "http://x.example", "http://conversions.liveintent.com"),
        *("https://x.example:0", "https://x.example/\u200b", "https://*.example"),
        *("http://0.0.0.0", "http://10.0.0.1", "http://127.0.0.1.x.example"),
        *("http://localhost.x.example", "http://x.example/127.0.0.1"),
        *("http://localhost@x.example", "http://127.0.0.1:80@x.example"),
        *("https://user:s3cr3t@x.example", "http://x.example\\@127.0.0.1"),
    ),
    # In a stream's map, it would send what must not be sent.
    *(
        (f"stream_maps.orders.{name}", f"; did you mean '{meant}'?", "s3cr3t", None, 5)
        for name, meant in {
            **dict.fromkeys(("filter", "_filter_", "__filter", "Filter", "fliter"), "__filter__"),
            **dict.fromkeys(("else", "_else_", "els", "__else"), "__else__"),
            **dict.fromkeys(("consnt", "Consent", "con_sent", "content"), "consent"),
            "emial": "email",
            "EventTime": "event_time",
            "Source": "source",
            "__source": "__source__",
            "keyProperties": "__key_properties__",
            "ip_": "ip",
        }.items()
    ),
    # At the top of stream_maps, a misspelled `__else__` would keep all other streams.
    *(
        (f"stream_maps.{name}", "; did you mean '__else__'?", "__NULL__", None)
        for name in ("else", "_else_", "Else", "esle")
    ),
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
    # Meltano has read the dots in the names of streams as levels.
    ("stream_maps.orders.__filter__", EXPRESSION, "s3cr3t =", "", 5, ["s3cr3t"], {"a": "s3cr3t"}),
    ("stream_maps.orders.__else__", NULL, "s3cr3t", "", {}, False, ["s3cr3t"]),
    ("stream_maps.orders._sdc_deleted_at", "has no effect, because the program", "s3cr3t"),
    ("stream_maps.orders._sdc_delete_at", "; did you mean '_sdc_deleted_at'?", "s3cr3t", None),
    ("stream_maps.orders.__source__", "must be the name of a stream", "", None, 5, ["s3cr3t"]),
    ("stream_maps.orders.__alias__", "must be a name, or", None, 5, "s3cr3t s3cr3t"),
    ("stream_maps.orders.__key_properties__", COLUMNS, "s3cr3t", "", 5, True, {"id": "s3cr3t"}),
    ("stream_maps.orders.__key_properties__", COLUMNS, ["s3cr3t", 5], [None], [["s3cr3t"]]),
    ("presets.orders", f"{ONE_OF}; did you mean 'shopify'?", "shopfy"),
    ("presets.a", f"{ONE_OF}; did you mean 'postgres_orders'?", "Postgres-Orders"),
    ("presets.a", ONE_OF, 5, "s3cr3t", ["shopify"]),
    ("presets.a", ONE_OF, None),
    ("presets.__else__", "is an option; write the name of a stream", "shopify"),
]


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    """Collect no garbage of other tests in a deep recursion, in which its finalizers fail."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    ("name", "said", "value"),
    [(name, said, one) for name, said, *values in WRONG for one in values],
    ids=[f"{name} is {ascii(one)[:40]}" for name, _, *values in WRONG for one in values],
)
def test_a_wrong_value_is_named_by_its_setting_and_never_shown(
    name: str, said: str, value: Any
) -> None:
    for step in reversed(name.split(".")):
        value = {step: value}
    (line,) = problems({**GOOD, **value})
    assert line.startswith(f"setting '{name}' ")
    assert said in f"{line}."
    assert not [hidden for hidden in ("\n", "s3cr3t", "AKIA1") if hidden in line]


RIGHT: list[tuple[Any, ...]] = [
    ("customer_id", "b-zzzz", "a-0000", " a-1b2c\n"),
    ("pixel_id", 1, 12345.0, "12345", 2**63 - 1),
    ("dry_run", True, "True", "false", "0"),
    ("batch_size_rows", 1, 100),
    ("max_concurrent_requests", 1, 256),
    ("max_retry_seconds", 0),
    ("max_dead_letter_percent", 0, 100),
    ("partial_answer", "failed", "processed", "unknown"),
    ("timezone", "Asia/Kathmandu"),
    ("email_normalization", "all_domains"),
    ("source_url_parameters", "attribution", "none"),
    ("store", "new.sqlite", "there", "folder/a"),
    ("store", "postgresql://loader:p%40rt@db.example.com:5432/l?application_name=a@b"),
    ("store", "postgres://db.example.com/l", " postgresql://loader@db.example.com/l"),
    # Whether it can be read is found out when a run begins.
    ("suppression_path", "nowhere", "s3://bucket/people.txt", "https://x.example/people?key=1"),
    ("stream_map_config", {"a": 1}),
    ("presets", {"orders": "shopify"}),
    (
        "api_url",
        *("https://conversions.liveintent.com", "https://conversions.liveintent.com/"),
        *("https://proxy.example:8443/prefix", "https://x.example/{customer_id}/events"),
        *("http://127.0.0.1:8086", "http://127.9.9.9", "http://localhost:8086/"),
        *("http://LOCALHOST", "http://[::1]:8086", "http://api.localhost"),
    ),
    (
        "stream_maps",
        *({}, "{}"),
        {"orders": None, "*": "__NULL__", "__else__": "__NULL__"},
        {"__else__": None},
        {"orders": {"email": "_.get('email')", "x": None, "__filter__": "paid"}},
        {"copy": {"__source__": "orders", "__else__": None}},
        {"orders": {"__key_properties__": ["id"], "id": "id"}},
        {"orders": {"__key_properties__": []}},
        {"orders": {"__key_properties__": None}},
        {"orders": {"__filter__": None}},
        {"orders": {"__typename": None, "_": "id", "deleted__": "id"}},
        # Columns of the tap: others, and one that the map renames.
        {"orders": {"order_no": "id", "order_date": "day", "id": "id", "paid": "paid"}},
        {"orders": {"event_time": "t", "event_type": "'sale'", "event_name": "'sale'"}},
        {"orders": {"email": "Email", "Email": None, "emails": "__NULL__"}},
        {"else": {"email": "mail"}},
    ),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, *values in RIGHT for value in values],
    ids=[f"{name} is {ascii(value)[:40]}" for name, *values in RIGHT for value in values],
)
def test_values_at_the_ends_of_each_range_are_right(name: str, value: Any) -> None:
    """The ends of each range, https anywhere, http on loopback, and stream maps of every kind."""
    assert problems({**GOOD, name: value}) == []


IN_URLS = (
    *(f"https://user:{SECRET}@example.com", f"http://{SECRET}.example.com"),
    f"https://example.com?{SECRET}",
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in SETTINGS_SCHEMA["properties"] for value in (SECRET, [SECRET])),
        *((name, url) for name in ("api_url", "report_path", "store") for url in IN_URLS),
    ],
    ids=lambda value: str(value)[:40],
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
        ("store", "a", "metrics_path", "a"),
        ("store", "folder/../a", "metrics_path", "./a"),
        ("store", None, "metrics_path", "liveintent.sqlite"),
        ("suppression_path", "third", "store", "third"),
        ("suppression_path", "a.html", "report_path", "a.html"),
        ("store", "there", "metrics_path", "symlink"),
        ("store", "there", "metrics_path", "here/there"),
        ("store", "absent", "metrics_path", "dangling"),
    ],
    ids=[
        "same path",
        "other spelling of a path",
        "default path",
        "suppressions and store",
        "suppressions and report",
        "symbolic link",
        "folder by symbolic link",
        "link to nothing",
    ],
)
def test_settings_that_name_the_same_file(
    one: str, path: str | None, other: str, same_path: str
) -> None:
    """A run would destroy what the other setting keeps, also through a symbolic link."""
    assert problems({**GOOD, one: path, other: same_path}) == [
        f"settings '{one}' and '{other}' name the same file: give each setting its own file"
    ]


def test_settings_whose_names_differ_in_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """On most systems, they name the same file."""
    monkeypatch.setattr("target_liveintent.config.identity_of", str.casefold)
    (found,) = problems({**GOOD, "store": "A.b", "metrics_path": "a.B"})
    assert found.startswith("settings 'store' and 'metrics_path' name the same file")


def test_another_run_creates_the_file_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the check looks at first, the file may be there a moment later."""

    def appears_after(look: Callable[[Path], bool]) -> Callable[[Path], bool]:
        def looked_at(path: Path) -> bool:
            answer = look(path)
            if path.name == "new.sqlite":
                path.touch()
            return answer

        return looked_at

    for name in ("exists", "is_file"):
        monkeypatch.setattr(Path, name, appears_after(getattr(Path, name)))
    assert problems({**GOOD, "store": "new.sqlite"}) == []


def test_settings_that_contradict_each_other() -> None:
    (line,) = problems({**GOOD, "auth_token_path": "token"})
    assert line == "settings 'auth_token' and 'auth_token_path' are both set: remove one of them"


@pytest.mark.parametrize("password", ["p@rt", "pa/rt", "a#b", "p@a/rt"])
def test_a_password_of_the_database_that_is_not_encoded(password: str) -> None:
    """A part of it would be taken for the host, and be shown in messages."""
    (line,) = problems({**GOOD, "store": f"postgresql://u:{password}@db.example.com/l"})
    assert line == (
        "the user or the password in setting 'store' contains special characters: write %40 for @,"
        " %2F for /, %3F for ? and %23 for #"
    )


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


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The problem is found before anything is sent, and the message has the command that helps."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    (line,) = problems({**GOOD, "store": "postgresql://db.example.com/l"})
    assert "setting 'store' needs a library that is not installed" in line
    assert "pip install 'target-liveintent[postgres]'" in line
    assert problems(GOOD) == []


# Names that are no setting


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("stream_maps.orders.event_id", "stream_maps: {orders: {event_id: …}}"),
        ("stream_maps.public.orders.email", "stream_maps: {public.orders: {email: …}}"),
        ("stream_maps.__else__", "stream_maps: {__else__: …}"),
        ("stream_map_config.a.b", "stream_map_config: {a: {b: …}}"),
        ("presets.public.orders", "presets: {public.orders: …}"),
    ],
    ids=str,
)
def test_a_flattened_setting_is_an_error_that_shows_the_right_form(name: str, form: str) -> None:
    """It would have no effect, so that other events would be sent than the user wants."""
    for value in (SECRET, None):
        assert problems({**GOOD, name: value}) == [
            f"setting '{name}' has no effect in this form: write {form}"
        ]
    assert list(setting_warnings([name])) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *((name, "suppression_path") for name in ("supression_path", "suppresion_pat")),
        *((name, "dry_run") for name in ("dryrun", "dry-run", "DryRun", "DRY_RUN", "dry_rn")),
        *((name, "limit") for name in ("limt", "limits", "Limit", "TARGET_LIVEINTENT_LIMIT")),
        *((name, "stream_maps") for name in ("stream_map", "streamMaps", "stream_map.a.email")),
        ("stream_maps_config", "stream_map_config"),
        # Of another target, of the SDK, or of nobody.
        *((name, None) for name in ("load_method", "add_record_metadata", "batch_config")),
        *((name, None) for name in ("flattening_enabled", "faker_config", "default_target_schema")),
        *((name, None) for name in ("host", "port", "schema", "filter", "path", "zzz", "")),
        *((name, None) for name in ("orders.email", "store.path", "x" * 100_000)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_misspelled_setting_is_an_error_and_another_unknown_one_a_warning(
    name: str, meant: str | None
) -> None:
    wrong, warnings = problems({**GOOD, name: SECRET}), list(setting_warnings([*GOOD, name]))
    if meant:
        assert wrong == [f"setting '{name}' is unknown; did you mean '{meant}'?"]
        assert warnings == []
    else:
        assert wrong == []
        assert warnings == [f"setting '{name}' is unknown and has no effect"]


def test_an_option_of_a_map_among_the_settings() -> None:
    """It would have no effect, so that more would be sent than the user wants."""
    (line,) = problems({**GOOD, "__filter__": "s3cr3t"})
    assert line == (
        "setting '__filter__' is in the wrong place: options belong in the map of a stream"
    )


def test_a_hint_in_a_warning() -> None:
    (warning,) = setting_warnings(["pixel"])
    assert warning == "setting 'pixel' is unknown and has no effect; did you mean 'pixel_id'?"


# Several problems

WRONG_OF_EACH_KIND: dict[str, Any] = {
    "customer_id": "c-1b2c",
    "batch_size_rows": 0,
    "report_path": "report.htm",
    "limit": "five",
    "auth_token": "to ken",
    "api_url": "https://",
    "timezone": "Mars/Olympus",
    "store": "nowhere/liveintent.sqlite",
    "stream_maps": {"orders": {"email": "mail ="}},
}
"""Settings that are wrong, each for another of the checks."""
EACH = [*list(WRONG_OF_EACH_KIND)[:-1], "stream_maps.orders.email"]


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
    ids=[
        "no customer",
        "null customer",
        "no token",
        "null token",
        "one of each kind",
        "each kind, null customer",
        "first attempt",
        "several in stream maps",
    ],
)
def test_each_problem_is_named(settings: dict[str, Any], names: list[str]) -> None:
    found = {line.partition("' ")[0].removeprefix("setting '"): line for line in problems(settings)}
    assert list(found) == names
    for name in found.keys() & {"customer_id", "auth_token"}:
        assert ("is required" in found[name]) == (settings.get(name) is None)
