"""What the site does beside MkDocs: links to files outside `docs/` lead to the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_ROOT = Path(__file__).parents[1]


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Lead relative links that leave `docs/` to the repository's pages; MkDocs sees to the others.

    Args:
        markdown: The page.
        page: MkDocs' page.
        config: MkDocs' configuration; `extra.repository` is where the repository is.

    Returns:
        The page with its links as the site has them.
    """
    folder = Path(page.file.abs_src_path).parent

    def led(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        path = (folder / target).resolve()
        if ":" in target or path.is_relative_to(_ROOT / "docs") or not path.exists():
            return match.group()
        kind = "tree" if path.is_dir() else "blob"
        place = path.relative_to(_ROOT).as_posix()
        return f"{before}{config.extra['repository']}/{kind}/main/{place}{after}"

    return _LINK.sub(led, markdown)
