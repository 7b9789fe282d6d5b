"""What a run writes, apart from its reports: dead letters, delivered events, the ledger.

It is in files on this machine, or in the objects of a store.
"""

from target_liveintent.storage.dead_letters import (
    HEAD,
    DeadLetterWriter,
    addressee,
    carry_over,
    dead_letter_line,
    refuse_own_file,
    to_replay,
    why_not_replayed,
)
from target_liveintent.storage.delivered import DeliveredWriter
from target_liveintent.storage.delivered_rows import DeliveredEvent
from target_liveintent.storage.folders import Folder
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
from target_liveintent.storage.letter_parts import LetterPart, Letters, LetterSource
from target_liveintent.storage.letter_reading import (
    LetterLine,
    letter_files,
    letter_lines,
    object_lines,
)
from target_liveintent.storage.object_store import ObjectStore
from target_liveintent.storage.places import Places
from target_liveintent.storage.replayed import Replayed, count_letters, letters_of

__all__ = [
    "HEAD",
    "Claim",
    "DeadLetterWriter",
    "DeliveredEvent",
    "DeliveredWriter",
    "EventLedger",
    "Folder",
    "Ledger",
    "LedgerAccount",
    "LedgerInDatabase",
    "LedgerInFile",
    "LedgerPreview",
    "LedgerStore",
    "LetterLine",
    "LetterPart",
    "LetterSource",
    "Letters",
    "LocalFolder",
    "ObjectStore",
    "Places",
    "Replayed",
    "RowFormat",
    "addressee",
    "carry_over",
    "count_letters",
    "dead_letter_line",
    "event_key",
    "letter_files",
    "letter_lines",
    "letters_of",
    "object_lines",
    "refuse_own_file",
    "to_replay",
    "why_not_replayed",
]
