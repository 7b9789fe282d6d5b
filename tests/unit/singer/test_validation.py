"""Validation of records: the place and the rule are named, and never the value."""

import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from singer_sdk.exceptions import InvalidJSONSchema
from unit_support import sha256

from target_liveintent.singer.streams import RecordValidator

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "total": {"type": "number", "multipleOf": 0.01},
        "customer": {"type": "object", "properties": {"email": {"type": "string"}}},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
        "ann@example.com": {"type": "integer"},
    },
    "required": ["id"],
}


@pytest.mark.parametrize(
    ("record", "violation"),
    [
        ({"id": 1, "total": Decimal("87.10"), "customer": {"email": "x"}, "tags": ["a"]}, None),
        ({"id": 1, "unknown": "x"}, None),
        ({"id": "ann@example.com"}, "id breaks the rule 'type'"),
        ({"id": 1, "customer": {"email": 5}}, "customer.email breaks the rule 'type'"),
        ({"id": 1, "tags": ["a", "ann@example.com"]}, "tags.1 breaks the rule 'enum'"),
        ({}, "the record breaks the rule 'required'"),
        # A column can have the name of a person.
        ({"id": 1, "ann@example.com": "x"}, f"{sha256('ann@example.com')} breaks the rule 'type'"),
    ],
    ids=["right", "unknown", "value", "inner", "item", "missing", "address"],
)
def test_violations(record: dict[str, Any], violation: str | None) -> None:
    """The first violation is named by its place and its rule."""
    assert RecordValidator(SCHEMA).violation(record) == violation


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "text"},
        {"properties": {"id": 5}},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/passwd"},
    ],
    ids=["type", "properties", "remote", "file"],
)
def test_schemas_that_cannot_be_used(schema: dict[str, Any]) -> None:
    """A schema that is wrong, or refers to another place, ends the run; nothing is fetched."""
    with pytest.raises(InvalidJSONSchema, match="the tap's SCHEMA is not a valid JSON schema"):
        RecordValidator(schema)


def test_libraries_that_few_runs_need() -> None:
    """Without presets, validation, a report and metrics, a run loads nothing of what these need."""
    names = {"yaml", "jsonschema_rs", "jinja2", "prometheus_client", "tqdm"}
    code = f"import sys, target_liveintent.target; print({names} & {{*sys.modules}})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
