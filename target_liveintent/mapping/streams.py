"""A stream as its source describes it."""

from __future__ import annotations

from typing import Any, NamedTuple

MELTANO_TEST_STREAM = "meltano_test_stream"
"""The stream that `meltano config test target-liveintent` sends. It is read, and never sent on."""


class Stream(NamedTuple):
    """A stream as a tap describes it: its JSON schema with `properties`, its key properties."""

    name: str
    schema: dict[str, Any]
    keys: tuple[str, ...]
