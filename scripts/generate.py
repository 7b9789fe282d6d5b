"""Writes the files that are generated from the code and the pages. `scripts/readme` runs it.

With `--check`, the program reports the stale files and writes nothing. `scripts/lint` does this.
"""

from __future__ import annotations

import sys

import published

import hub


def main(*, check: bool) -> int:
    """Write the stale files, or only report them with `check`; return the exit code."""
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
