"""What `dead-letters` shows: the dead letters of the store, judged, counted, and rendered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from target_liveintent.conversions import Rejection
from target_liveintent.privacy import Suppressions
from target_liveintent.reasons import MAY_HAVE_COUNTED, REASONS
from target_liveintent.reporting.letters.model import DeadLetters
from target_liveintent.reporting.letters.render import as_lines
from target_liveintent.reporting.letters.tally import LetterTally
from target_liveintent.run import ReplayChoice, ReplayConverter
from target_liveintent.settings import Settings
from target_liveintent.store import Database, letters_in

__all__ = ["as_lines", "look_at"]

_PROSPECT_OF = {
    "other_account": "other_account",
    "expired": "expired",
    **dict.fromkeys(MAY_HAVE_COUNTED, "leaves_out"),
}
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def look_at(
    database: Database | None,
    settings: Settings,
    choice: ReplayChoice,
    notes: Iterable[str],
    now: Callable[[], float] = time.time,
) -> DeadLetters:
    """Count the dead letters of the store.

    Args:
        database: The store; None if there is none yet.
        settings: Those of a replay.
        choice: What the replay would also send.
        notes: What there is to say about the settings.
        now: Returns the Unix time as of which the letters are judged.

    Raises:
        ConfigurationError: If the file of `suppression_path` cannot be read.
        StorageError: If the store cannot be read.
    """
    converter = ReplayConverter(settings, Suppressions(settings.suppression_path), choice, {}, now)
    tally = LetterTally(lambda letter: _prospect(converter, letter))
    if database is not None:
        for _, record in letters_in(database):
            tally.add(_decode(record))
    return DeadLetters(
        notes=list(notes),
        letters=tally.letters,
        first=tally.times[0],
        last=tally.times[1],
        replay=tally.prospects,
        reasons=tally.reasons,
        written_for=tally.addressees,
    )


def _prospect(converter: ReplayConverter, letter: dict[str, Any]) -> str:
    """Return what a replay would do with a dead letter: a key of `PROSPECTS`."""
    result = converter.convert(letter)
    if not isinstance(result, Rejection):
        return "sends"
    otherwise = "cannot_send" if REASONS[result.reason].letter else "dropped"
    return _PROSPECT_OF.get(result.reason, otherwise)
