"""Loading: settings from texts and files, with defaults, into `Settings`."""

import json
from pathlib import Path
from typing import Any

import pytest

from target_liveintent.config import (
    SETTINGS_SCHEMA,
    Given,
    about_lines,
    problems,
    setting_warnings,
    settings_by_group,
    settings_of,
    with_environment,
)
from target_liveintent.config_files import read_config
from target_liveintent.errors import ConfigurationError
from target_liveintent.mapping.presets import PRESETS
from target_liveintent.settings import Settings

SECRET = "s3cr3t-T0ken-of-ours"
PREFIX = "TARGET_LIVEINTENT_"
GOOD: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": SECRET}


def test_a_setting_that_is_null_or_absent_has_its_default() -> None:
    given = {"pixel_id": 7, "dry_run": True, "stream_maps": {"orders": {"value": "total"}}}
    assert settings_of(GOOD) == Settings(**GOOD)
    assert settings_of(
        {**GOOD, **given, "batch_size_rows": None, "presets": None, "unknown": 1}
    ) == Settings(**GOOD, **given)


def test_the_schema_marks_what_must_not_be_shown() -> None:
    for mark in ("secret", "writeOnly"):
        marked = {
            name for name, schema in SETTINGS_SCHEMA["properties"].items() if schema.get(mark)
        }
        assert marked == {"auth_token", "store"}


def test_the_schema_for_meltano_has_types_defaults_and_presets() -> None:
    """A default that means "not set" is none; null means it, too; and each preset is offered."""
    properties = SETTINGS_SCHEMA["properties"]
    assert [name for name, one in properties.items() if "null" not in one["type"]] == [
        "customer_id"
    ]
    without = {name for name, schema in properties.items() if "default" not in schema}
    assert without >= {"customer_id", "auth_token", "pixel_id", "stream_maps"}
    numbers = [one["default"] for one in properties.values() if type(one.get("default")) is int]
    assert numbers == [100, 64, 60, 30, 300, 50, 400]
    assert properties["presets"]["additionalProperties"]["enum"] == list(PRESETS)


@pytest.mark.parametrize(
    ("name", "given", "used"),
    [
        ("auth_token", f"{SECRET}\n", SECRET),
        ("api_url", " https://x.example", "https://x.example"),
        ("api_url", "https://x.example\n", "https://x.example"),
        ("pixel_id", 12345.0, 12345),
    ],
    ids=["line end after token", "space before URL", "line end after URL", "pixel as a float"],
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


def test_people_read_about_each_setting_once_in_the_order_of_the_schema() -> None:
    groups = settings_by_group()
    assert len(groups) == 6
    shown = [one for group in groups.values() for one in group]
    assert [name for name, *_ in shown] == list(SETTINGS_SCHEMA["properties"])
    assert [name for name, *_ in groups["You need these"]] == [
        *("customer_id", "auth_token", "auth_token_path", "pixel_id", "default_source"),
        *("presets", "stream_maps"),
    ]
    assert [name for name, default, _ in shown if default == "required"] == SETTINGS_SCHEMA[
        "required"
    ]
    assert len(shown) <= 30
    text = "\n".join(about_lines())
    assert "\nPace:\n  batch_size_rows (100): The maximum number of events" in text
    assert text.count(". One of ") == sum(
        "enum" in one for one in SETTINGS_SCHEMA["properties"].values()
    )


# Files


@pytest.mark.parametrize(
    "text",
    [
        '{"pixel_id": 5, "stream_maps": {"orders": {"__filter__": null}}}',
        '\ufeff{"pixel_id": 5,\t"stream_maps": {"orders": {"__filter__": null}}}',
        "pixel_id: 5\nstream_maps:\n  orders: {__filter__: null}  # all\n",
        "\ufeffpixel_id: 5\nstream_maps: {orders: {__filter__: ~}}\n",
    ],
    ids=["JSON", "marked JSON", "YAML", "marked YAML"],
)
def test_a_file_may_be_json_or_yaml_with_or_without_a_mark(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_text(text, encoding="utf-8")
    given = {"pixel_id": 5, "stream_maps": {"orders": {"__filter__": None}}}
    assert read_config(str(tmp_path / "a")) == given


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, text) for text in ("no", "yes", "on", "Off", "y", "12:34", "1_000", "0b1", "=")),
        *(
            (text, text)
            for text in ("2026-11-29", "2026-11-29 10:00:00", "1.2.3", "0x", "-a", "a#b")
        ),
        *((text, True) for text in ("true", "True", "TRUE")),
        *((text, None) for text in ("null", "~", "", "Null")),
        *((text, 12) for text in ("12", "+12", "0xC", "0o14")),
        *((text, 0.5) for text in ("0.5", ".5", "5e-1", "50.E-2")),
        *((text, "012") for text in ("'012'", '"012"', "!!str 012")),
        (".inf", float("inf")),
        ("[no, 012a, {08:30: off}]", ["no", "012a", {"08:30": "off"}]),
    ],
    ids=str,
)
def test_values_are_those_of_yaml_1_2_and_keys_are_texts(
    tmp_path: Path, text: str, value: Any
) -> None:
    (tmp_path / "a.yml").write_text(f"no: {text}\n2026: {text}\n")
    found = read_config(str(tmp_path / "a.yml"))
    assert found == {"no": value, "2026": value}
    assert type(found["no"]) is type(value)


