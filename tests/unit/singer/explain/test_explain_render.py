"""What `--explain` prints about the fields of a stream."""

from __future__ import annotations

import io
import json

from target_liveintent.config import settings_of
from target_liveintent.singer.explain.render import explain
from target_liveintent.singer.stream_maps import StreamMaps


def printed(*columns: str) -> dict[str, str]:
    """Explain a stream of these columns without a map; return what is printed for each field."""
    settings = settings_of({"customer_id": "a-1b2c", "auth_token": "made-up-token"})
    schema = {"properties": {column: {} for column in columns}}
    message = json.dumps({"type": "SCHEMA", "stream": "orders", "schema": schema})
    found = {}
    for line in explain(io.StringIO(message), settings, StreamMaps({}, {}), {}):
        field, _, source = line.strip().partition(" ")
        found[field] = source.strip()
    return found


def test_what_is_never_sent() -> None:
    """An address and a consent are marked, because they stay here."""
    found = printed("event_time", "email", "consent", "value")
    assert found["email"] == "the column of that name  (normalized and hashed, never sent)"
    assert found["consent"] == "the column of that name  (never sent)"
    assert found["value"] == "the column of that name"


def test_the_decision_id_of_a_page() -> None:
    """The page is named as a source of decision IDs only where the stream has it."""
    found = printed("event_time", "email", "source_url")
    assert found["decision_id"] == "li_did of source_url, where there is no e-mail"
    found = printed("event_time", "email")
    assert "decision_id" in found["Empty:"].split(", ")
