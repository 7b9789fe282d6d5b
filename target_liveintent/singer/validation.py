"""Validates records against the tap's schema, if the setting `validate_records` asks for it."""

from __future__ import annotations

from typing import Any

from singer_sdk.exceptions import InvalidJSONSchema, InvalidRecord
from singer_sdk.sinks.core import BaseJSONSchemaValidator

from target_liveintent.privacy import scrub


def _fetch_nothing(uri: str) -> Any:
    """Rejects references to other schemas: a tap's schema must not cause network traffic."""
    msg = f"{uri} is not fetched"
    raise ValueError(msg)


class RecordValidator(BaseJSONSchemaValidator):
    """Validates records with jsonschema-rs, which is fast."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Compile the schema.

        Raises:
            InvalidJSONSchema: If it is not a JSON schema.
        """
        import jsonschema_rs  # noqa: PLC0415 (only needed where records are validated)

        super().__init__(schema)
        try:
            self._validator = jsonschema_rs.validator_for(schema, retriever=_fetch_nothing)
        except ValueError:
            msg = "the tap's SCHEMA is no JSON schema"
            raise InvalidJSONSchema(msg) from None

    def validate(self, record: dict[str, Any]) -> None:
        """Validate a record.

        Raises:
            InvalidRecord: If it breaks the schema. The message has the place and the rule, never
                the value.
        """
        for error in self._validator.iter_errors(record):
            place = ".".join(str(step) for step in error.instance_path) or "the record"
            rule = ".".join(str(step) for step in error.schema_path[-1:])
            msg = f"{place} breaks the rule '{rule}'"
            raise InvalidRecord(msg, {})


def violation_of(record: dict[str, Any], validator: BaseJSONSchemaValidator) -> str | None:
    """Return how a record breaks the tap's schema, without its values; None if it does not."""
    try:
        validator.validate(record)
    except InvalidRecord as error:
        return scrub(error.error_message)
    return None