def test_own_keys_win_over_merged_ones_and_earlier_merges_over_later_ones(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(
        "base: &base {a: 1, <<: &inner {a: 2, b: 3}}\n"
        "once: {<<: *base, b: 4}\n"
        "twice: {<<: *inner, <<: {b: 5, c: 6}, '<<': 7}\n"
        "list: {a: 8, <<: [{b: 9}, *base, *inner]}\n"
    )
    assert read_config(str(tmp_path / "a.yml")) == {
        "base": {"a": 1, "b": 3},
        "once": {"a": 1, "b": 4},
        "twice": {"a": 2, "b": 3, "c": 6, "<<": 7},
        "list": {"a": 8, "b": 9},
    }


NO_MAPPING = "is neither a JSON object nor a YAML mapping"
UNUSABLE = "cannot be used: "
TWICE = UNUSABLE + "the key '{1}' is in line {2} and again in line {0}: remove one of them"
ZERO = (
    UNUSABLE + "in line {}, '{}' is a number with a leading zero: if it is a text, write it in"
    " quotes; otherwise, write it without the zero"
)
NOT_YAML = (
    UNUSABLE + "line {}, column {} is not valid YAML. (Write a text with special characters in"
    " quotes)"
)
NOT_JSON = UNUSABLE + "line {}, column {} is not valid JSON"
TAB = UNUSABLE + "line {} contains a tab where YAML allows only spaces"
NOT_UTF_8 = UNUSABLE + "byte {} (line {}) is not UTF-8: save the file as UTF-8"
CONTROL = UNUSABLE + "line {} contains a control character: save the file as text in UTF-8"
NO_TAG = UNUSABLE + "a number is too long, or a value does not fit its tag (!!…)"
NESTED = UNUSABLE + "its values are nested too deeply"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        *((text, NO_MAPPING) for text in ("s3cr3t", '["s3cr3t"]', "5", "", "# s3cr3t")),
        # A key that occurs twice
        ("limit: 1\ndry_run: true\nlimit: s3cr3t", TWICE.format(3, "limit", 1)),
        ("1: s3cr3t\n'1': s3cr3t", TWICE.format(2, "1", 1)),
        (
            "stream_maps:\n  orders: {id: s3cr3t}\n  orders:\n    id: x",
            TWICE.format(3, "stream_maps.orders", 2),
        ),
        (
            "base: &a\n  __filter__: s3cr3t\n  __filter__: b\nx: {<<: *a}",
            TWICE.format(3, "base.__filter__", 2),
        ),
        ("a: [{b: s3cr3t,\n b: 1}]", TWICE.format(2, "a.b", 1)),
        (
            '{\n\t"stream_maps": {"a": {\n\t\t"__filter__": "s3cr3t",\n\t\t"__filter__": "b"}}}',
            TWICE.format(4, "stream_maps.a.__filter__", 3),
        ),
        ('{"a": 1, "\\u0061": "s3cr3t"}', TWICE.format(1, "a", 1)),
        (
            '{"a": "\\ud83d\\ude00", "b": 1,\n"b": "s3cr3t"}',
            TWICE.format(2, "b", 1),
        ),
        # Numbers that are none
        ("limit: 1\npixel_id: 012345", ZERO.format(2, "pixel_id")),
        ("a: {b: [1, -007.5]}", ZERO.format(1, "a.b")),
        ('{"pixel_id":\n 012345}', ZERO.format(2, "pixel_id")),
        # Syntax
        ('{"a": "s3cr3t"', NOT_JSON.format(1, 15)),
        ('{\n\t"a": "s3cr3t"\n\t"b": 1}', NOT_JSON.format(3, 2)),
        ("a: s3cr3t: b", NOT_YAML.format(1, 10)),
        ("a: 1\nb: !s3cr3t x", NOT_YAML.format(2, 4)),
        ("a:\n <<: s3cr3t", NOT_YAML.format(2, 6)),
        ("a: &b {<<: [*b]}", NOT_YAML.format(1, 4)),
        ("a: *s3cr3t", NOT_YAML.format(1, 4)),
        ("a: &s3cr3t [*s3cr3t]", NOT_YAML.format(1, 4)),
        ('a: "\\ud800"', NOT_YAML.format(1, 4)),
        ("a: 1\n---\nb: s3cr3t", NOT_YAML.format(2, 1)),
        ("[s3cr3t, 1]: 2", UNUSABLE + "line 1 has a key that is not a text"),
        *((text, NO_TAG) for text in ("a: !!int s3cr3t", "a: !!bool s3cr3t", "a: !!map s3cr3t")),
        *((text.format("9" * 5_000), NO_TAG) for text in ("a: {}", '{{"a": {}}}')),
        ("a:\n\ts3cr3t: 1", TAB.format(2)),
        ("a:\n  b: 1\n\ts3cr3t: 1", TAB.format(3)),
        ("a: s3cr3t\t# b", TAB.format(1)),
        ("[" * 100_000, NESTED),
        ('{"a":' * 100_000, NESTED),
        # Other encodings
        ("a: 1\nb: s3cr3t é".encode("cp1252"), NOT_UTF_8.format(16, 2)),
        ("a: s3cr3t".encode("utf-16"), NOT_UTF_8.format(1, 1)),
        ("a: 1\nb: s3cr3t".encode("utf-16-le"), CONTROL.format(1)),
        ("\0", CONTROL.format(1)),
        ("a: 1\nb: s3cr3t\x1b", CONTROL.format(2)),
        (None, "cannot be read: No such file or directory"),
        (..., "cannot be read: Is a directory"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: Any, said: str) -> None:
    """The message names the file, the line and the reason, and shows no value."""
    path = tmp_path if content is ... else tmp_path / "a.json"
    if isinstance(content, (bytes, str)):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigurationError) as raised:
        read_config(str(path))
    assert str(raised.value) == f"the configuration file '{path}' {said}"


