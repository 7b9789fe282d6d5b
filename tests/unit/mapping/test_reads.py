"""What an expression reads: paths, alternatives, and what is no column at all."""

from __future__ import annotations

import pytest

from target_liveintent.mapping.converter import Path
from target_liveintent.mapping.expressions import Compiler


def missing(expression: str, *known: Path) -> list[str]:
    """Return what an expression reads, of which only some paths are known."""
    groups = Compiler({"config": {}}).compile("x", expression).reads
    found = [path for group in groups if group.isdisjoint({(), *known}) for path in group]
    return sorted(".".join(path) for path in set(found))


PATHS = {
    "": ("config['a'] + self + 'a'", "'a' in _", "str(record)", "'web'"),
    "a": (
        *("a", "get('a')", "_.get('a')", "record.get('a', '')", "_['a']", "get(a)"),
        *("a['b'].c", "((_.get('a') or {}).get('b') or {}).get('c')", "[a.b for x in 'y']"),
    ),
    "a.b": ("_.get('a.b')",),
    "a.b.0": ("get('a.b.0')",),
    "a b": (
        *("_.get('a', b)", "lower(get('a')) + a.strip() + str(x=b)", "f'{a} {b}'", "a[b]"),
        "{'x': 'web'}.get(lower(get('a')), b)",
        "[x.get('y') for x in get('a') or [] if x != b]",
    ),
    "a b c": ("a if b else c",),
}
ALTERNATIVES = {
    "": (
        *("coalesce(get('a'), get('b'))", "coalesce(get('b'), get('a'))", "coalesce()"),
        *("coalesce(get('b'), 'x', get('a'))", "coalesce(coalesce(get('b'), get('a')), get('c'))"),
        *("coalesce(lower(get('b')), get('a'))", "coalesce(get('b'), [x for x in _][0])"),
        *("coalesce(get('b'), get(str(config)))", "get('b') or get('a')"),
    ),
    "b": (
        *("coalesce(get('b'), 'x', True)", "coalesce(get('b'), get('a')) + get('b')"),
        *("get('b') or 'x'", "{'x': a}.get(b, 'y')", "get('b') == 'x' or get('a') == 'y'"),
        *("not get('b') or get('a')", "get('b') and get('a')"),
    ),
    "b c": (
        *("coalesce(get('b'), get('c'))", "coalesce(get('b') + 'x', get('c'))"),
        "get('b') or get('c')",
    ),
}


@pytest.mark.parametrize(
    ("expression", "paths"), [(one, paths) for paths, group in PATHS.items() for one in group]
)
def test_paths(expression: str, paths: str) -> None:
    """Columns and steps are read by name, by `get`, and by indexes; functions are no columns."""
    assert missing(expression) == paths.split()


@pytest.mark.parametrize(
    ("expression", "paths"),
    [(one, paths) for paths, group in ALTERNATIVES.items() for one in group],
)
def test_alternatives(expression: str, paths: str) -> None:
    """Of alternatives, one that is known is enough, where they are values and no conditions."""
    assert missing(expression, ("a",)) == paths.split()


def test_a_long_expression() -> None:
    """One that is nested too deeply is no reason to refuse a map."""
    assert Compiler({}).compile("x", " + ".join(["a"] * 2_000)).reads == frozenset()
