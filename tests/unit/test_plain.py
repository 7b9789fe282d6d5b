"""What `scripts/plain.py` finds: each rule with code that breaks it, and code that keeps it."""

import textwrap
from pathlib import Path

import pytest

plain = pytest.importorskip("plain", reason="not a checkout")


def of(path: str, source: str) -> dict[str, str]:
    return {path: textwrap.dedent(source)}


def test_a_public_name_means_one_thing_in_the_package() -> None:
    files = {
        "target_liveintent/a.py": "_mine = 1\nclass Job: ...\nif True:\n    LIMIT = 1\n",
        "target_liveintent/b/c.py": "_mine = 1\n\ndef Job(): ...\nLIMIT: int = 2\n",
        "target_liveintent/sandbox/server.py": "class Job: ...\n",
        "target_liveintent/mapping/presets/__init__.py": "class Job: ...\n",
        "scripts/other.py": "class Job: ...\n",
    }
    job, limit = sorted(plain.names_twice(files))
    assert job.startswith("target_liveintent/b/c.py:3: the public name 'Job' is also defined in")
    assert "target_liveintent/a.py:2: give each of them a name" in job
    assert limit.startswith("target_liveintent/b/c.py:4: the public name 'LIMIT'")


def test_a_name_within_a_function_or_class_may_be_used_again() -> None:
    source = "def f_{n}():\n    Job = 1\nclass C_{n}:\n    Job = 1\n"
    files = {f"target_liveintent/{n}.py": source.format(n=n) for n in "ab"}
    assert list(plain.names_twice(files)) == []


def test_a_file_name_occurs_once() -> None:
    paths = ["a/page.py", "b/page.py", "a/__init__.py", "b/__init__.py", "sandbox/page.py"]
    (complaint,) = plain.file_names_twice({f"target_liveintent/{path}": "" for path in paths})
    assert complaint == (
        "target_liveintent/b/page.py:1: target_liveintent/a/page.py has the same file name:"
        " rename one of them"
    )


LONG = """
def function{n}(rows):
    one = rows[0]
    a = 1
    b = 2
    return one
"""


def test_at_most_ten_functions_have_a_short_name_that_lives_long() -> None:
    ten = "".join(LONG.format(n=n) for n in range(10))
    assert list(plain.short_names(of("a.py", ten))) == []
    eleven = list(plain.short_names(of("a.py", ten + LONG.format(n="_last"))))
    assert len(eleven) == 11
    assert eleven[-1].startswith("a.py:63: 'one' in function_last lives for 4 lines: name it after")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(
            "def f(found):\n    a = 1\n    return found\n", [], id="a life of three lines"
        ),
        pytest.param(
            "def f(found):\n\n\n    return found\n", [("found", 1, 4)], id="a parameter of four"
        ),
        pytest.param(
            "def f(x):\n    a = [one for one in x]\n\n\n    return [one for one in a]\n",
            [],
            id="two comprehensions",
        ),
        pytest.param(
            "def f(x):\n    return [\n        one\n\n\n        for one in x]\n",
            [("one", 3, 6)],
            id="a long comprehension",
        ),
        pytest.param(
            "def f(x):\n    a = sorted(x, key=lambda one: 1)\n\n\n    g(lambda one: a)",
            [],
            id="two lambdas",
        ),
        pytest.param(
            "def f(x):\n    for one in x:\n        g()\n        h()\n        g(one)\n",
            [("one", 2, 5)],
            id="a long loop",
        ),
    ],
)
def test_how_long_a_short_name_lives(source: str, expected: list[tuple[str, int, int]]) -> None:
    module = plain.ast.parse(source)
    (function,) = plain.functions(module)
    assert list(plain.long_lives(function)) == expected


def test_a_class_has_at_most_fifteen_attributes() -> None:
    fields = "\n".join(f"    field{n}: int = 0" for n in range(10))
    assigned = "\n".join(f"        self.a{n} = self.field0 = {n}" for n in range(5))
    kind = f"class Kind:\n{fields}\n    shared: ClassVar[int] = 1\n    def f(self):\n{assigned}\n"
    assert list(plain.attributes({"a.py": kind})) == []
    (complaint,) = plain.attributes({"a.py": f"{kind}        (self.b, x), self.b.c = g()\n"})
    assert complaint.startswith("a.py:1: class Kind has 16 attributes: give some of them a class")
    assert list(plain.attributes({"a.py": f"class Settings:\n{fields}\n{fields.upper()}\n"})) == []


def test_a_function_has_a_cognitive_complexity_of_at_most_twelve() -> None:
    deep = ["    " * depth + f"if x{depth}:" for depth in range(1, 5)]
    ten = "\n".join(["def f():", *deep, " " * 20 + "pass"])
    twelve = f"{ten}\n    if a: pass\n    if b: pass\n"
    assert list(plain.complexities({"a.py": twelve})) == []
    (complaint,) = plain.complexities({"a.py": f"\n{twelve}    if c: pass\n"})
    assert complaint == "a.py:2: f has a cognitive complexity of 13: split it (at most 12)"


@pytest.mark.parametrize(
    "rows",
    [
        "[1, 'two', None, True, -1, NAME, module.NAME]",
        "[pytest.param(1, 2, id='both')]",
        "[pytest.param(1)]",
        "[(1, 2), {}], ids=['a', 'b']",
        "KEYS",
        "SIMPLE",
        "[*[1, 2]]",
    ],
)
def test_rows_that_have_names(rows: str) -> None:
    assert list(plain.rows_without_names(_table(rows))) == []


@pytest.mark.parametrize(
    "rows",
    [
        "[(1, 2)]",
        "[{}]",
        "[[1]]",
        "[*[(1, 2)]]",
        "[pytest.param(1, 2)]",
        "[pytest.param({})]",
        "[(n, n) for n in range(3)]",
        "KEYS.items()",
        "PAIRS",
        "[lambda: 1]",
    ],
)
def test_rows_that_need_names(rows: str) -> None:
    (complaint,) = plain.rows_without_names(_table(rows))
    assert complaint.startswith("test_a.py:4: rows have no names: write ids=")


def _table(rows: str) -> dict[str, str]:
    tables = "KEYS = {'a': 1}\nSIMPLE = [1, 2]\nPAIRS = [(1, 2)]\n"
    return {
        "test_a.py": f"{tables}@pytest.mark.parametrize('x', {rows})\ndef test_it(x): ...\n",
    }


def test_subjects_of_commits_have_at_most_72_characters() -> None:
    log = f"aaa {'x' * 72}\nbbb {'x' * 73}\nccc Merge {'x' * 80}\n"
    assert list(plain.long_subjects(log)) == [
        "commit bbb: its subject has 73 characters: say the rest in the body (at most 72)"
    ]


def test_the_log_outside_of_a_repository_has_no_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of a release have no history."""
    monkeypatch.setattr(plain, "ROOT", tmp_path)
    assert plain.log_of_commits() == ""
