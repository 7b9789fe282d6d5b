"""Puts the parts of a report into a page that needs no network and no script."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

from target_liveintent.reporting.run_report.markup import text


def document(title: str, parts: Iterable[str], footer: str) -> str:
    """Return a page of HTML.

    Args:
        title: Of the window.
        parts: The HTML of its parts; empty ones are left out.
        footer: The last sentences.
    """
    css = resources.files(__package__).joinpath("page.css").read_text("utf-8")
    body = "\n".join(filter(None, parts))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="robots" content="noindex">
<title>{text(title)}</title>
<style>
{css}</style>
</head>
<body>
{body}
<footer class="quiet">{text(footer)}</footer>
</body>
</html>
"""
