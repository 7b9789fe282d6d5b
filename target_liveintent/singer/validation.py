"""Checks records against the tap's schema; used only where `validate_records` asks for it."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
from singer_sdk.exceptions import InvalidJSONSchema, InvalidRecord
from singer_sdk.sinks.core import BaseJSONSchemaValidator

from target_liveintent.privacy.identity import scrub


def _fetch_nothing(uri: str) -> Any:
    """A tap's schema must not make this machine call anybody."""
    msg = f"{uri} is not fetched"
    raise ValueError(msg)


class RecordValidator(BaseJSONSchemaValidator):
    """Judges records by the tap's schema, with jsonschema-rs for its speed."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Compile the schema.

        Raises:
            InvalidJSONSchema: If it is none.
        """
        super().__init__(schema)
        try:
            self._validator = jsonschema_rs.validator_for(schema, retriever=_fetch_nothing)
        except ValueError:
            msg = "the tap's SCHEMA is no JSON schema"
            raise InvalidJSONSchema(msg) from None

    def validate(self, record: dict[str, Any]) -> None:
        """Check a record.

        Raises:
            InvalidRecord: Names the place and the rule, never the value.
        """
        for error in self._validator.iter_errors(record):
            place = ".".join(str(step) for step in error.instance_path) or "the record"
            rule = ".".join(str(step) for step in error.schema_path[-1:])
            msg = f"{place} breaks the rule '{rule}'"
            raise InvalidRecord(msg, {})


def violation_of(record: dict[str, Any], validator: BaseJSONSchemaValidator) -> str | None:
    """How a record breaks the tap's schema, without its values; None if it does not."""
    try:
        validator.validate(record)
    except InvalidRecord as error:
        return scrub(error.error_message)
    return None
