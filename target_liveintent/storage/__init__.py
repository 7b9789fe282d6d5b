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
from target_liveintent.storage.folders import Folder, LocalFolder
from target_liveintent.storage.ledger import Ledger, LedgerAccount, event_key
from target_liveintent.storage.ledger_preview import LedgerPreview
from target_liveintent.storage.letter_reading import LetterLine, letter_files, letter_lines

__all__ = [
    "HEAD",
    "DeadLetterFile",
    "DeadLetterWriter",
    "DeliveredEvent",
    "DeliveredFile",
    "Folder",
    "Ledger",
    "LedgerAccount",
    "LedgerPreview",
    "LetterLine",
    "LocalFolder",
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
