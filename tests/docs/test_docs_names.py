"""What the documentation names exists, and its URLs have no password."""

import functools
import re

import pytest
from docs_support import DOCS, ROOT

import hub
from target_liveintent.config import SCHEMA
from target_liveintent.conversions import FIELDS

PAGES = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md")), *ROOT.glob("examples/*/*.md")]
FOLDERS = ("benchmarks", "demo", "docs", "examples", "hub", "scripts", "target_liveintent", "tests")
MADE = {"csv_tap.py", "demo/data/orders.jsonl", "tap_orders.py"}
"""Files that a page, or a command of a page, makes."""
_DEFINITION = re.compile(r"^( *)(?:(class|def) (\w+)|(\w+)(?:: [^=\n]+)? = )", re.MULTILINE)
OTHERS = {"BatchSink", "PGPASSWORD", "concurrent_tasks"}
"""Names of the SDK and of PostgreSQL, and an option of Spark's data source."""


def _named(pattern: str) -> set[tuple[str, str]]:
    """Return each page with each text of it that matches a pattern."""
    texts = {
        page.relative_to(ROOT).as_posix(): page.read_text("utf-8").replace(f"{hub.FILES}/", "")
        for page in PAGES
    }
    return {(page, found) for page, text in texts.items() for found in re.findall(pattern, text)}


@functools.cache
def _defined(folder: str) -> frozenset[str]:
    """Return the classes, functions and constants of a folder, methods as `Class.method`."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        owner = ""
        for indent, kind, named, constant in _DEFINITION.findall(path.read_text("utf-8")):
            if kind == "class":
                owner = named
            elif indent:
                found.add(f"{owner}.{named}")
            found.add(named or constant)
    return frozenset(found)


def test_paths_exist() -> None:
    paths = _named(rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w")
    assert len(paths) > 40
    assert [it for it in paths if it[1] not in MADE and not (ROOT / it[1]).exists()] == []


def test_python_files_exist() -> None:
    """A page may name a file by the end of its path."""
    files = [path.as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    named = {it for it in _named(r"(?<![>\w/])\w[\w/]*\.py\b") if it[1] not in MADE}
    assert len(named) > 40
    assert [it for it in named if not any(file.endswith(f"/{it[1]}") for file in files)] == []


def test_tests_exist() -> None:
    named = _named(r"\btest_\w+\b(?!\.py)")
    assert len(named) > 15
    assert [test for test in named if test[1] not in _defined("tests")] == []


def test_tests_are_in_the_files_that_are_named() -> None:
    named = _named(r"\btest_\w+\.py::test_\w+")
    assert len(named) > 10
    for page, place in named:
        file, _, test = place.partition("::")
        (path,) = (ROOT / "tests").rglob(file)
        assert f"\ndef {test}(" in path.read_text(encoding="utf-8"), f"{page}: {place}"


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "docs/performance.md", "docs/contributing.md"])
def test_code_exists(page: str) -> None:
    """The classes, methods, constants and functions that these pages name exist."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z]\w+(?:\.\w+)?|[a-z]+_\w+)`", text))
    defined = {*_defined("target_liveintent"), *_defined("tests"), *SCHEMA["properties"], *OTHERS}
    assert named
    assert named - defined == set()


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
    assert not with_password.search(str(SCHEMA))
