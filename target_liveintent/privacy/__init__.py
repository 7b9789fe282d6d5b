"""Hashing, redaction and suppression: no address and no token leaves this machine.

`redact_columns` says what dead letters may contain, `without_secrets` what log lines and reports
may contain; both replace addresses with `scrub`.
"""

from target_liveintent.privacy.addresses import holds_address, scrub
from target_liveintent.privacy.identity import (
    IDENTITY_COLUMNS,
    NORMALIZATIONS,
    Identity,
    derive_event_id,
    hash_address,
    identify,
    is_placeholder,
    pseudonym,
)
from target_liveintent.privacy.redaction import (
    LONGEST_TEXT,
    hide_token,
    protect_logging,
    redact_column,
    redact_columns,
    redact_value,
    without_secrets,
)
from target_liveintent.privacy.suppression import Suppressions, digests_in
from target_liveintent.privacy.urls import URL_PARAMETERS, clean_url

__all__ = [
    "IDENTITY_COLUMNS",
    "LONGEST_TEXT",
    "NORMALIZATIONS",
    "URL_PARAMETERS",
    "Identity",
    "Suppressions",
    "clean_url",
    "derive_event_id",
    "digests_in",
    "hash_address",
    "hide_token",
    "holds_address",
    "identify",
    "is_placeholder",
    "protect_logging",
    "pseudonym",
    "redact_column",
    "redact_columns",
    "redact_value",
    "scrub",
    "without_secrets",
]
