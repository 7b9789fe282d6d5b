"""A MkDocs hook: links to files outside `docs/` point to the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_ROOT = Path(__file__).parents[1]


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Replace relative links to files outside `docs/` with URLs in the repository.

    MkDocs handles all other links.

    Args:
        markdown: The text of the page.
        page: MkDocs' object for the page.
        config: MkDocs' configuration; `extra.repository` is the URL of the repository.

    Returns:
        The text of the page with the new links.
    """
    folder = Path(page.file.abs_src_path).parent

    def replace(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        path = (folder / target).resolve()
        if ":" in target or path.is_relative_to(_ROOT / "docs") or not path.exists():
            return match.group()
        kind = "tree" if path.is_dir() else "blob"
        relative = path.relative_to(_ROOT).as_posix()
        return f"{before}{config.extra['repository']}/{kind}/main/{relative}{after}"

    return _LINK.sub(replace, markdown)
