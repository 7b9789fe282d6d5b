"""The store: which events were delivered, the dead letters, and the history of runs."""

from target_liveintent.store.database import Database, Waiting
from target_liveintent.store.delivered import as_csv as delivered_as_csv
from target_liveintent.store.delivered import as_messages as delivered_as_messages
from target_liveintent.store.delivered import delivered_in
from target_liveintent.store.ledger import Claim
from target_liveintent.store.letters import (
    PROPERTIES,
    delete_letters,
    forget_people,
    imported,
    letter_of,
    letters_in,
)
from target_liveintent.store.letters import as_messages as letters_as_messages
from target_liveintent.store.run_store import (
    TASK,
    DryStore,
    RunStore,
    empty_store,
    open_database,
    open_for_reading,
    open_store,
    runs_in,
)

__all__ = [
    "PROPERTIES",
    "TASK",
    "Claim",
    "Database",
    "DryStore",
    "RunStore",
    "Waiting",
    "delete_letters",
    "delivered_as_csv",
    "delivered_as_messages",
    "delivered_in",
    "empty_store",
    "forget_people",
    "imported",
    "letter_of",
    "letters_as_messages",
    "letters_in",
    "open_database",
    "open_for_reading",
    "open_store",
    "runs_in",
]
