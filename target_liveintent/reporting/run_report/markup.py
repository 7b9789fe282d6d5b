"""Renders the pieces of a page: text, tables, figures and sections.

`text` escapes what comes from outside, such as the names of streams and the text of an error.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence


def text(words: str) -> str:
    """Return text as HTML; what is between backticks becomes code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(words))


SENTENCES, CHANGES = "what to do", "what changed"
"""The heads of columns whose cells are sentences and not figures."""
_WIDE_FROM = 4
"""Columns of figures from which a small screen shows each row as a list."""


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str] = ()
) -> str:
    """Return a table, which scrolls if it is too wide; its heads and cells are HTML.

    A small screen shows a table of many columns as lists, where each cell has its head beside it.
    The row `total` has the sums of the others.
    """
    kinds = [' class="text"' if head in {SENTENCES, CHANGES} else "" for head in heads]
    is_wide = len(heads) >= _WIDE_FROM and not any(kinds)
    top = "".join(
        f'<th scope="col"{kind}>{head}</th>' for head, kind in zip(heads, kinds, strict=True)
    )
    start = "<table>"
    if is_wide:
        start = '<table class="wide">'
        kinds = [f' data-head="{re.sub("<[^>]*>", "", head)}"' for head in heads]
    body = "".join(_row("<tr>", row, kinds) for row in rows)
    if total:
        body += _row('<tr class="all">', total, kinds)
    return (
        f'<div class="scroll" tabindex="0">{start}<caption>{text(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(start: str, row: Sequence[str], kinds: Sequence[str]) -> str:
    head, *others = row
    cells = "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(others, kinds[1:], strict=True))
    return f'{start}<th scope="row">{head}</th>{cells}</tr>'


def figure(svg: str, caption: str, keys: Iterable[tuple[str, str]] = ()) -> str:
    """Return a chart with its caption, or with a legend if it has several colours."""
    return (
        f'<figure role="img" aria-label="{html.escape(caption)}">{svg}'
        f"<figcaption>{_legend(keys) or text(caption)}</figcaption></figure>"
    )


def _legend(keys: Iterable[tuple[str, str]]) -> str:
    return "".join(f'<span class="key {colour}">{text(name)}</span>' for name, colour in keys)


def section(title: str, intro: str, *parts: str, keys: Iterable[tuple[str, str]] = ()) -> str:
    """Return a section: a title, a sentence, and parts side by side if there is room.

    Its charts have the colours of the legend `keys` in common.
    """
    inner = "".join(f"<div>{part}</div>" for part in parts)
    paragraph = f"<p>{text(intro)}</p>" if intro else ""
    if legend := _legend(keys):
        paragraph += f'<p class="quiet">{legend}</p>'
    return f'<section><h2>{text(title)}</h2>{paragraph}<div class="pair">{inner}</div></section>'
