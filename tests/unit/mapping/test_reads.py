"""What an expression reads: paths, alternatives, and what is no column at all."""

from __future__ import annotations

import ast

import pytest

from target_liveintent.mapping.reads import Path, Reads, reads_of

OTHERS = {"get", "coalesce", "lower", "str", "config"}


def missing(expression: str, *known: Path) -> list[str]:
    """Return what an expression reads, of which only some paths are known."""
    found = reads_of(ast.parse(expression), OTHERS).missing({(), *known}.__contains__)
    return sorted(".".join(path) for path in found)


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("a", ["a"]),
        ("get('a')", ["a"]),
        ("get('a.b.0')", ["a.b.0"]),
        ("_.get('a')", ["a"]),
        ("record.get('a', '')", ["a"]),
        ("_.get('a.b')", ["a.b"]),
        ("_['a']", ["a"]),
        ("a['b'].c", ["a.b.c"]),
        ("((_.get('a') or {}).get('b') or {}).get('c')", ["a.b.c"]),
        ("get('a').get('b', {}).get('c')", ["a.b.c"]),
        ("_.get('a', b)", ["a", "b"]),
        ("lower(get('a')) + a.strip() + str(x=b)", ["a", "b"]),
        ("{'x': 'web'}.get(lower(get('a')), b)", ["a", "b"]),
        ("a if b else c", ["a", "b", "c"]),
        ("f'{a} {b}'", ["a", "b"]),
        ("[x.get('y') for x in get('a') or [] if x != b]", ["a", "b"]),
        ("a[b]", ["a", "b"]),
        ("get(a)", ["a"]),
        ("config['a'] + self + 'a'", []),
        ("'a' in _", []),
        ("str(record)", []),
    ],
)
def test_paths(expression: str, paths: list[str]) -> None:
    """Columns and steps are read by name, by `get`, and by indexes; functions are no columns."""
    assert missing(expression) == paths


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("coalesce(get('a'), get('b'))", []),
        ("coalesce(get('b'), get('a'))", []),
        ("coalesce(get('b'), get('c'))", ["b", "c"]),
        ("coalesce(get('b'), 'x', True)", ["b"]),
        ("coalesce(get('b'), 'x', get('a'))", []),
        ("coalesce(coalesce(get('b'), get('a')), get('c'))", []),
        ("coalesce(lower(get('b')), get('a'))", []),
        ("coalesce(get('b') + get('a'), get('c'))", ["b", "c"]),
        ("coalesce(get('b'), get('a')) + get('b')", ["b"]),
        ("coalesce(get('b'), [x for x in _][0])", []),
        ("coalesce(get('b'), get(str(config)))", []),
        ("get('b') or get('a')", []),
        ("get('b') or get('c')", ["b", "c"]),
        ("get('b') or 'x'", ["b"]),
        ("_.get('b', a)", []),
        ("_.get('b', get('c'))", ["b", "c"]),
        ("{'x': a}.get(b, 'y')", ["b"]),
        ("get('b') == 'x' or get('a') == 'y'", ["b"]),
        ("not get('b') or get('a')", ["b"]),
        ("get('b') and get('a')", ["b"]),
        ("coalesce()", []),
    ],
)
def test_alternatives(expression: str, paths: list[str]) -> None:
    """Of alternatives, one that is known is enough, where they are values and no conditions."""
    assert missing(expression, ("a",)) == paths


def test_a_long_expression() -> None:
    """One that is nested too deeply is no reason to refuse a map."""
    assert reads_of(ast.parse(" + ".join(["a"] * 2_000)), OTHERS) == Reads()


def test_a_constant_reads_nothing() -> None:
    assert reads_of(ast.parse("'web'"), OTHERS) == Reads()
