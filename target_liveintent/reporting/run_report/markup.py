"""Pieces of a page: text as HTML, tables, figures, sections.

Whatever comes from outside (names of streams, an error's text) is escaped in one place, `text`.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def text(words: str) -> str:
    """Text as HTML; what is between backticks as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(words))


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        head: Its head, as HTML.
        cells: The others, as HTML.
        is_sum: Whether it is the sum of those above.
    """

    head: str
    cells: Sequence[str]
    is_sum: bool = False


SENTENCES = "what to do"
"""The head of the column whose cells are sentences and not figures."""


def table(caption: str, heads: Sequence[str], rows: Iterable[Row]) -> str:
    """A table that scrolls where it is too wide; its heads are HTML."""
    kinds = [' class="text"' if head == SENTENCES else "" for head in heads]
    top = "".join(
        f'<th scope="col"{kind}>{head}</th>' for head, kind in zip(heads, kinds, strict=True)
    )
    body = "".join(_row(row, kinds[1:]) for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{text(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Row, kinds: Sequence[str]) -> str:
    cells = "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row.cells, kinds, strict=True))
    start = '<tr class="all">' if row.is_sum else "<tr>"
    return f'{start}<th scope="row">{row.head}</th>{cells}</tr>'


def figure(svg: str, words: str, keys: Iterable[tuple[str, str]] = ()) -> str:
    """A chart with its name, and with what its colours mean where there are several."""
    legend = "".join(f'<span class="key {colour}">{text(name)}</span>' for name, colour in keys)
    return (
        f'<figure role="img" aria-label="{html.escape(words)}">{svg}'
        f"<figcaption>{legend or text(words)}</figcaption></figure>"
    )


def section(title: str, words: str, *parts: str) -> str:
    """A section with its title, a sentence, and parts that stand side by side if there is room."""
    inner = "".join(f"<div>{part}</div>" for part in parts)
    intro = f"<p>{text(words)}</p>" if words else ""
    return f'<section><h2>{text(title)}</h2>{intro}<div class="pair">{inner}</div></section>'
