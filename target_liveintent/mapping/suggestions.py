"""What is probably misspelled in a map: said by a run and by `--explain` in the same words."""

from __future__ import annotations

import difflib
import fnmatch
import json
import keyword
import re
from typing import TYPE_CHECKING, Any

from target_liveintent.conversions.fields import FIELDS, READ_COLUMNS
from target_liveintent.privacy.identity import scrub

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence


def did_you_mean(name: str, there: Iterable[str]) -> str:
    """The nearest of the names that there are, as the end of a sentence; empty if none is near."""
    near = nearest(name, there)
    return f"; is it '{near}'?" if near else ""


def nearest(name: str, there: Iterable[str]) -> str | None:
    """Return the name that is most like another one, regardless of case; None if none is."""
    names = {known.lower(): known for known in there}
    near = difflib.get_close_matches(name.lower(), names, 1)
    return names[near[0]] if near else None


def unknown_read(column: str, path: Sequence[str], schema: Mapping[str, Any]) -> str | None:
    """What is wrong if an expression reads what the tap's SCHEMA does not have; None if it does.

    Args:
        column: What the expression computes.
        path: What it reads: a column, and the steps into it.
        schema: The tap's schema; where it does not say what an object holds, anything may be.
    """
    inner: Any = schema
    for step in path:
        there = inner.get("properties") if isinstance(inner, dict) else None
        if not isinstance(there, dict):
            return None
        if step not in there:
            hint = did_you_mean(step, there) or "."
            return f"{column} reads '{'.'.join(path)}', which the tap's SCHEMA does not have{hint}"
        inner = there[step]
    return None


def unknown_columns(stream: str, columns: Iterable[str]) -> Iterator[str]:
    """A sentence for each column of a map that no event has."""
    for column in columns:
        if column not in READ_COLUMNS:
            hint = did_you_mean(column, [field.name for field in FIELDS])
            yield f"the map of '{stream}' has a column '{column}' that no event has{hint}"


def absent_streams(names: Collection[str], streams: Collection[str]) -> Iterator[tuple[str, str]]:
    """Streams that the maps name and that did not come, each with a hint, which may be empty.

    Args:
        names: The streams that the maps name; patterns included.
        streams: Those that came.
    """
    others = [stream for stream in streams if stream not in names]
    for name in names:
        if not any(fnmatch.fnmatch(stream, name) for stream in streams):
            yield name, did_you_mean(name, others)


_LIKELY = {
    "event_time": (
        "processed_at",
        "created_at",
        "createdat",
        "created",
        "date",
        "timestamp",
        "time",
    ),
    "email": ("email", "customer_email", "contact_email", "receipt_email", "email_address"),
    "value": ("total_price", "total", "amount", "value", "price", "revenue"),
    "currency": ("currency", "currency_code", "currencycode", "currencyisocode"),
    "order_id": ("order_id", "order_number", "order_no", "number", "name"),
    "ip": ("client_ip", "browser_ip", "ip", "clientip", "ip_address"),
    "user_agent": ("user_agent", "useragent", "ua"),
    "source_url": ("landing_url", "landing_site", "source_url", "page_url", "url"),
}


def suggest_map(stream: str, properties: Iterable[str], keys: Sequence[str]) -> str:
    """A `stream_maps` block to start from, as YAML to paste."""
    by_name = {name.lower(): name for name in properties}
    rows = {"event_id": _expression(keys[0])} if len(keys) == 1 else {}
    for column, likely in _LIKELY.items():
        found = next((by_name[name] for name in likely if name in by_name), None)
        if found is not None:
            rows[column] = _expression(found)
        elif column in {"event_time", "email"}:
            rows[column] = "<the column with it>"
    rows |= {"source": "'web'", "__else__": "__NULL__"}
    lines = (f"    {column}: {_yaml(expression)}" for column, expression in rows.items())
    return "\n".join(["stream_maps:", f"  {setting_name(stream)}:", *lines])


def setting_name(stream: str) -> str:
    """A stream's name as a key in `meltano.yml`, where a dot would mean a level."""
    return _yaml(scrub(stream).replace(".", "\\."))


def _expression(column: str) -> str:
    """The expression for a column: its name, if that is one."""
    plain = column.isidentifier() and not keyword.iskeyword(column)
    return column if plain and column not in _TAKEN else f"_.get({column!r})"


def _yaml(text: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_][\w.\\-]*", text) and text.lower() not in _YAML_WORDS
    return text if plain else json.dumps(text)


_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


_TAKEN = {"_", "record", "config", "self"}
"""Names that mean something else in an expression."""
