"""No page and no example has a password in the URL of the store."""

from __future__ import annotations

import re

from docs_support import ROOT

from target_liveintent.config import SCHEMA

_WITH_PASSWORD = re.compile(r"postgres(?:ql)?://[^\s/@:]*:[^\s/@]+@")
"""Meltano's own database, `postgresql+psycopg://…`, is not the target's."""
_PLACES = ("*.md", "docs/**/*", "examples/**/*", "hub/*", "meltano.yml", "demo/**/*")
_KINDS = {"", ".env", ".example", ".json", ".lock", ".md", ".toml", ".yaml", ".yml"}


def test_no_password_in_a_url() -> None:
    """Meltano Hub would show it, as its name does not say that it is secret."""
    files = {path for place in _PLACES for path in ROOT.glob(place) if path.is_file()}
    read = [path for path in files if path.suffix in _KINDS and ".meltano" not in path.parts]
    assert len(read) > 40
    shown = [path for path in read if _WITH_PASSWORD.search(path.read_text(encoding="utf-8"))]
    assert shown == []
    assert not _WITH_PASSWORD.search(str(SCHEMA))


def test_a_password_is_found() -> None:
    assert _WITH_PASSWORD.search("URL=postgresql://user:password@host/database")
    assert not _WITH_PASSWORD.search("URL=postgresql://user@host:5432/database")
