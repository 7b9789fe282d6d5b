"""Writes the files that are made from the code and the pages: `scripts/readme` runs this.

With `--check`, it reports those that are stale, as `scripts/lint` does.
"""

from __future__ import annotations

import sys

import published

import hub


def main(*, check: bool) -> int:
    """Write the files, or with `check` report those that are stale; return the exit code."""
    stale = {
        path: text
        for path, text in {**hub.files(), **published.files()}.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        if check:
            print(f"{path.relative_to(hub.ROOT)} is stale: run scripts/readme", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
