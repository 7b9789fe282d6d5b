"""The list of promises and their tests, which `scripts/test --promises` prints."""

from collections.abc import Callable

import promises
import pytest

PAGE = """
- **Nothing is [lost](store.md#lost)**: repeat the run.
- **A run ends
  in time.** It waits for nobody.
## What is not promised
- **That it rains.**
"""


def test_a_promise_is_the_beginning_of_an_item() -> None:
    assert promises.promises_in(PAGE) == ["Nothing is lost", "A run ends in time"]


def test_a_test_names_its_promise() -> None:
    source = '@pytest.mark.promise("A run ends in time")\n@pytest.mark.slow\ndef test_end(): ...\n'
    assert [*promises.marks_in(source)] == [("A run ends in time", "test_end")]


@pytest.mark.parametrize(
    ("change", "said"),
    {
        "a promise without a test": (lambda found: [*found, "It rains"], "No test names the"),
        "a test of no promise": (lambda found: found[1:], "has no promise 'Each record has one"),
    }.values(),
    ids=["a promise without a test", "a test of no promise"],
)
def test_each_promise_has_a_test_and_each_test_a_promise(
    change: Callable[[list[str]], list[str]],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = promises.promises_in((promises.ROOT / "docs" / "guarantees.md").read_text("utf-8"))
    assert promises.main() == 0
    monkeypatch.setattr(promises, "promises_in", lambda _: change(found))
    assert promises.main() == 1
    assert said in capsys.readouterr().err
