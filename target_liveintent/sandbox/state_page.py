"""Renders the page that shows the requests, as HTML without e-mail addresses.

The content of each request may be hostile. So the templates escape each value, and the content
security policy lets the page load only its own files.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from target_liveintent.sandbox.contract import MAX_MESSAGE, shorten
from target_liveintent.sandbox.faults import SWITCHES
from target_liveintent.sandbox.store import Store

_FOLDER = Path(__file__).parent
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_SHOWN = 50
"""Maximum number of batches, and of events, that the page shows."""
MASK = "•••@•••"
"""The text that replaces an e-mail address."""
_WORD = re.compile(r"""[^\s"\\/?&=,;:<>()\[\]{}]+""")
_COVERAGE = (
    *("md5", "sha2", "decisionId", "ip", "ua", "idfa", "aaid"),
    *("orderId", "value", "currency", "sourceUrl"),
)


def mask_addresses(text: str) -> str:
    """Return a text with `MASK` in place of each word that looks like an e-mail address."""
    return _WORD.sub(lambda word: MASK if "@" in word[0] or "%40" in word[0] else word[0], text)


def _to_text(value: Any, most: int = 80) -> str:
    """Return any JSON value as a short text without e-mail addresses."""
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
    "pretty": lambda value: msgspec.json.format(msgspec.json.encode(value), indent=2).decode(),
    "short": _to_text,
    "message": lambda text: _to_text(text, MAX_MESSAGE),
    "time": _to_time,
}
_TEMPLATES = Jinja2Templates(env=_ENVIRONMENT)


def response(request: Request, template: str, context: dict[str, Any]) -> Response:
    """Return a page with headers that forbid the browser to keep it or to contact other sites."""
    return _TEMPLATES.TemplateResponse(request, template, context, headers=_HEADERS)


def index(request: Request, store: Store, customer_id: str) -> Response:
    """Return the main page, with the counts, the faults, and the newest batches and events."""
    batches = store.requests[: -_SHOWN - 1 : -1]
    items = (item for batch in batches for item in reversed(batch.items))
    context = {
        "customer_id": customer_id,
        "stats": store.stats,
        "coverage": _COVERAGE,
        "faults": store.faults,
        "switches": SWITCHES,
        "batches": batches,
        "items": list(islice(items, _SHOWN)),
    }
    return response(request, "index.html", context)
