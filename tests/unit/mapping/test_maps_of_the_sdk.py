"""Random stream maps mean what they mean to the SDK: expressions, options, keys and copies."""

from __future__ import annotations

import copy
import fnmatch
import io
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from singer_sdk.exceptions import MapExpressionError, StreamMapConfigError
from singer_sdk.mapper import PluginMapper, RemoveRecordTransform
from test_expressions import ATOMS, RECORDS, SCHEMA, differences
from unit_support import databases_closed

from target_liveintent.config import problems
from target_liveintent.errors import ConfigurationError, StreamMappingError
from target_liveintent.mapping.stream_maps import MappingFailed, StreamMaps
from target_liveintent.target import TargetLiveIntent

# What a helper cannot read is no value of the SDK, which tests its truth where Python does not.
PARTS = [
    *(one for one in ATOMS if "amount" not in one and "minor_units" not in one),
    *("datetime.date(2026, 1, 2).isoformat()", "json.loads(json.dumps(id))", "bool(total)"),
    *("config.get('shop')", "md5(email)", "datetime.datetime(2026, 1, 1).year"),
    *("1000", "1.5", "'a b'", "(1, 2)", "None", "True", "7", "()", "b'x'", "-2.5", "...", "1j"),
    *("{1, 2}", "str", "int", "float", "json", "json.JSONDecoder()", "json.JSONEncoder()"),
    *("datetime", "datetime.datetime", "datetime.date", "datetime.date(2026, 1, 2)"),
    *("datetime.datetime(2026, 1, 2, 3, 4, 5, 6)", "datetime.timedelta(days=1, hours=2)"),
    *("datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)", "datetime.time(3, 4)"),
    *("datetime.timezone.utc", "datetime.date(2026, 1, 2).isocalendar()"),
    *("datetime.datetime.strptime('2026-01-02', '%Y-%m-%d')", "float(id)", "(id, 'a')"),
    *("datetime.datetime(2026, 1, 2).timetuple()", "email.encode('big')", "total.as_tuple()"),
]
FORMS = (
    *("{a}", "str({a})", "({a}) if ({b}) else ({c})", "({a}) or ({b})", "f'{{{a}}}-{{{b}}}'"),
    *("[{a} for t in [1, 2]]", "{{'k': {a}}}", "({a}) == ({b})", "coalesce({a}, {b})", "not ({a})"),
    *("[{a}, {b}][0]", "({a}) and ({b})", "({a}) + ({b})", "[t for t in [{a}] if {b}]", "-({a})"),
    *("({a})[{b}]", "({a})[{b}:{c}]", "({a}).email", "({a}).get({b}, {c})", "({a}) % ({b})"),
    *("({a}) < ({b})", "({a}) in ({b})", "({a}) * ({b})", "({a}) // ({b})", "({a}) | ({b})"),
)
COLUMNS = ("id", "total", "email", "customer", "tags", "order_id", "event_id", "x")
OPTIONS: dict[str, tuple[Any, ...]] = {
    "__filter__": (None, "id", "total", "is_test is not True", "'vip' in (tags or [])"),
    "__else__": (None, "__NULL__"),
    "__alias__": ("gifts", "__stream_name__ + '_v2'", "'a-b'", "orders_2", "a - b", "f('x')"),
    "__source__": ("orders", "ord*", "people"),
    "__key_properties__": (None, ["id"], ["x"], ["id", "email"], ["nobody"], []),
}
NAMES = ("orders", "ord*", "gifts", "copy", "*")


def an_expression(rng: random.Random) -> str:
    parts = [an_expression(rng) if rng.random() < 0.2 else rng.choice(PARTS) for _ in range(3)]
    a, b, c = (part.replace("'", '"') for part in parts)
    expression = rng.choice(FORMS).format(a=a, b=b, c=c)
    return rng.choice((expression, rng.choice(PARTS)))


def expressions(count: int, seed: int) -> Iterator[str]:
    """Yield expressions that Python can parse."""
    rng = random.Random(seed)  # noqa: S311
    while count:
        text = an_expression(rng)
        try:
            compile(text, "", "eval")
        except (SyntaxError, ValueError):
            continue
        count -= 1
        yield text


def a_map(rng: random.Random) -> Any:
    if rng.random() < 0.1:
        return rng.choice((None, "__NULL__"))
    chosen: dict[str, Any] = {}
    for option, values in OPTIONS.items():
        if rng.random() < 0.3:
            chosen[option] = rng.choice(values)
    if "__source__" in chosen:
        chosen.pop("__alias__", None)
    for column in rng.sample(COLUMNS, rng.randint(0, 3)):
        chosen[column] = rng.choice((None, "id", "email", "config['shop']", "__stream_name__"))
    return dict(rng.sample(sorted(chosen.items()), len(chosen)))


def outcome_of_theirs(maps: Any, keys: list[str] | None, records: list[dict[str, Any]]) -> Any:
    """Return the names, columns and records of the SDK's mapper; None if it refuses the maps."""
    try:
        mapper = PluginMapper({"stream_maps": maps, "stream_map_config": {"shop": "b"}}, LOGGER)
        mapper.register_raw_stream_schema("orders", copy.deepcopy(SCHEMA), keys)
    except (StreamMapConfigError, MapExpressionError, TypeError, AttributeError):
        return None
    found = []
    for one in mapper.stream_maps["orders"]:
        if isinstance(one, RemoveRecordTransform):
            found.append(("orders", set(), [None] * len(records)))
            continue
        if not isinstance(one.stream_alias, str):
            return None
        rows: list[Any] = []
        for record in copy.deepcopy(records):
            try:
                is_kept = one.get_filter_result(record)
                rows.append((one.transform(record) or None) if is_kept else None)
            except Exception:  # noqa: BLE001, PERF203 (any failure rejects the record)
                rows.append("failed")
        found.append((one.stream_alias, set(one.transformed_schema["properties"]), rows))
    return found


