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
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from target_liveintent.sandbox.contract import MAX_MESSAGE, Outcome, shorten
from target_liveintent.sandbox.faults import KINDS, SWITCHES
from target_liveintent.sandbox.store import Item, Store

_FOLDER = Path(__file__).parent
STATIC = {path.name: path.read_bytes() for path in (_FOLDER / "static").iterdir()}
"""The files that the page loads."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

MASK = "•••@•••"
"""Takes the place of an e-mail address."""
_WORD = re.compile(r"""[^\s"\\/?&=,;:<>()\[\]{}]+""")
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


def matching_items(store: Store, query: Query) -> list[Item]:
    """Return the newest items that match a query."""
    part = query.search.encode()
    # Only what may match is decoded: there may be many events.
    items = (
        item
        for batch in reversed(store.requests)
        if query.outcome in (None, Outcome.ACCEPTED, batch.answer.outcome) and part in batch.body
        for item in reversed(batch.items)
        if query.outcome in (None, item.outcome) and part in item.json
    )
    return list(islice(items, query.limit))


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
        "items": matching_items(store, query),
    }


def mask_addresses(text: str) -> str:
    """Replace each word of a text that looks like an e-mail address."""
    if "@" not in text and "%40" not in text:
        return text
    return _WORD.sub(lambda word: MASK if "@" in word[0] or "%40" in word[0] else word[0], text)


def _to_text(value: Any, most: int = 80) -> str:
    """Return any JSON value as a short text without addresses."""
    if value is None:
        return ""
    # Mask before shortening: otherwise the first half of an address could remain.
    text = mask_addresses(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return shorten(text, most)


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
    "message": lambda text: _to_text(text, MAX_MESSAGE),
    "time": _to_time,
}
_TEMPLATES = Jinja2Templates(env=_ENVIRONMENT)


def response(request: Request, template: str, context: dict[str, Any]) -> Response:
    """Return a page that the browser may neither keep nor connect with other sites."""
    return _TEMPLATES.TemplateResponse(request, template, context, headers=_HEADERS)
