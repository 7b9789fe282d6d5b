"""Loading: settings from texts and files, with defaults, into `Settings`."""

import json
from pathlib import Path
from typing import Any

import pytest

from target_liveintent.config import (
    SCHEMA,
    about_lines,
    problems,
    read_config,
    settings_by_group,
    settings_of,
    with_environment,
)
from target_liveintent.errors import ConfigurationError
from target_liveintent.mapping.presets import PRESETS
from target_liveintent.settings import Settings

SECRET = "s3cr3t-T0ken-of-ours"
PREFIX = "TARGET_LIVEINTENT_"
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


def test_what_meltano_reads() -> None:
    """A default that means "not set" is none; null means it, too; and each preset is offered."""
    properties = SCHEMA["properties"]
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


def test_groups() -> None:
    """People read about each setting once, under six headings, in the order of the schema."""
    groups = settings_by_group()
    assert len(groups) == 6
    shown = [one for group in groups.values() for one in group]
    assert [name for name, *_ in shown] == list(SCHEMA["properties"])
    assert [name for name, *_ in groups["You need these"]] == [
        *("customer_id", "auth_token", "auth_token_path", "pixel_id", "default_source"),
        *("presets", "stream_maps"),
    ]
    assert [name for name, default, _ in shown if default == "required"] == SCHEMA["required"]
    assert len(shown) <= 29
    text = "\n".join(about_lines())
    assert "\nPace:\n  batch_size_rows (100): How many events" in text
    assert text.count(". One of ") == sum("enum" in one for one in SCHEMA["properties"].values())


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
def test_files(tmp_path: Path, text: str) -> None:
    """A file is JSON or YAML."""
    (tmp_path / "a").write_text(text, encoding="utf-8")
    given = {"pixel_id": 5, "stream_maps": {"orders": {"__filter__": None}}}
    assert read_config(str(tmp_path / "a")) == given


def test_what_yaml_makes_of_values(tmp_path: Path) -> None:
    """Keys are text, and a time is text as well."""
    (tmp_path / "a.yml").write_text("stream_map_config: {2026: 2026-11-29}\ndry_run: yes\n")
    assert read_config(str(tmp_path / "a.yml")) == {
        "stream_map_config": {"2026": "2026-11-29"},
        "dry_run": True,
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        *(
            (text, "is neither a JSON object nor a YAML mapping")
            for text in ("s3cr3t", '["s3cr3t"]', '{"a": "s3cr3t"', "a: s3cr3t: b", "5", "", "\0")
        ),
        (None, "cannot be read: No such file or directory"),
        (..., "cannot be read: Is a directory"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: Any, said: str) -> None:
    """The message names the file and the reason, and nothing shows its content."""
    path = tmp_path if content is ... else tmp_path / "a.json"
    if isinstance(content, str):
        path.write_text(content)
    with pytest.raises(ConfigurationError) as raised:
        read_config(str(path))
    assert str(raised.value) == f"the configuration file '{path}' {said}"


# Environment variables


FROM_FILE = {"pixel_id": 1, "timezone": "UTC", "stream_maps": {"a": {}}}


@pytest.mark.parametrize(
    ("variables", "changed"),
    [
        ({}, {}),
        ({"PIXEL_ID": "2", "DRY_RUN": "True"}, {"pixel_id": "2", "dry_run": "True"}),
        ({"PIXEL_ID": "", "TIMEZONE": " ", "UNKNOWN": "1"}, {}),
        ({"STREAM_MAPS": '{"b": {}}'}, {}),
        ({"STREAM_MAPS": "no object"}, {}),
        ({"PRESETS": '{"a.b": "shopify"}'}, {"presets": {"a.b": "shopify"}}),
    ],
)
def test_the_environment_wins(variables: dict[str, str], changed: dict[str, Any]) -> None:
    """Only an object of a file wins over its variable."""
    environment = {"PIXEL_ID": "9", **{PREFIX + name: text for name, text in variables.items()}}
    assert with_environment(FROM_FILE, environment) == {**FROM_FILE, **changed}


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
)
def test_what_meltano_has_flattened(setting: str, flat: dict[str, Any], whole: Any) -> None:
    """An object in a variable is read as it is, or as Meltano flattens it."""
    flat = {"__else__": "__NULL__", **flat}
    variables = {PREFIX + setting.upper(): json.dumps(flat)}
    assert with_environment({}, variables) == {setting: {"__else__": "__NULL__", **whole}}


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