def outcome_of_ours(maps: Any, keys: list[str] | None, records: list[dict[str, Any]]) -> Any:
    try:
        plans = StreamMaps(maps, {"shop": "b"}).plans("orders", copy.deepcopy(SCHEMA), keys or ())
    except (ConfigurationError, StreamMappingError):
        return None
    found = []
    for plan in plans:
        if not plan.is_used:
            found.append(("orders", set(), [None] * len(records)))
            continue
        # (Without a map, an empty record is not filtered, but rejected, as it has no event time.)
        rows = [plan.transform(record) or None for record in copy.deepcopy(records)]
        rows = ["failed" if isinstance(row, MappingFailed) else row for row in rows]
        found.append((plan.stream, set(plan.properties), rows))
    return found


LOGGER = logging.getLogger("maps")


def maps_that_differ(count: int, seed: int) -> list[Any]:
    """Compare so many maps that the SDK accepts."""
    rng = random.Random(seed)  # noqa: S311
    found = []
    while count:
        names = rng.sample(NAMES, rng.randint(1, 3))
        maps = {name: a_map(rng) for name in names}
        if rng.random() < 0.2:
            maps["__else__"] = rng.choice((None, "__NULL__"))
        keys = rng.choice((None, ["id"], ["id", "total"], ["email"]))
        records = rng.sample(RECORDS, 2)
        wanted = outcome_of_theirs(copy.deepcopy(maps), keys, records)
        if wanted is None:
            continue
        count -= 1
        if (made := outcome_of_ours(maps, keys, records)) != wanted:
            found.append((maps, keys, made, wanted))
    return found


ROWS = [record for record in RECORDS if record]


def outcomes_of_a_run(maps: Any, keys: list[str], store: Path) -> dict[str, tuple[int, int, int]]:
    """Run the target over all records; return how many are read, filtered, and fail, by stream."""
    config = {
        "customer_id": "a-1b2c",
        "auth_token": "made-up",
        "pixel_id": 1,
        "dry_run": True,
        "default_source": "web",
        "stream_maps": maps,
        "stream_map_config": {"shop": "b"},
        "store": str(store),
        "max_dead_letter_percent": 100,
    }
    target = TargetLiveIntent(config=config)
    schema = {"type": "SCHEMA", "stream": "orders", "key_properties": keys, "schema": SCHEMA}
    records = [{"type": "RECORD", "stream": "orders", "record": one} for one in ROWS]
    lines = [msgspec.json.encode(message).decode() for message in (schema, *records)]
    target.listen(io.StringIO("\n".join(lines)))
    return {
        stream: (one.read, one.filtered, one.rejected["mapping_failed"])
        for stream, one in target.run.counts.streams.items()
        if one.read
    }


def test_runs_count_records_as_the_sdk_passes_them_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run counts each record of each map as the SDK's mapper would pass it on, or not."""
    rng = random.Random(3)  # noqa: S311
    seen = 0
    while seen < 150:
        maps = {name: a_map(rng) for name in rng.sample(NAMES, 2)}
        for one in maps.values():
            if isinstance(one, dict):
                one |= {"event_time": "'2026-11-28T10:00:00Z'", "email": "'a@example.com'"}
        wanted = outcome_of_theirs(copy.deepcopy(maps), ["id"], ROWS)
        own = outcome_of_ours(copy.deepcopy(maps), ["id"], ROWS)
        named = any(fnmatch.fnmatch("orders", name) for name in maps)
        if wanted is None or own is None or not named or problems_of(maps):
            continue
        with databases_closed(monkeypatch):
            try:
                found = outcomes_of_a_run(maps, ["id"], tmp_path / f"{seen}.sqlite")
            except StreamMappingError:  # A filter reads a column that is not there, or no stream.
                continue
        expected: dict[str, tuple[int, int, int]] = {}
        for stream, _, rows in wanted:
            figures = (len(rows), rows.count(None), rows.count("failed"))
            before = expected.get(stream, (0, 0, 0))
            expected[stream] = tuple(map(sum, zip(before, figures, strict=True)))  # type: ignore[assignment]
        assert found == expected, maps
        seen += 1


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_random_expressions_mean_what_they_mean_to_the_sdk() -> None:
    assert differences(expressions(3_000, seed=1), RECORDS[:3]) == []


def problems_of(maps: Any) -> list[str]:
    return problems({"customer_id": "a-1b2c", "auth_token": "made-up", "stream_maps": maps})


def test_random_maps_mean_what_they_mean_to_the_sdk() -> None:
    assert maps_that_differ(1_500, seed=1) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_half_a_million_expressions_mean_the_same() -> None:
    assert differences(expressions(500_000, seed=2), RECORDS[:1]) == []


@pytest.mark.slow
def test_a_hundred_thousand_maps_mean_the_same() -> None:
    assert maps_that_differ(100_000, seed=2) == []
