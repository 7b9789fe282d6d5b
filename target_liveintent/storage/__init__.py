"""The files that a run writes, apart from its reports: dead letters, delivered events, ledger."""

from target_liveintent.storage.dead_letters import (
    HEAD,
    DeadLetterFile,
    DeadLetterWriter,
    addressee,
    carry_over,
    dead_letter_line,
    refuse_own_file,
    to_replay,
    why_not_replayed,
)
from target_liveintent.storage.delivered import DeliveredFile
from target_liveintent.storage.delivered_rows import DeliveredEvent, RowFormat, row_format
from target_liveintent.storage.files import replace_file
from target_liveintent.storage.ledger import (
    Claim,
    EventLedger,
    Ledger,
    LedgerAccount,
    event_key,
)
from target_liveintent.storage.ledger_in_database import LedgerInDatabase
from target_liveintent.storage.ledger_in_file import LedgerInFile
from target_liveintent.storage.ledger_preview import LedgerPreview
from target_liveintent.storage.ledger_store import LedgerStore
from target_liveintent.storage.letter_reading import LetterLine, letter_files, letter_lines

__all__ = [
    "HEAD",
    "Claim",
    "DeadLetterFile",
    "DeadLetterWriter",
    "DeliveredEvent",
    "DeliveredFile",
    "EventLedger",
    "Ledger",
    "LedgerAccount",
    "LedgerInDatabase",
    "LedgerInFile",
    "LedgerPreview",
    "LedgerStore",
    "LetterLine",
    "RowFormat",
    "addressee",
    "carry_over",
    "dead_letter_line",
    "event_key",
    "letter_files",
    "letter_lines",
    "refuse_own_file",
    "replace_file",
    "row_format",
    "to_replay",
    "why_not_replayed",
]
