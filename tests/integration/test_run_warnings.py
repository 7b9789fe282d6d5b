"""What a run warns of: streams that no map names, and maps that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from integration_support import WITH_ID, numbered, order, schema, state

if TYPE_CHECKING:
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

MAP = {"event_id": "event_id", "event_time": "event_time", "email": "email", "__else__": "__NULL__"}


@pytest.mark.parametrize("others", [{}, {"__else__": "__NULL__"}, {"__else__": None}])
def test_streams_that_no_map_names(
    target: Launcher, sandbox: Sandbox, others: dict[str, Any]
) -> None:
    """A stream that no map names is warned of once, with a name that is near."""
    maps = {"orders": MAP, **others}
    columns = ("id", "name")
    run = target.run(
        schema("ordrs", columns),
        schema(columns=WITH_ID),
        order(0, "ordrs"),
        schema("ordrs", (*columns, "city")),
        order(1, "ordrs"),
        schema("weather", columns),
        *numbered(2),
        state(1),
        stream_maps=maps,
    )
    assert (run.code, sandbox.stats.accepted) == (0, 2)
    warned = [x for x in run.warnings if "no stream map names it" in x]
    assert len(warned) == 2
    (near,) = [x for x in warned if "'ordrs'" in x]
    assert "'orders'" in near
    (far,) = [x for x in warned if "'weather'" in x]
    assert "is it" not in far
    assert run.summary["ordrs"].unmapped == 2


def test_streams_that_a_map_drops(target: Launcher, sandbox: Sandbox) -> None:
    """A stream that a map drops by name is no reason to warn."""
    maps = {"orders": MAP, "ordrs": "__NULL__", "__else__": "__NULL__"}
    run = target.run(
        schema(columns=WITH_ID), schema("ordrs"), *numbered(1), state(1), stream_maps=maps
    )
    assert (run.code, run.warnings, sandbox.stats.accepted) == (0, [], 1)


def test_a_failing_map_is_warned_of_once(target: Launcher, sandbox: Sandbox) -> None:
    """A failing expression is warned of once a column, with its name and kind, not its value."""
    maps = {
        "orders": {
            **MAP,
            "event_id": "event_id if id < 8 else secret_of['x']",
            "value": "float(value) if id < 5 else value",
            "__filter__": "True if id < 3 or id > 4 else 1 / 0 > 1",
        }
    }
    messages = numbered(10)
    for n in (0, 1, 2):
        messages[n]["record"]["value"] = f"jane{n}@example.com"
    columns = (*WITH_ID, "secret_of")
    run = target.run(schema(columns=columns), *messages, state(1), stream_maps=maps)
    assert (run.code, len(run.letters), sandbox.stats.accepted) == (0, 7, 3)
    warned = [x for x in run.warnings if "expression" in x]
    assert len(warned) == 3
    for column, kind in (("value", "ValueError"), ("__filter__", "ZeroDivisionError")):
        (line,) = [x for x in warned if f"'{column}'" in x]
        assert f"({kind})" in line
        assert "'orders'" in line
    assert any("'event_id'" in x for x in warned)
    assert "jane" not in run.log
