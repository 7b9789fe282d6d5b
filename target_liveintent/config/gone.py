"""Settings that are gone: each ends the run with the name of what does its work now."""

from __future__ import annotations

_STORE = "set store to the path of a file, or to the URL of a PostgreSQL database"
_LETTERS = "dead letters are in the store now: see the command dead-letters"
GONE = {
    "dead_letter_path": _LETTERS,
    "delivered_path": "set keep_delivered to true, and use the command delivered",
    "history_path": "the history is in the store now: remove the setting",
    "ledger": "to send delivered events once more, use the option --send-again",
    "ledger_password": "set PGPASSWORD, or write the password into the URL of store",
    "ledger_path": _STORE,
    "ledger_url": _STORE,
    "on_invalid": "set on_rejection",
    "replay_other_accounts": "use the option --other-accounts of the command replay",
    "replay_unconfirmed": "use the option --unconfirmed of the command replay",
}
"""What to do in place of each setting."""
