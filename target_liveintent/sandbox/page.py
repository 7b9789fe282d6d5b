"""The page that shows what arrived, as HTML without e-mail addresses.

The page treats everything that arrived as hostile: the templates escape each value, and the content
security policy lets the page load nothing but its own files.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import jinja2
import msgspec
from starlette.templating import Jinja2Templates

from target_liveintent.sandbox.contract import Outcome, lookup, shorten
from target_liveintent.sandbox.faults import KINDS, SWITCHES
from target_liveintent.sandbox.store import LoggedRequest, Store

_FOLDER = Path(__file__).parent
STATIC = {path.name: path.read_bytes() for path in (_FOLDER / "static").iterdir()}
"""The files that the page loads."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_MAX_TEXT = 80  # characters of a value in a table
MASK = "•••@•••"
"""Takes the place of an e-mail address."""
# The words of a text, which may be JSON. Escape sequences of JSON separate words, except that a
# quoted local part may contain spaces, and its quotes may be escaped. The expression reads each
# character a limited number of times, so its time is linear for every text.
_WORD = re.compile(
    r"""
    \\?"[^"\\]{1,64}\\?"(?:@|%40)[^\s"\\/?&=,;:<>()\[\]{}]+
    | \\(?:u[0-9a-fA-F]{4}|.)
    | [^\s"\\/?&=,;:<>()\[\]{}]+
    """,
    re.VERBOSE,
)
_COVERAGE = (
    *("md5", "sha2", "decisionId", "ip", "ua", "idfa", "aaid"),
    *("orderId", "value", "currency", "sourceUrl"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which batches and events to show, and how many of each.

    Attributes:
        outcome: The outcome of batches and events.
        search: A text that the JSON of an event contains, as it arrived.
    """

    outcome: Outcome | None = None
    search: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1)] = 10


class Row(msgspec.Struct, frozen=True):
    """One item in the body of a request: an event, or any other JSON value.

    Attributes:
        batch: Its request.
        index: Its position in the request.
        json: The JSON that arrived.
        event: The same, decoded.
    """

    batch: LoggedRequest
    index: int
    json: bytes
    event: Any

    @property
    def outcome(self) -> Outcome:
        """ACCEPTED if the item was accepted, otherwise the outcome of the request."""
        answer = self.batch.answer
        return Outcome.ACCEPTED if self.index in answer.accepted else answer.outcome

    def at(self, path: str) -> Any:
        """Return the value at a dotted path."""
        return lookup(self.event, path.split("."))


def rows_of(batch: LoggedRequest) -> list[Row]:
    """Return the items of a request."""
    return [
        Row(batch, index, bytes(item), msgspec.json.decode(item))
        for index, item in enumerate(batch.items)
    ]


def matching_rows(store: Store, query: Query) -> list[Row]:
    """Return the newest items that match a query."""
    part = query.search.encode()
    # Only what may match is decoded: there may be many events.
    rows = (
        row
        for batch in reversed(store.requests)
        if query.outcome in (None, Outcome.ACCEPTED, batch.answer.outcome) and part in batch.body
        for row in reversed(rows_of(batch))
        if query.outcome in (None, row.outcome) and part in row.json
    )
    return list(islice(rows, query.limit))


def index_values(store: Store, query: Query) -> dict[str, Any]:
    """Return the values that the template of the page shows."""
    batches = [r for r in reversed(store.requests) if query.outcome in (None, r.answer.outcome)]
    return {
        "query": query,
        "stats": store.stats,
        "coverage": _COVERAGE,
        "faults": store.faults,
        "kinds": KINDS,
        "switches": SWITCHES,
        "outcomes": list(Outcome),
        "batches": batches[: query.limit],
        "rows": matching_rows(store, query),
    }


def mask_addresses(text: str) -> str:
    """Replace everything in a text that looks like an e-mail address; JSON stays valid JSON."""
    if "@" not in text and "%40" not in text:
        return text
    return _WORD.sub(lambda word: MASK if "@" in word[0] or "%40" in word[0] else word[0], text)


def _to_text(value: Any) -> str:
    """Return any JSON value as a short text without addresses."""
    if value is None:
        return ""
    # Mask before shortening: otherwise the first half of an address could remain.
    text = mask_addresses(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return shorten(text, _MAX_TEXT)


def _to_time(seconds: Any) -> str:
    """Return a Unix time in UTC, and any other value as a short text."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError, OverflowError, OSError):
        return _to_text(seconds)


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    finalize=lambda value: mask_addresses(f"{value}"),
    undefined=jinja2.StrictUndefined,
)
_ENVIRONMENT.filters |= {
    "json": lambda value: msgspec.json.encode(value).decode(),
    "pretty": lambda raw: msgspec.json.format(raw.decode(), indent=2),
    "short": _to_text,
    "time": _to_time,
}
TEMPLATES = Jinja2Templates(env=_ENVIRONMENT)