def test_a_key_twice_in_a_text() -> None:
    """An object can be the text of a variable, too."""
    (line,) = problems({**GOOD, "stream_maps": '{"a": {"email": "s3cr3t", "email": "b"}}'})
    assert line == (
        "setting 'stream_maps' cannot be used: the key 'email' occurs twice: remove one of them"
    )


# Environment variables


FROM_FILE = {"pixel_id": 1, "timezone": "UTC", "stream_maps": {"a": {}}}


@pytest.mark.parametrize(
    ("variables", "changed"),
    [
        ({}, {}),
        ({"PIXEL_ID": "2", "DRY_RUN": "True"}, {"pixel_id": "2", "dry_run": "True"}),
        ({"PIXEL_ID": "", "TIMEZONE": " ", "UNKNOWN": " ", "LOGLEVEL": "DEBUG"}, {}),
        ({"STREAM_MAPS": '{"b": {}}'}, {}),
        ({"STREAM_MAPS": "no object"}, {}),
        ({"PRESETS": '{"a.b": "shopify"}'}, {"presets": {"a.b": "shopify"}}),
    ],
    ids=[
        "no more variables",
        "settings",
        "blank and unknown",
        "object of the file wins",
        "no object",
        "object of a variable",
    ],
)
def test_the_environment_wins(variables: dict[str, str], changed: dict[str, Any]) -> None:
    """Only an object of a file wins over its variable."""
    environment = {"PIXEL_ID": "9", **{PREFIX + name: text for name, text in variables.items()}}
    assert with_environment(FROM_FILE, environment) == Given({**FROM_FILE, **changed})


