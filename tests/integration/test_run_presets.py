"""Presets in the running target: records in their taps' shapes, to the sandbox and its rules."""

import time

import pytest
from integration_support import Launcher, schema, state
from preset_records import changed, sample

from target_liveintent.mapping.presets import PRESETS
from target_liveintent.sandbox import Sandbox

COUNT = 60
"""Enough records for a run to judge whether a column identifies anybody."""


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset(target: Launcher, sandbox: Sandbox, name: str) -> None:
    """A tap's records arrive as they are meant, by the API's rules, and the run warns of nothing.

    No setting fills in for the preset; `tests/unit/mapping/test_presets.py` has other records.
    """
    of = sample(name, time.time())
    opening = schema(of.stream, of.record, of.keys)
    opening["schema"]["type"] = ["null", "object"]  # Stripe's tap types a root like this.
    records = [changed(of.record, {of.keys[0]: f"{n}"}) for n in range(COUNT)]
    rows = [{"type": "RECORD", "stream": of.stream, "record": record} for record in records]
    settings = {"presets": {of.stream: name}, "default_source": ...}
    run = target.run(opening, *rows, state(1), **settings)
    assert (run.code, run.states, run.warnings) == (0, [1], [])
    own = [{"eventId": f"{n}", "pixelId": 12345} for n in range(COUNT)]
    assert sandbox.events == [{**of.event, **one} for one in own]
