"""The pieces of a page: what comes from outside is escaped, and tables fit their heads."""

from __future__ import annotations

import pytest

from target_liveintent.reporting.run_report.markup import SENTENCES, figure, section, table, text


def test_text_is_escaped() -> None:
    """What is between backticks becomes code; nothing becomes a tag of its own."""
    assert text('a `b<c>` & "d"') == "a <code>b&lt;c&gt;</code> &amp; &quot;d&quot;"


def test_a_table() -> None:
    """Cells that are sentences have a class, and so has the row with the sum."""
    rows = [["web", "1", "map it"]]
    html = table("<By source>", ["source", "events", SENTENCES], rows, ["all", "2", ""])
    assert "<caption>&lt;By source&gt;</caption>" in html
    assert '<th scope="row">web</th><td>1</td><td class="text">map it</td>' in html
    assert html.count('<tr class="all">') == 1


def test_a_wide_table() -> None:
    """Each cell has the words of its head, for a screen on which they cannot stand above it."""
    html = table("", ["a", text("`b` & c"), "d", "e"], [["1", "2", "3", "4"]])
    assert '<table class="wide">' in html
    assert '<td data-head="b &amp; c">2</td><td data-head="d">3</td>' in html


def test_a_row_that_does_not_fit_its_table() -> None:
    """Each head needs a cell."""
    with pytest.raises(ValueError, match="zip"):
        table("", ["a", "b"], [["1"]])


def test_a_figure() -> None:
    """Several colours need a legend; the caption is there for those who cannot see the chart."""
    assert "<figcaption>Value</figcaption>" in figure("<svg/>", "Value")
    html = figure("<svg/>", "A<B", [("good", "green"), ("bad", "red")])
    assert 'aria-label="A&lt;B"' in html
    assert '<figcaption><span class="key green">good</span>' in html


def test_a_section() -> None:
    """Its sentence may be absent."""
    assert "<p>" not in section("Title", "", "part")
    assert "<p>Words</p>" in section("Title", "Words", "part")
    assert section("Title", "", "a", "b").count("<div>") == 2
