"""Fails when a script, or a command on a page, does not work with the tools of macOS.

These tools are bash 3.2, and the programs of BSD. This program checks the scripts in the folder
`scripts`, and the blocks of pages that begin with ```sh. Each complaint names the place, and what
to write instead. (ShellCheck does not check whether an old version of bash can run a script.)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/**/*.md", "examples/**/*.md")
_BLOCK = re.compile(r"^( *)```sh[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(^|\s)#.*")

BASH = "macOS has bash 3.2: "
BSD = "the programs of macOS are those of BSD: "
FORBIDDEN = {
    r"\b(mapfile|readarray)\b": f"{BASH}read lines in a loop, while read -r",
    r"\b(declare|local|typeset|export) +-\w*[Ang]": f"{BASH}use plain variables and arrays",
    r"\$\{\w+(\[[^]]*\])?(,|\^|@[A-Za-z]\})": f"{BASH}use tr, or printf %q",
    r"\$\{\w+\[ *-|\$\{\w+: *-?\d+: *-": f"{BASH}count from the beginning",
    r"\bwait +-[np]\b|\bcoproc\b": f"{BASH}wait for each process by its ID",
    r"&>>|\|&": f"{BASH}redirect both, with >>FILE 2>&1 and 2>&1 |",
    r"\[\[ +(! +)?-[vR]\b": f'{BASH}write [[ -n "${{NAME+set}}" ]]',
    r";;?&": f"{BASH}repeat the commands, or write a function",
    r"\bexec +\{\w+\}|[ (]\{\w+\}[<>]": f"{BASH}give the descriptor a number",
    r"\b(EPOCH(SECONDS|REALTIME)|BASHPID|SRANDOM)\b|%\([^)]*\)T": f"{BASH}call date",
    r"\bshopt +-\w+ .*\b(globstar|lastpipe|inherit_errexit)\b": f"{BASH}it has no such option",
    r"\bdate\b[^|;)]* (-\w*[dI]|--)": f"{BSD}use python3 for other times than now",
    r"\bsed\b[^|;)]* (-\w*i(?!\.)|--in-place(?!=))": f"{BSD}write sed -i.old, and delete that file",
    r"\b(sed +(-\w+ +)*-\w*[rsz]|sed +--)": f"{BSD}write sed -E",
    r"\breadlink +-|\brealpath\b": f"{BSD}use cd and pwd -P, or python3",
    r"\bpaste( +-\w+( +('[^']*'|[^-'\w\s|;)&>]))?)* *($|[|;)&>])": f"{BSD}name the file, such"
    " as - for standard input",
    r"\b[ef]?grep\b[^|;]* (-\w*P|--perl)": f"{BSD}use grep -E",
    r"\b(grep|sed)\b.*\\[wWsSdb]": f"{BSD}use classes such as [[:alnum:]_]",
    r"\b(stat|cp|mv|ls|ln|du|head|tail|wc|cut|tr|touch|mkdir|chmod) +(-\w+ +)*--\w": f"{BSD}use"
    " short options",
    r"\bstat +-c|\bhead +-[nc] *-|\btouch +-d|\bcp +-\w*[bt]|\bdu +-\w*b": f"{BSD}use python3",
    r"\bmktemp\b.* (-\w*[pt]|--)": f"{BSD}use TMPDIR",
    r"\bxargs +(-\w+ +)*(-\w*[rd]|--)": f"{BSD}use -0, or a loop",
    r"\bfind\b.* -(printf|regextype|readable|executable)": f"{BSD}use -exec",
    r"\bsort\b[^|;)]* (-\w*R|--)": f"{BSD}use short options, and python3 for random lines",
    r"\bbase64 +-\w*[wd]|\becho +-[eE]": f"{BSD}use python3, or printf",
    r"^(?!.*command -v ).*?(^|[|;&(]|\b(then|do|else|if|while|until|sudo|exec)) *"
    r"(flock|nproc|timeout|tac|shuf|setsid|md5sum|sha\d+sum|watch|systemctl)\b": "macOS has no such"
    " program",
    r"/proc/\w|/dev/shm|/dev/full": "macOS has no such file",
}
"""What to write instead, by the patterns of code that macOS cannot run."""


def texts() -> Iterator[tuple[str, int, str]]:
    """Yield each script and each block of commands: its file, its first line, and its text."""
    for path in sorted((ROOT / "scripts").iterdir()):
        if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env bash\n"):
            yield f"scripts/{path.name}", 1, path.read_text(encoding="utf-8")
    for path in sorted({path for pattern in PAGES for path in ROOT.glob(pattern)}):
        page = path.read_text(encoding="utf-8")
        for block in _BLOCK.finditer(page):
            first = page.count("\n", 0, block.start(2)) + 1
            yield path.relative_to(ROOT).as_posix(), first, block[2]


def complaints(text: str) -> Iterator[tuple[int, str]]:
    """Yield a complaint for each forbidden pattern in a script, with the line counted from 0."""
    for number, line in enumerate(text.splitlines()):
        for form, instead in FORBIDDEN.items():
            if found := re.search(form, _COMMENT.sub("", line)):
                yield number, f"{found[0].strip()!r}: {instead}"


def main() -> int:
    """Print the complaints about all scripts and pages, and return 1 if there are any."""
    found = [
        f"{name}:{first + number}: {said}"
        for name, first, text in texts()
        for number, said in complaints(text)
    ]
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
