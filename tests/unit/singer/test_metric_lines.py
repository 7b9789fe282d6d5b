"""The SDK's METRIC line of a stream, after a run of over a minute."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from target_liveintent.singer.reader import decode_message
from target_liveintent.target import TargetLiveIntent

if TYPE_CHECKING:
    import pytest

SCHEMA = b"""{"type": "SCHEMA", "stream": "orders", "key_properties": ["id"], "schema":
 {"properties": {"id": {}, "event_time": {}, "email": {}}}}"""


def test_one_line_however_long_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK's counter speaks up by itself after a minute; no line of nought follows."""
    caplog.set_level(logging.INFO)
    account = {"customer_id": "a-1b2c", "auth_token": "made-up", "pixel_id": 1}
    target = TargetLiveIntent(config={**account, "default_source": "web", "dry_run": True})
    target._process_schema_message(decode_message(SCHEMA))
    (sink,) = target._all_sinks()
    sink.record_counter_metric.last_log_time -= 3_600
    sink.counts.read += 5
    sink.clean_up()
    (line,) = [message for message in caplog.messages if "METRIC" in message]
    assert '"value":5' in line.replace(" ", "")
