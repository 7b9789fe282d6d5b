"""The changes that scripts/mutants makes to the package, and the tests that it runs for each."""

from __future__ import annotations

from typing import Any

import pytest

mutations = pytest.importorskip("mutations", reason="not a checkout")
mutants = pytest.importorskip("mutants", reason="not a checkout")

SOURCE = b'''"""A docstring stays."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    LIMIT = 1


def pay(amount: int, word: str = "\xc3\xa9", by: int = 4) -> str:
    if amount < 3 and not word:
        print("\xc3\xa9" + f"{word}")
    return word * by
'''


def test_every_kind() -> None:
    """Each change replaces its own place, also after a letter of two bytes, and nothing else."""
    found = list(mutations.mutants_of("pay.py", SOURCE))
    assert [(m.kind, m.lines[0], m.in_function) for m in found] == [
        ("constant changed", 8, False),
        ("condition forced", 9, True),
        ("condition forced", 9, True),
        ("operator turned", 9, True),
        ("comparison turned", 9, True),
        ("boundary moved", 9, True),
        ("constant changed", 9, True),
        ("negation removed", 9, True),
        ("statement deleted", 10, True),
        ("None returned", 11, True),
        ("arithmetic turned", 11, True),
    ]
    changed = [m.apply(SOURCE).decode().splitlines()[m.lines[0] - 1].strip() for m in found]
    assert changed == [
        'def pay(amount: int, word: str = "é", by: int = 5) -> str:',
        "if True:",
        "if False:",
        "if (amount < 3 or not word):",
        "if (amount >= 3) and not word:",
        "if (amount <= 3) and not word:",
        "if amount < 4 and not word:",
        "if amount < 3 and (word):",
        "pass",
        "return None",
        "return (word / by)",
    ]


SECONDS = {
    "tests/integration/test_run.py::one": 2.0,
    "tests/unit/run/test_run.py::slow": 9.0,
    "tests/unit/run/test_run.py::quick": 1.0,
    "tests/unit/run/test_counts.py::slow": 20.0,
    "tests/unit/run/test_counts.py::quick": 1.0,
    "tests/unit/run/test_outbox.py::elsewhere": 1.0,
    "tests/unit/test_run.py::slow": 25.0,
}
REACHED = mutants.Reached(
    {
        "target_liveintent/run/run.py": {
            5: set(SECONDS) - {"tests/unit/run/test_outbox.py::elsewhere"},
            7: {"", "tests/integration/test_run.py::one"},
        }
    },
    SECONDS,
)


def at(line: int, *, in_function: bool) -> Any:
    """Return a mutant of a line."""
    path = "target_liveintent/run/run.py"
    return mutations.Mutant(path, (line, line), 0, 1, "None returned", "", in_function)


def test_tests_of_a_function() -> None:
    """Its module's tests come first; of the others, a choice from all files that fits the time."""
    own, others = REACHED.by(at(5, in_function=True))
    assert own == ["tests/unit/run/test_run.py::quick", "tests/unit/run/test_run.py::slow"]
    assert others == [
        "tests/unit/run/test_counts.py::quick",
        "tests/unit/test_run.py::slow",
        "tests/integration/test_run.py::one",
    ]
    assert REACHED.by(at(6, in_function=True)) == ([], [])


@pytest.mark.parametrize(("line", "in_function"), [(6, False), (7, True)])
def test_tests_of_an_import(line: int, *, in_function: bool) -> None:
    """A line that runs at the import is tried by tests that reach none of the file, too."""
    own, others = REACHED.by(at(line, in_function=in_function))
    assert own == ["tests/unit/run/test_run.py::quick", "tests/unit/run/test_run.py::slow"]
    assert "tests/unit/run/test_outbox.py::elsewhere" in others


@pytest.mark.parametrize(
    ("test", "path", "expected"),
    [
        ("tests/unit/run/test_run.py::x", "target_liveintent/run/run.py", True),
        ("tests/unit/run/test_run_parts.py::x", "target_liveintent/run/parts.py", True),
        ("tests/unit/run/test_outbox.py::x", "target_liveintent/run/out.py", False),
        ("tests/unit/test_run.py::x", "target_liveintent/run/run.py", False),
        ("tests/integration/test_run.py::x", "target_liveintent/run.py", False),
    ],
)
def test_mirrored(test: str, path: str, *, expected: bool) -> None:
    """The tests of a module are in the same folder, in a file that has its name."""
    assert mutants.is_of_module(test, path) is expected
