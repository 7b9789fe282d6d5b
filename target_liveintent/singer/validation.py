"""Validates records against the tap's schema, if the setting `validate_records` asks for it."""

from __future__ import annotations

from typing import Any

from singer_sdk.exceptions import InvalidJSONSchema

from target_liveintent.privacy import scrub


def _fetch_nothing(uri: str) -> Any:
    """Rejects references to other schemas: a tap's schema must not cause network traffic."""
    msg = f"{uri} is not fetched"
    raise ValueError(msg)


class RecordValidator:
    """Validates records with jsonschema-rs, which is fast.

    Raises:
        InvalidJSONSchema: If the schema is not a JSON schema.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        import jsonschema_rs  # noqa: PLC0415 (only needed where records are validated)

        try:
            self._validator = jsonschema_rs.validator_for(schema, retriever=_fetch_nothing)
        except ValueError:
            msg = "the tap's SCHEMA is not a valid JSON schema"
            raise InvalidJSONSchema(msg) from None

    def violation(self, record: dict[str, Any]) -> str | None:
        """Return the place and the rule where a record breaks the schema; None if it does not."""
        for error in self._validator.iter_errors(record):
            place = ".".join(str(step) for step in error.instance_path) or "the record"
            msg = f"{place} breaks the rule '{error.schema_path[-1]}'"
            return scrub(msg)
        return None
