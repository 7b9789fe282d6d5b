"""Prints the result of a command, without secrets and without control characters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click
import msgspec

from target_liveintent.conversions.amounts import counted
from target_liveintent.privacy.redaction import without_secrets

_encode = msgspec.json.Encoder(decimal_format="number").encode


def print_lines(lines: Iterable[str]) -> None:
    """Print lines without secrets and without control characters."""
    for line in lines:
        click.echo(printable(line))


def printable(line: str) -> str:
    """Return a line without secrets, and with escapes in place of characters that do not print.

    Such characters could begin another line, or control a terminal.
    """
    shown = without_secrets(line)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)


def lines_of(template: str, content: Any) -> list[str]:
    """Return the lines of a rendered template.

    Args:
        template: The path of the template in the package.
        content: The value of the template's variable `found`. An escape replaces a line break in
            its texts.
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
    """Print lines of JSON from the store, with escapes for characters that do not print.

    The store contains no secrets, so this function hides nothing. Hiding could damage the data: if
    the password is a common word, this word would be replaced.
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
