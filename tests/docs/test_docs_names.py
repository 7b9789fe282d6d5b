"""What the documentation names exists and works: paths, tests, code, messages, versions."""

import ast
import fnmatch
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import programs
import pytest
import yaml
from docs_support import DOCS, ROOT, blocks
from needs import not_installed

import hub
from target_liveintent.config import SETTINGS_SCHEMA
from target_liveintent.conversions.fields import FIELDS

PAGES = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md")), *ROOT.glob("examples/*/*.md")]
FOLDERS = ("benchmarks", "demo", "docs", "examples", "hub", "scripts", "target_liveintent", "tests")
MADE = {"csv_tap.py", "demo/data/orders.jsonl", "tap_orders.py"}
"""Files that a page, or a command of a page, makes."""


def _named(pattern: str) -> set[tuple[str, str]]:
    """Return each page with each text of it that matches a pattern."""
    texts = {
        page.relative_to(ROOT).as_posix(): page.read_text("utf-8").replace(f"{hub.FILES}/", "")
        for page in PAGES
    }
    return {(page, found) for page, text in texts.items() for found in re.findall(pattern, text)}


def test_files_exist() -> None:
    """A page may name a Python file by the end of its path."""
    paths = _named(rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w")
    files = [path.as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    named = _named(r"(?<![>\w/])\w[\w/]*\.py\b")
    assert min(len(paths), len(named)) > 40
    missing = [it for it in paths if not (ROOT / it[1]).exists()]
    missing += [it for it in named if not any(file.endswith(f"/{it[1]}") for file in files)]
    assert [it for it in missing if it[1] not in MADE] == []


def _defined(name: str, folder: str) -> bool:
    """Whether a class, function or constant is defined in a folder; a method as `Class.method`."""
    *_, last = name.split(".")
    definition = re.compile(rf"^ *(?:(?:class|def) {last}\b|{last}(?:: [^=\n]+)? = )", re.MULTILINE)
    return any(definition.search(text) for text in _texts_of(folder))


@functools.cache
def _texts_of(folder: str) -> list[str]:
    return [path.read_text("utf-8") for path in (ROOT / folder).rglob("*.py")]


def test_tests_exist() -> None:
    """In the file that is named, if it is."""
    named = _named(r"\btest_\w+\b(?!\.py)")
    assert len(named) > 15
    assert [test for test in named if not _defined(test[1], "tests")] == []
    for page, place in _named(r"\btest_\w+\.py::test_\w+"):
        file, _, test = place.partition("::")
        (path,) = (ROOT / "tests").rglob(file)
        assert f"\ndef {test}(" in path.read_text(encoding="utf-8"), f"{page}: {place}"


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "docs/performance.md", "docs/contributing.md"])
def test_code_exists(page: str) -> None:
    """The classes, methods, constants and functions that these pages name exist.

    (Some are the SDK's or PostgreSQL's, and one is an option of Spark's data source.)
    """
    named = set(re.findall(r"`([A-Z]\w+(?:\.\w+)?|[a-z]+_\w+)`", (ROOT / page).read_text("utf-8")))
    known = {*SETTINGS_SCHEMA["properties"], "BatchSink", "PGPASSWORD", "concurrent_tasks"}
    missing = [name for name in named - known if not _defined(name, "target_liveintent")]
    assert [name for name in missing if not _defined(name, "tests")] == []
    assert named


def test_the_table_of_columns_is_that_of_the_code() -> None:
    page = (DOCS / "reference" / "columns.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| \S", page, re.MULTILINE)
    assert rows == [field.name for field in FIELDS]


def test_no_password_in_a_url() -> None:
    """Meltano Hub would show it, as the name of the setting does not say that it is secret."""
    # (Meltano's own database, `postgresql+psycopg://…`, is not the target's.)
    with_password = re.compile(r"postgres(?:ql)?://[^\s/@:]*:[^\s/@]+@")
    assert with_password.search("URL=postgresql://user:password@host/database")
    places = ("*.md", "docs/**/*.md", "examples/**/*", "hub/*", "meltano.yml")
    files = {path for place in places for path in ROOT.glob(place) if path.is_file()}
    read = {path for path in files if ".meltano" not in path.parts}
    assert len(read) > 40
    assert [p for p in read if with_password.search(p.read_text("utf-8", "replace"))] == []
    assert not with_password.search(str(SETTINGS_SCHEMA))


# Troubleshooting

TROUBLES = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
OF_OTHERS = {
    'cannot be written in the "ErrorIfExists" mode',
    "read 0",
    "FileNotFoundError: [Errno 2] No such file or directory: '….config.json'",
    "ValueError: invalid literal for int() with base 10: 'abc'",
}
"""What Spark and Meltano say, and a part of a summary."""

# The code at the beginning of an entry or of a row, if it is more than a word.
_HEADS = re.findall(r"^(?:- |\| )((?:`[^`\n]+`(?:, )?)+)", TROUBLES, re.MULTILINE)
QUOTED = [text for head in _HEADS for text in re.findall("`([^`]+)`", head) if " " in text]


def _texts() -> Iterator[str]:
    """Yield the texts of the package, with `…` for what is filled in."""
    for path in (ROOT / "target_liveintent").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub("%[sdr]", "…", node.value)


TEXTS = [*_texts()]


@pytest.mark.parametrize("text", sorted({*QUOTED} - OF_OTHERS))
def test_the_program_says_it(text: str) -> None:
    """Whoever searches the page for a part of a message finds the words of the program."""
    assert len(QUOTED) > 15
    pattern = "*" + re.sub(r"([\[*?])", r"[\1]", text).replace("…", "*") + "*"
    assert fnmatch.filter(TEXTS, pattern) != []


# README.md

README = ROOT / "README.md"
README_TEXT = README.read_text(encoding="utf-8")
TWO_SCREENS = 110


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason=not_installed("git"))
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_install(tmp_path: Path) -> None:
    """The first command installs the target; this clone takes the place of the public one."""
    (install,) = (block for block in blocks(README) if "pip install" in block.text)
    assert install.excuse == "run by tests/docs/test_docs_names.py"
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True, timeout=120)
    # What the target needs comes from the index, as in any other environment.
    pip = tmp_path / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {tmp_path}/bin/python -m pip "$@" --no-deps\n', "utf-8")
    environment = os.environ | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": hub.REPOSITORY,
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    done = programs.run(["bash", "-e", "-c", install.text], tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert "Successfully installed target-liveintent-" in done.stdout
    assert (tmp_path / "bin" / "target-liveintent").exists()


def test_versions() -> None:
    """The versions that it names are those of the package, and of the projects."""
    classifiers = metadata.metadata(hub.NAME).get_all("Classifier") or []
    pythons = [c.rpartition(" ")[2] for c in classifiers if re.search(r"Python :: 3\.\d+$", c)]
    assert f"Python {pythons[0]} to {pythons[-1]}," in README_TEXT
    assert f"Python {pythons[0]} or newer" in README_TEXT
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    assert f"Meltano {project['requires_meltano'].removeprefix('>=')} or newer" in README_TEXT


def test_two_screens() -> None:
    """README.md is short, and has the two commands that do all the set-up."""
    assert len(README_TEXT.splitlines()) <= TWO_SCREENS
    # (The package index makes a link of a bare URL.)
    assert "http://" not in re.sub(r"```.*?```|`[^`]*`", "", README_TEXT, flags=re.DOTALL)
    commands = [line.split()[0] for line in blocks(README)[0].text.splitlines()]
    assert commands == ["scripts/demo", "scripts/test"]
