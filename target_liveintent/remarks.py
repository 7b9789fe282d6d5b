"""Remarks about a record, and the causes for which a value cannot be used.

A remark does not change the outcome of the record. Remarks and causes are values with codes.
`UnusableCause.words` has the words for a cause.
"""

from __future__ import annotations

from typing import NamedTuple

COLUMN_EMPTY, COLUMN_UNUSABLE = "empty", "unusable"
"""The event has no value from the column: the value is empty, or it cannot be used."""
HASH_CONFLICT = "conflict"
"""The record has a hash that is not a hash of the address in the column."""
LOCAL_TIME = "local_time"
"""The time has no zone of its own, so the setting `timezone` applies."""
HAS_DECISION_ID, OWN_DECISION_ID = "decision_id", "own_decision_id"
"""The event has a decision ID. With `OWN_DECISION_ID`, it is the same as the value of the column of
the remark, such as `order_id`, so it is probably not an ID of LiveIntent."""
REJECTION_CAUSE = "rejection"
"""The value of the column caused the rejection of the record."""
SLOW_PATH = "slow_path"
"""The fast path left the record to `EventBuilder`, because of the column, or because of another
cause that stands in place of the column."""


class Shape(NamedTuple):
    """The shape of a value, which shows none of its data.

    Attributes:
        form: The value as text, with 9 in place of each digit and x in place of each word.
        type: The name of the type. A Boolean, a list, an object or a huge number has this in place
            of a form.
    """

    form: str | None = None
    type: str | None = None

    @property
    def words(self) -> str:
        """The shape in words, such as "a value of the form 99.99"."""
        if self.type is not None:
            return f"a value of the type {self.type}"
        return f"a value of the form {self.form}"


class UnusableCause(NamedTuple):
    """Why a value cannot be used.

    Attributes:
        code: A key of `UNUSABLE_CAUSES`.
        shape: The shape of the value, if known.
        fact: A text that the words need, such as a short word in the record.
    """

    code: str
    shape: Shape | None = None
    fact: str = ""

    @property
    def words(self) -> str:
        """The cause in words, such as "a value of the form 99.99 is not a whole number"."""
        value = self.shape.words if self.shape else "the value"
        return UNUSABLE_CAUSES[self.code].format(value=value, fact=self.fact)


UNUSABLE_CAUSES = {
    "not_text": "{value} cannot be sent as text, or contains an e-mail address",
    "not_decision_id": "{value} is a placeholder, contains a space or an e-mail address, or cannot"
    " be sent as text",
    "not_email": "{value} is neither an e-mail address nor a hash of one",
    "not_hash": "{value} is not a hash of an e-mail address",
    "not_public_ip": "{value} is not a public IP address",
    "not_uuid": "{value} is not a UUID",
    "not_flag": "{value} is none of these: true, false, 1, 0, yes, no",
    "not_currency": "{value} is not a currency code of ISO 4217: write, for example, \"'EUR'\" in"
    " the map, or translate other words with {{'EURO': 'EUR'}}.get(get('currency'))",
    "not_number": "{value} is not a number with a decimal point",
    "not_time": "{value} is not a time",
    "not_source": "{value}",
    "other_source": "'{fact}'",
    "out_of_range": "{value}",
    # For a text with an @.
    "wrong_encoding": "{value} was read in the wrong encoding: let the tap read its source as"
    " UTF-8",
    "white_space": "{value} contains white space",
    # From the helpers of expressions.
    "not_whole": "{value} is not a whole number, but minor_units needs one",
    "blank_currency": "minor_units cannot use the currency, because it is blank",
    "unknown_currency": "minor_units cannot use the currency, because {value} is not in ISO 4217",
    "no_decimal_comma": "{value} is not a number with a decimal comma",
    "not_excel_time": "{value} is not a serial number of Excel from 2000 to 2099",
    "other_form": "{value} does not have the form {fact}",
    # From a replay.
    "not_kept": "the dead letter does not contain the original value",
}
"""The words for each code of a cause; `{value}` is the shape of the value in words."""


class Remark(NamedTuple):
    """A fact about a record, besides its outcome. A run counts remarks by kind and column.

    Attributes:
        kind: One of the constants of this module.
        column: A column of the event or of the tap's record, about which the remark is made.
        cause: Why the value cannot be used, if known.
    """

    kind: str
    column: str
    cause: UnusableCause | None = None


Remarks = tuple[Remark, ...]
"""The remarks about one record; most records have no remarks."""