@pytest.mark.parametrize("by_meltano", [False, True])
@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        (PREFIX + "SUPPRESION_PATH", "SUPPRESSION_PATH"),
        (PREFIX + "LIMT", "LIMIT"),
        (PREFIX + "_LIMIT_", "LIMIT"),
        (PREFIX + "dry_run", "DRY_RUN"),
        ("target_liveintent_dryrun", "DRY_RUN"),
        ("TARGET_LIVEINTEN_LIMIT", "LIMIT"),
        (PREFIX + "STREAM_MAP", "STREAM_MAPS"),
        (PREFIX + "STREAM_MAPS_CONFIG", "STREAM_MAP_CONFIG"),
        # What Meltano adds: parts of objects, extras, other loaders and what is unknown.
        *((PREFIX + name, None) for name in ("STREAM_MAPS_A", "PRESETS_SALES_EU", "_DIALECT")),
        *((PREFIX + name, None) for name in ("X_STORE", "EU_LIMIT", "X_STREAM_MAPS_A", "ZZZ")),
        *((PREFIX + name, None) for name in ("STREAM_MAPS___ELSE__", "US_STREAM_MAPS_O_EMAIL")),
        (PREFIX + "ADD_RECORD_METADATA", None),
        ("LIVEINTENT_SUPPRESSION_PATH", None),
        # Those of other programs.
        *((name, ...) for name in ("LIMIT", "STORE", "TARGET_LIMIT", "TARGET_X_STORE", "TARGET")),
    ],
    ids=str,
)
def test_a_misspelled_variable_is_an_error_and_another_unknown_one_a_warning(
    variable: str, meant: Any, by_meltano: bool
) -> None:
    """A misspelled one is an error; another one is named in a warning, but not with Meltano."""
    environment = {variable: SECRET, **({"MELTANO_PROJECT_ROOT": "/x"} if by_meltano else {})}
    given = with_environment(GOOD, environment)
    wrong, warnings = problems(*given), list(setting_warnings(*given))
    named = f"environment variable '{variable}' is unknown"
    is_warned = meant is None and not by_meltano
    assert wrong == (
        [f"{named}; did you mean '{PREFIX}{meant}'?"] if isinstance(meant, str) else []
    )
    assert [one.partition(";")[0] for one in warnings] == [f"{named} and has no effect"] * is_warned


def test_a_misspelled_prefix_is_an_error_but_not_with_meltano() -> None:
    """With Meltano, it is that of another loader."""
    variables = {"TARGET_LIVEINTENTS_SUPPRESSION_PATH": SECRET}
    (said,) = problems(*with_environment(GOOD, variables))
    assert said.endswith(f"is unknown; did you mean '{PREFIX}SUPPRESSION_PATH'?")
    assert with_environment(GOOD, {**variables, "MELTANO_PROJECT_ROOT": "/x"}) == Given(GOOD)


def test_a_variable_for_what_a_file_has() -> None:
    """Meltano exports what its file says, so that the message would come twice."""
    given = {**GOOD, "limt": 5}
    assert with_environment(given, {PREFIX + "LIMT": "5"}) == Given(given)


@pytest.mark.parametrize(
    ("setting", "flat", "whole"),
    [
        ("stream_maps", {"orders.email": "mail"}, {"orders": {"email": "mail"}}),
        (
            "stream_maps",
            {"a.b.email": "x", "a.c.id": None},
            {"a.b": {"email": "x"}, "a.c": {"id": None}},
        ),
        ("stream_maps", {"a.b": {"email": "x"}}, {"a.b": {"email": "x"}}),
        ("stream_maps", {"a": "__NULL__"}, {"a": "__NULL__"}),
        # A map that is wrong stays as it is, so that a check names it.
        (
            "stream_maps",
            {"orders": "x", "orders.email": "mail"},
            {"orders": "x", "orders.email": "mail"},
        ),
        (
            "stream_map_config",
            {"a.b.c": 1, "a.d": 2, "e": 3},
            {"a": {"b": {"c": 1}, "d": 2}, "e": 3},
        ),
    ],
    ids=[
        "property of a stream",
        "streams with dots",
        "not flattened",
        "text as a map",
        "map that is wrong",
        "nested configuration",
    ],
)
def test_an_object_in_a_variable_may_be_whole_or_flattened(
    setting: str, flat: dict[str, Any], whole: Any
) -> None:
    flat = {"__else__": "__NULL__", **flat}
    variables = {PREFIX + setting.upper(): json.dumps(flat)}
    expected = {setting: {"__else__": "__NULL__", **whole}}
    assert with_environment({}, variables) == Given(expected)


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
    assert tmp_path / settings_of(GOOD).store == where / "liveintent.sqlite"


def test_other_places_do_not_start_at_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELTANO_PROJECT_ROOT", "/nowhere")
    metrics = str(tmp_path / "run.prom")
    urls = {"store": "postgresql://db.example.com/l", "suppression_path": "s3://bucket/people.txt"}
    settings = settings_of({**GOOD, "metrics_path": metrics, **urls})
    assert settings.metrics_path == metrics
    assert (settings.store, settings.suppression_path) == tuple(urls.values())
