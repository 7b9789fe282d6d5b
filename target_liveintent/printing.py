"""Prints the result of a command, without secrets and without control characters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click
import msgspec

from target_liveintent.privacy.redaction import without_secrets
from target_liveintent.run.amounts import counted

_encode = msgspec.json.Encoder(decimal_format="number").encode


def print_lines(lines: Iterable[str]) -> None:
    """Print lines, each as `printable` returns it."""
    for line in lines:
        click.echo(printable(line))


def printable(line: str) -> str:
    """Hide secrets, and escape characters that would forge another line or control a terminal."""
    shown = without_secrets(line)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)


def lines_of(template: str, content: Any) -> list[str]:
    """Render a text template of the package, whose variable `found` has the content, as lines.

    A text in the content cannot add a line.
    """
    # Imported here because only a command that prints text needs it.
    import jinja2  # noqa: PLC0415

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("target_liveintent", ""),
        autoescape=jinja2.select_autoescape(),
        undefined=jinja2.StrictUndefined,
        line_statement_prefix="%",
        finalize=lambda value: printable(value) if isinstance(value, str) else value,
    )
    environment.globals["counted"] = counted
    environment.filters |= {"number": "{:,}".format, "json": _json}
    return environment.get_template(template).render(found=content).splitlines()


def _json(value: Any) -> str:
    return _encode(value).decode()


def print_json_lines(lines: Iterable[str]) -> None:
    """Print lines of JSON data, with escapes for characters that could control a terminal.

    Stored data holds no secret. So nothing is hidden here: a password that is a common word may
    occur in the data.
    """
    for line in lines:
        click.echo(_escaped_json(line))


def json_text(value: Any) -> str:
    """Return a value as indented JSON, without secrets and without control characters."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return "\n".join(_escaped_json(without_secrets(line)) for line in text.split("\n"))


def _escaped_json(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
